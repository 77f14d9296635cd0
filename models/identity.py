"""A person of several ids: their row is folded as one customer's, and each id once more by itself.

An id that leaves takes along what it has come to by its own events, so nothing has to be undone.
"""

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from models.customer.churn import CHURN
from models.customer.contacts import CONTACTS
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import NO_IDS, Row, SubRow, decode_row, encode_row
from models.customer.scene import Context, Scene
from models.engine import Effect, Fate, follow, follow_due, outcome, step
from models.events.event import Event
from models.events.rejection import Rejected
from models.plan import Plan

#: Parts that are not made of events alone: what was decided, and the labels of decision points.
OF_THE_PERSON: tuple[Part[Any], ...] = (CONTACTS, CHURN)
_MESSAGE_BYTES = 8


class NotLinked(ValueError):
    """An id cannot be linked, or cannot leave; the message says why. Nothing has changed."""


class _Change(NamedTuple):
    """What happens to a person: an id's row comes (``sign`` 1) or goes (-1) at ``at_ms``."""

    person: str
    other: Row
    sign: int
    at_ms: int


def advance(
    row: Row, person: str, event: Event, context: Context, plan: Plan
) -> tuple[Fate, list[Effect]]:
    """`step` for a person with several ids: ``event`` may be of any of them."""
    theirs = msgspec.structs.replace(event, customer=person)
    # Each by what it knows itself: what the person has heard under one id, another may not have,
    # and an order that the id never had may be the person's.
    with suppress(Rejected):
        follow(row.ids[event.customer].row, event, context, plan)
    return step(row, theirs, context, plan)


def link(
    row: Row, person: str, id_: str, joining: Row, at_ms: int, context: Context, plan: Plan
) -> list[Effect]:
    """Link ``id_`` to the person at ``at_ms``: ``joining``, its row, becomes one of theirs.

    Raises ``NotLinked`` for the person's own id, and for one that is linked to them already.
    """
    if id_ == person:
        raise NotLinked(f"{person} is this person: nobody is linked to themselves")
    if id_ in row.ids:
        raise NotLinked(f"{id_} is linked to {person} already")
    ids = row.ids or {person: SubRow(0, decode_row(encode_row(row)))}
    row.ids = {**ids, id_: SubRow(at_ms, joining)}
    _take_over_timers(row, joining)
    return _reunited(row, _Change(person, joining, 1, at_ms), context, plan)


def split(
    row: Row, person: str, id_: str, at_ms: int, context: Context, plan: Plan
) -> tuple[Row, list[Effect]]:
    """Let ``id_`` leave the person at ``at_ms``; return its row, which is as if it had never been
    linked, but that what was decided meanwhile was decided for the person.

    Raises ``NotLinked`` for the person's own id, and for one that is not linked to them.
    """
    if id_ == person:
        raise NotLinked(f"{person} is this person's own id: it cannot leave")
    if id_ not in row.ids:
        raise NotLinked(f"{id_} is not linked to {person}")
    for other, sub in row.ids.items():
        # What fell due while they were linked is dealt with: it was the person's.
        follow_due(sub.row, other, context.clock_ms + 1, context, plan)
    leaving, since_ms = row.ids[id_].row, row.ids[id_].since_ms
    row.ids = {other: sub for other, sub in row.ids.items() if other != id_}
    labels = row.edit(CHURN)
    labels.waiting = [one for one in labels.waiting if one.decided_at_ms < since_ms]
    effects = _reunited(row, _Change(person, leaving, -1, at_ms), context, plan)
    if len(row.ids) == 1:
        row.ids = NO_IDS
    nothing = CHURN.state()
    leaving.replace(CHURN, nothing)
    CHURN.reunited(Scene(leaving, id_, at_ms, context), nothing, nothing, -1)
    return leaving, effects


def _reunited(row: Row, change: _Change, context: Context, plan: Plan) -> list[Effect]:
    """Make the person's row anew of those of their ids, and everything that follows from it."""
    parameters, before = plan.parameters, {part.code: row.read(part) for part in PARTS}
    rows = [sub.row for sub in row.ids.values()]
    row.messages = _together([one.messages for one in rows], plan.message_bytes_max)
    row.latest_ms = max(one.latest_ms for one in rows)
    for part in PARTS:
        if part not in OF_THE_PERSON:
            row.replace(part, _one_of(part, rows, plan))
        elif change.sign > 0:
            states = [row.read(part), change.other.read(part)]
            row.replace(part, part.united(states, parameters))
    scene = Scene(row, change.person, max(change.at_ms, row.latest_ms), context)
    for part in PARTS:
        if part.is_on(parameters):
            part.reunited(scene, before[part.code], change.other.read(part), change.sign)
    return outcome(scene, plan)


def _one_of(part: Part[Any], rows: list[Row], plan: Plan) -> Any:
    """The state of somebody with these ids; of one id alone exactly its own."""
    if len(rows) == 1:
        return part.unpack(part.pack(rows[0].read(part)))
    return part.united([row.read(part) for row in rows], plan.parameters)


def _take_over_timers(row: Row, joining: Row) -> None:
    """What was dealt with for an id is not dealt with again for the person."""
    for code, theirs in joining.timers():
        mine = row.due(code)
        if theirs.handled_ms > mine.handled_ms:
            due_ms = mine.due_ms
            row.set_due(code, theirs.handled_ms, may_repeat=True)
            row.finish(code, theirs.handled_ms)
            row.set_due(code, due_ms)


def _together(of_ids: list[bytes], bytes_max: int) -> bytes:
    """Fingerprints of all, the latest of each last, because the first are let go of."""
    found: list[bytes] = []
    for back in range(_MESSAGE_BYTES, max(map(len, of_ids)) + 1, _MESSAGE_BYTES):
        for messages in of_ids:
            if back <= len(messages):
                start = len(messages) - back
                found.append(messages[start : start + _MESSAGE_BYTES])
    latest = list(dict.fromkeys(found))[: bytes_max // _MESSAGE_BYTES]
    return b"".join(reversed(latest))
