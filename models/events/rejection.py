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


#: What mends an event, by the reason of its refusal, where whoever refuses it knows nothing better.
_FIXES = {
    Reason.BAD_JSON: "write one JSON object a line, in UTF-8",
    Reason.UNKNOWN_EVENT: "use one of the names that `keepstream schema` lists",
    Reason.REQUIRED_MISSING: "fill in the field: `keepstream schema NAME` shows it",
    Reason.WRONG_TYPE: "write the field as `keepstream schema NAME` shows it",
    Reason.OUT_OF_RANGE: "keep to the limits that `keepstream schema NAME` shows",
    Reason.NO_IDENTITY: "fill in userId or anonymousId with an id of this customer alone",
    Reason.TOO_LARGE: "leave out what no schema names, or split the event",
    Reason.TOO_LATE: "publish in the order of time, or raise time.lateness",
}


class Rejected(Exception):
    """An event cannot be used: ``reason``, the JSON ``path`` of the fault, a ``detail``, and
    ``fix``, one line that mends it (the usual one for this reason, unless a better one is given).

    Neither detail nor fix quotes a value that may be personal: they may end up in a log.
    """

    def __init__(self, reason: Reason, path: str = "$", detail: str = "", fix: str = "") -> None:
        super().__init__(reason, path, detail, fix)
        self.reason = reason
        self.path = path
        self.detail = detail
        self.fix = fix or _FIXES[reason]


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
