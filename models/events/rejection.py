"""Why an event was refused."""

import re
from enum import StrEnum

import msgspec

from config.refusal_words import kinds_in_words


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


#: The usual fix for each reason, if the refusing code has no better one.
_FIXES = {
    Reason.BAD_JSON: "write one JSON object a line, in UTF-8",
    Reason.UNKNOWN_EVENT: "use one of the names that `keepstream schema` lists",
    Reason.REQUIRED_MISSING: "fill in the field: `keepstream schema NAME` shows it",
    Reason.WRONG_TYPE: "write the field as `keepstream schema NAME` shows it",
    Reason.OUT_OF_RANGE: "keep to the limits that `keepstream schema NAME` shows",
    Reason.NO_IDENTITY: "fill in userId or anonymousId with an id of this customer alone",
    Reason.TOO_LARGE: "leave out what no schema names, or split the event",
    Reason.TOO_LATE: "publish in the order of time, or --set time.lateness to a longer time",
}


class Rejected(Exception):
    """An event cannot be used: ``reason``, the JSON ``path`` of the fault, a ``detail``, and
    ``fix``, one line on how to mend it (by default the usual fix for the reason).

    Neither detail nor fix quotes a value that may be personal, since they may be logged.
    """

    def __init__(self, reason: Reason, path: str = "$", detail: str = "", fix: str = "") -> None:
        super().__init__(reason, path, detail, fix)
        self.reason = reason
        self.path = path
        self.detail = detail
        self.fix = fix or _FIXES[reason]


_PATH_MARK = " - at `"
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`").fullmatch
_LIMIT = re.compile(r"Expected `([^`]+)` (of length )?(>=|<=|>|<) ([^ ]+)").fullmatch
_LIMITS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}
_CUT_OFF = "Input data was truncated"


def rejected_by(error: msgspec.DecodeError, within: str = "$") -> Rejected:
    """The refusal for a decoding error; ``within`` is the JSON path of the decoded value."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return Rejected(Reason.BAD_JSON, within, "it ends too early" if text == _CUT_OFF else text)
    detail, _, path = text.partition(_PATH_MARK)
    path = within + path.rstrip("`").removeprefix("$")
    if "missing required field" in detail:
        return Rejected(Reason.REQUIRED_MISSING, f"{path}.{detail.split('`')[1]}", "it is missing")
    if (found := _LIMIT(detail)) is not None:
        kind, is_length, limit, size = found.groups()
        things = (" entries" if kind.startswith("array") else " characters") if is_length else ""
        words = f"{_kinds(kind)} {_LIMITS[limit]} {size.removesuffix('.0')}{things}"
        return Rejected(Reason.OUT_OF_RANGE, path, words)
    if "out of range" in detail:
        return Rejected(Reason.OUT_OF_RANGE, path, "a number that large can't be read")
    if detail.startswith("Invalid enum value"):
        return Rejected(Reason.OUT_OF_RANGE, path, "not one of the values this field may have")
    if (found := _EXPECTED(detail)) is not None:
        return Rejected(Reason.WRONG_TYPE, path, f"{_kinds(found[1])}, not {_kinds(found[2])}")
    return Rejected(Reason.WRONG_TYPE, path, detail)


def _kinds(named: str) -> str:
    return kinds_in_words(named, objects="an object")
