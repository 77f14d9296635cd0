"""Why an event was refused."""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """The eight reasons to refuse an event, as dead letters and metrics name them."""

    BAD_JSON = "bad_json"
    UNKNOWN_EVENT = "unknown_event"
    REQUIRED_MISSING = "required_missing"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NO_IDENTITY = "no_identity"
    TOO_LARGE = "too_large"
    TOO_LATE = "too_late"


class Rejected(Exception):
    """An event cannot be used: ``reason``, the JSON ``path`` of the fault, and a ``detail``.

    The detail never quotes the event's values: it may end up in a log.
    """

    def __init__(self, reason: Reason, path: str = "$", detail: str = "") -> None:
        super().__init__(reason, path, detail)
        self.reason = reason
        self.path = path
        self.detail = detail


_PATH_MARK = " - at `"


def rejected_by(error: msgspec.DecodeError, within: str = "$") -> Rejected:
    """The refusal for a decoding error; ``within`` is the JSON path of what was decoded."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return Rejected(Reason.BAD_JSON, within, text)
    detail, _, path = text.partition(_PATH_MARK)
    path = within + path.rstrip("`").removeprefix("$")
    if "missing required field" in detail:
        return Rejected(Reason.REQUIRED_MISSING, f"{path}.{detail.split('`')[1]}", detail)
    if detail.startswith("Expected `") and (">" in detail or "<" in detail):
        return Rejected(Reason.OUT_OF_RANGE, path, detail)
    if "out of range" in detail:
        return Rejected(Reason.OUT_OF_RANGE, path, detail)
    if detail.startswith("Invalid enum value"):
        return Rejected(Reason.OUT_OF_RANGE, path, "not one of the values this field may have")
    return Rejected(Reason.WRONG_TYPE, path, detail)
