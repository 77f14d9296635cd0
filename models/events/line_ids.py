"""Whose a line is: the customer's id, the other ids that it names, and its own id."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from models.events.ids import id_text, is_nobody, nobody
from models.events.line import Line
from models.events.rejection import Reason, Rejected

#: Customers return, and each event's id is read twice: by ingest and by profile.
_IDS_REMEMBERED_MAX: Final = 32_768
MESSAGE_ID_LENGTH_MAX = 256


def identity(line: Line, is_blocked: Callable[[str], bool] | None = None) -> tuple[str, bool]:
    """The customer's id, ``userId`` or else ``anonymousId``, and whether it was ``userId``.

    Ids that identify nobody, and those that the operator blocks, do not count. Raises ``Rejected``.
    """
    user = _whose(line.user_id, "$.userId", is_blocked)
    if user is not None:
        # The usual case.
        return user, True
    for value in (line.other_id, line.id_in_capitals):
        user = _whose(value, "$.userId", is_blocked)
        if user is not None:
            return user, True
    for value in (line.anonymous_id, line.other_visitor):
        visitor = _whose(value, "$.anonymousId", is_blocked)
        if visitor is not None:
            return visitor, False
    raise Rejected(Reason.NO_IDENTITY, "$.userId", "neither userId nor anonymousId names anyone")


def names_others(line: Line) -> bool:
    """Whether `others_of` may find any. This quick check runs for all events; most name none."""
    return not (line.anonymous_id is line.other_visitor is line.previous_id is None)


def others_of(
    line: Line, user: str, is_blocked: Callable[[str], bool] | None = None
) -> tuple[str | None, str | None]:
    """The other id that an event of ``user`` names: the anonymous id, or the earlier id of an
    alias. If an alias names both, its earlier id comes second, because each of them says who the
    user was. None for an id that is invalid or identifies nobody: the event is still the user's.
    Raises ``Rejected`` for an alias whose earlier id identifies nobody, because it says nothing
    else.
    """
    visitor = _other_in((line.anonymous_id, line.other_visitor), user, is_blocked)
    if line.type != "alias":
        return visitor, None
    previous = _other_in((line.previous_id,), user, is_blocked)
    if visitor is None:
        if previous is None:
            _require_somebody(line.previous_id, is_blocked)
        return previous, None
    return visitor, None if previous == visitor else previous


def _other_in(
    named: Iterable[Any], user: str, is_blocked: Callable[[str], bool] | None
) -> str | None:
    for value in named:
        if value is None:
            continue
        try:
            visitor = _whose(value, "$.anonymousId", is_blocked)
        except Rejected:
            continue
        if visitor is not None and visitor != user:
            return visitor
    return None


def _require_somebody(value: Any, is_blocked: Callable[[str], bool] | None) -> None:
    """Raise ``Rejected`` for a ``previousId`` that is an id but identifies nobody."""
    path = "$.previousId"
    if not isinstance(value, bool) and id_text(value, path) is not None:
        if _whose(value, path, is_blocked) is None:
            raise nobody(path)


def _whose(value: Any, path: str, is_blocked: Callable[[str], bool] | None) -> str | None:
    """The id of one customer; None if ``value`` is missing or identifies nobody."""
    if value is None or value is True or value is False:
        return None
    # Only texts are cached: 1, 1.0 and True are one cache key, but not one id.
    text = _remembered(value, path) if value.__class__ is str else _somebody(value, path)
    return None if is_blocked is not None and text is not None and is_blocked(text) else text


def _somebody(value: Any, path: str) -> str | None:
    text = id_text(value, path)
    return None if text is None or is_nobody(text) else text


_remembered = lru_cache(_IDS_REMEMBERED_MAX)(_somebody)


def message_id_of(line: Line, stand_in: str) -> str:
    """The message's id as text; ``stand_in`` if it has none. Raises ``Rejected``."""
    value = line.message_id or line.other_message_id
    if not isinstance(value, str):
        if value is None or value == [] or value == {}:
            return stand_in
        if not isinstance(value, int | float):
            raise Rejected(Reason.WRONG_TYPE, "$.messageId", "a message's id is a text")
        value = str(value)
    if len(value) > MESSAGE_ID_LENGTH_MAX:
        raise Rejected(
            Reason.OUT_OF_RANGE, "$.messageId", f"more than {MESSAGE_ID_LENGTH_MAX} characters"
        )
    return value or stand_in
