"""A person of several ids: their row is folded as one customer's, and each id once more by itself.

An id that leaves takes along what it has come to by its own events, so nothing has to be undone.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from config.parameters import Parameters
from models.counted import follow_consent, left_out
from models.customer.churn import CHURN, DECISION
from models.customer.consent import CONSENT, CONSENT_CHANGED
from models.customer.contacts import CONTACTS, Outcome
from models.customer.holdout import are_apart
from models.customer.identities import IDENTITIES, IDENTITY_LINKED, IDENTITY_SPLIT, Identities
from models.customer.labels import Dropped, Labels, LabelsDropped, dropped
from models.customer.lift import LIFT
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.risk import RISK
from models.customer.row import NO_IDS, Row, SubRow, decode_row, encode_row
from models.customer.scene import Context, Scene
from models.customer.segments import SEGMENTS
from models.engine import (
    Effect,
    Fate,
    follow,
    follow_due,
    follow_up,
    heed_refusal,
    outcome,
    step,
)
from models.engine import run_due as run_due_of_one
from models.engine import run_timers as run_timers_of_one
from models.engine import take_up as take_up_of_one
from models.events.event import Event
from models.events.rejection import Rejected
from models.inactivity import INACTIVE
from models.plan import Plan

#: Parts that are not made of events alone: what was decided and what came of it, labels, and
#: since when somebody is in a segment.
OF_THE_PERSON: tuple[Part[Any], ...] = (CONTACTS, CHURN, SEGMENTS, LIFT)
#: Parts that go by what other parts know: whether somebody left is told by their orders.
_ALWAYS: tuple[Part[Any], ...] = (CHURN, SEGMENTS, RISK)
#: Timers that go by what was decided, by labels, or by when the person last did anything.
_TIMERS_OF_THE_PERSON: frozenset[str] = frozenset(
    {INACTIVE, *(timer.code for part in OF_THE_PERSON for timer in part.timers)} - {DECISION}
)
_MESSAGE_BYTES = 8


class NotLinked(ValueError):
    """An id cannot be linked, or cannot leave; the message says why. Nothing has changed."""


class _Change(NamedTuple):
    """What happens to a person: an id's row comes (``sign`` 1) or goes (-1) at ``at_ms``; one that
    comes may be the first besides their own. ``is_counted``: by itself, before it comes or once it
    is gone; one that goes so that another row of its id can come is not.
    """

    person: str
    id: str
    other: Row
    sign: int
    at_ms: int
    is_first: bool = False
    is_counted: bool = True


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


def is_mirror(row: Row) -> bool:
    """Whether this is the row of an id that is another person's, who decides."""
    return row.ids is not NO_IDS and row.read(IDENTITIES).is_mirror


def mirror(row: Row, id_: str, event: Event, context: Context, plan: Plan) -> Fate:
    """`step` for an id that is another person's: what is known of it is kept, so that it can leave.

    Raises ``Rejected`` as `step` does.
    """
    if id_ in row.ids:
        with suppress(Rejected):
            follow(row.ids[event.customer].row, event, context, plan)
    return follow(row, msgspec.structs.replace(event, customer=id_), context, plan)


def run_due(row: Row, person: str, before_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """`engine.run_due` for a person with several ids: of each id by itself, too, so that it meets
    the model that was in force when it fell due.
    """
    for id_, sub in row.ids.items():
        follow_due(sub.row, id_, before_ms, context, plan)
    return run_due_of_one(row, person, before_ms, context, plan)


def run_timers(row: Row, person: str, due_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """`engine.run_timers` for anybody: those that are due at exactly ``due_ms``, of the ids too."""
    if row.ids is NO_IDS:
        # Nearly everybody.
        is_due = row.next_due_ms == due_ms
        return run_timers_of_one(row, person, due_ms, context, plan) if is_due else []
    for id_, sub in row.ids.items():
        if sub.next_due_ms == due_ms:
            follow_due(sub.row, id_, due_ms + 1, context, plan)
    if is_mirror(row):
        follow_due(row, person, due_ms + 1, context, plan)
        return []
    if row.next_due_ms != due_ms:
        return []
    return run_timers_of_one(row, person, due_ms, context, plan)


def take_up(
    row: Row, person: str, at_ms: int, codes: Collection[str], context: Context, plan: Plan
) -> list[Effect]:
    """`engine.take_up` for anybody, and each of their ids by itself."""
    if row.ids is NO_IDS:
        return take_up_of_one(row, person, at_ms, codes, context, plan)
    for id_, sub in row.ids.items():
        follow_up(sub.row, id_, at_ms, codes, context, plan)
    if is_mirror(row):
        follow_up(row, person, at_ms, codes, context, plan)
        return []
    return take_up_of_one(row, person, at_ms, codes, context, plan)


def link(
    row: Row,
    person: str,
    id_: str,
    joining: Row,
    at_ms: int,
    context: Context,
    plan: Plan,
    *,
    is_counted: bool = True,
) -> list[Effect]:
    """Link ``id_`` to the person at ``at_ms``: ``joining``, its row, becomes one of theirs.
    ``is_counted``: among all customers, by itself, up to now.

    Raises ``NotLinked`` for the person's own id, and for one that is linked to them already.
    """
    if id_ == person:
        raise NotLinked(f"{person} is this person: nobody is linked to themselves")
    if id_ in row.ids:
        raise NotLinked(f"{id_} is linked to {person} already")
    is_first = not row.ids
    ids = row.ids or {person: SubRow(0, copy_of(row))}
    was_counted = _copy_of_cell(row.read(CHURN))
    # In the order in which a stored row has them: what is made of all ids must not hang on when
    # the row was last read.
    row.ids = dict(sorted({**ids, id_: SubRow(at_ms, joining)}.items()))
    _take_over_timers(row, joining)
    change = _Change(person, id_, joining, 1, at_ms, is_first, is_counted)
    effects = _reunited(row, change, context, plan, IDENTITY_LINKED)
    _take_over_cell(row, was_counted, ids, person)
    return effects


def split(
    row: Row,
    person: str,
    id_: str,
    at_ms: int,
    context: Context,
    plan: Plan,
    *,
    is_counted: bool = True,
) -> tuple[Row, list[Effect]]:
    """Let ``id_`` leave the person at ``at_ms``; return its row, which is as if it had never been
    linked, but that what was decided and taught meanwhile was the person's. ``is_counted``: among
    all customers, by itself, from now on.

    Raises ``NotLinked`` for the person's own id, and for one that is not linked to them.
    """
    if id_ == person:
        raise NotLinked(f"{person} is this person's own id: it cannot leave")
    if id_ not in row.ids:
        raise NotLinked(f"{id_} is not linked to {person}")
    _hand_back_cell(row, id_)
    leaving, since_ms = row.ids[id_].row, row.ids[id_].since_ms
    row.ids = {other: sub for other, sub in row.ids.items() if other != id_}
    lost = _forget_labels(row, leaving, since_ms)
    _hand_back_outcomes(row, leaving)
    change = _Change(person, id_, leaving, -1, at_ms, is_counted=is_counted)
    effects = _reunited(row, change, context, plan, IDENTITY_SPLIT)
    if len(row.ids) == 1:
        # They ran for their own id all the while.
        row.take_timers(row.ids[person].row.packed_timers(), _TIMERS_OF_THE_PERSON)
        row.ids = {} if row.read(IDENTITIES).is_mirror else NO_IDS
    return leaving, [*effects, *lost]


def relink(
    row: Row, person: str, id_: str, anew: Row, said: tuple[int, int], context: Context, plan: Plan
) -> list[Effect]:
    """Have ``anew`` as the row of ``id_``, which is linked already: ``said`` are the time at which
    it became another row, and since when it is linked.

    Neither row is counted by itself among all customers: what the old one came to, by the clock of
    this partition, need not be what the new one did, by that of its own.
    """
    at_ms, since_ms = said
    left, effects = split(row, person, id_, at_ms, context, plan, is_counted=False)
    with_labels_of(anew, left)
    linked = link(row, person, id_, anew, since_ms, context, plan, is_counted=False)
    return [*effects, *linked]


def copy_of(row: Row) -> Row:
    """What a customer has come to, without whose ids are whose; whether it is a visitor's id stays,
    because parts ask for it.
    """
    copied, state = decode_row(encode_row(row)), row.read(IDENTITIES)
    copied.ids = NO_IDS
    kept = Identities(is_visitor=state.is_visitor, is_user=state.is_user)
    copied.replace(IDENTITIES, kept)
    return copied


def with_labels_of(row: Row, left: Row) -> Row:
    """``row`` with the labels and the cell of ``left``: they are the person's to move on."""
    row.replace(CHURN, CHURN.unpack(CHURN.pack(left.read(CHURN))))
    return row


def returned(
    row: Row, id_: str, left: Row, apart: Row, at_ms: int, context: Context, plan: Plan
) -> list[Effect]:
    """Let an id be its own again. ``left``: the row that the person had of it, with labels and a
    cell of the count tables. What was told of all customers was told of ``left``, and of ``apart``,
    if the id was its own for a while already.
    """
    with_labels_of(row, left)
    _hand_back_outcomes(left, row)
    timers = row.packed_timers()
    # Nothing is news of this time but the labels: the rest was known when it happened.
    scene = Scene(row, id_, row.latest_ms, context)
    for part in PARTS:
        if part is not CHURN and _is_news(part, row, left, apart):
            part.reunited(scene, left.read(part), apart.read(part), 1)
    now = Scene(row, id_, max(at_ms, row.latest_ms), context)
    CHURN.reunited(now, left.read(CHURN), apart.read(CHURN), 1)
    for other in (left, apart):
        scene.lessons += left_out(other, id_, 1, scene.at_ms, context)
    _count(scene, plan)
    row.take_timers(timers, _TIMERS_OF_THE_PERSON)
    if CONSENT_CHANGED in scene.moments:
        # What is refused holds from now on.
        now.raise_moment(CONSENT_CHANGED)
    scene.moments.clear()
    return [*outcome(scene, plan), *outcome(now, plan)]


def _is_news(part: Part[Any], row: Row, left: Row, apart: Row) -> bool:
    known = part.pack(left.read(part)), part.empty
    return known != (part.pack(row.read(part)), part.pack(apart.read(part)))


def _hand_back_outcomes(source: Row, target: Row) -> None:
    """What became of an action that both have decided is known to ``target`` as to ``source``, so
    that what was withdrawn is not withdrawn again.
    """
    known = {one.id: one.outcome for one in source.read(CONTACTS).latest}
    for place, contact in enumerate(target.read(CONTACTS).latest):
        if contact.outcome == Outcome.NONE != known.get(contact.id, Outcome.NONE):
            target.edit(CONTACTS).latest[place].outcome = known[contact.id]


def _take_over_cell(row: Row, before: Labels, ids: Mapping[str, SubRow], person: str) -> None:
    """Have every cell of the population's count tables in one row alone: the person's row moves on
    with that of the first id that was counted, the other ids keep theirs to take along.
    ``before``: the person's, when they had only these ``ids``.
    """
    kept_by = _first_counted(ids)
    if kept_by is None and before.counted is not None:
        # Counted as a person, and so for the first time.
        kept_by = ids[person]
        _copy_cell(before, kept_by.row.edit(CHURN))
    first = _first_counted(row.ids)
    if first is kept_by:
        _copy_cell(before, row.edit(CHURN))
    elif first is not None:
        if kept_by is not None:
            _copy_cell(before, kept_by.row.edit(CHURN))
        _copy_cell(first.row.read(CHURN), row.edit(CHURN))


def _hand_back_cell(row: Row, id_: str) -> None:
    """Let an id take its cell along, and the person go on with that of the next."""
    if _first_counted(row.ids) is row.ids[id_]:
        _copy_cell(row.read(CHURN), row.ids[id_].row.edit(CHURN))
        left = _first_counted({other: sub for other, sub in row.ids.items() if other != id_})
        _copy_cell(Labels() if left is None else left.row.read(CHURN), row.edit(CHURN))


def _first_counted(ids: Mapping[str, SubRow]) -> SubRow | None:
    """Of the ids that brought a cell, the one that is linked the longest."""
    by_age = sorted(ids.items(), key=lambda item: (item[1].since_ms, item[0]))
    counted = (sub for _, sub in by_age if sub.row.read(CHURN).counted is not None)
    return next(counted, None)


def _copy_cell(source: Labels, target: Labels) -> None:
    target.counted, target.spend_counted = source.counted, source.spend_counted


def _copy_of_cell(labels: Labels) -> Labels:
    return Labels(counted=labels.counted, spend_counted=labels.spend_counted)


def _forget_labels(row: Row, leaving: Row, since_ms: int) -> list[LabelsDropped]:
    """Drop the person's labels whose features used the id that leaves: those that were decided
    since it is linked, and those that it brought and takes along. Its orders, which answer them,
    leave too. Return what is lost: what it takes along is not.
    """
    labels = row.edit(CHURN)
    its = {(point.at_ms, point.features) for point in leaving.read(CHURN).points}
    points = [one for one in labels.points if (one.at_ms, one.features) not in its]
    labels.points = [point for point in points if point.at_ms < since_ms]
    return dropped(Dropped.SPLIT, points, labels.points)


def _reunited(row: Row, change: _Change, context: Context, plan: Plan, moment: str) -> list[Effect]:
    """Make the person's row anew of those of their ids, and everything that follows from it."""
    parameters, rows = plan.parameters, [sub.row for sub in row.ids.values()]
    # Of what the id knows nothing, nothing changes; one id that is left is exactly what it was.
    touched = [part for part in PARTS if _changes(part, change.other, len(rows))]
    # Of who had one id alone that id's row knows it, and has to be read anyway.
    known = row.ids[change.person].row if change.is_first else row
    before = {part.code: known.read(part) for part in touched}
    at_ms, counted = change.at_ms, change.sign if change.is_counted else 0
    # What the parts are about to take back and the sums do not hold.
    unheld = left_out(known, change.person, 1, at_ms, context)
    if counted:
        unheld += left_out(change.other, change.id, counted, at_ms, context)
    beyond: list[LabelsDropped] = []
    row.messages = _together([one.messages for one in rows], plan.message_bytes_max)
    row.latest_ms = max(one.latest_ms for one in rows)
    for part in touched:
        if part not in OF_THE_PERSON:
            if len(rows) == 1:
                # Exactly its own.
                row.replace(part, rows[0].read(part))
            else:
                row.replace(part, part.united([one.read(part) for one in rows], parameters))
        elif change.sign > 0:
            states = [row.read(part), change.other.read(part)]
            row.replace(part, part.united(states, parameters))
            if part is CHURN:
                waited = [point for state in states for point in state.points]
                beyond = dropped(Dropped.BOUND, waited, row.read(CHURN).points)
    _note_contamination(row, change, parameters)
    scene = Scene(row, change.person, max(change.at_ms, row.latest_ms), context)
    # A part that is off goes on to count whom it has counted, and says nothing else.
    unheard = Scene(row, change.person, scene.at_ms, context)
    for part in touched:
        was, other = before[part.code], change.other.read(part)
        if part.is_on(parameters):
            part.reunited(scene, was, other, counted)
        elif any(part.pack(state) != part.empty for state in (was, other)):
            part.reunited(unheard, was, other, counted)
    scene.lessons += [*unheard.lessons, *unheld]
    _count(scene, plan)
    scene.raise_moment(moment)
    return [*outcome(scene, plan), *beyond]


def _count(scene: Scene, plan: Plan) -> None:
    """Take a row that was made anew for counted, as its parts have told, and leave it out if it
    must be; heed what an id has refused.
    """
    if scene.row.read(CONSENT).is_left_out:
        scene.row.edit(CONSENT).is_left_out = False
    follow_consent(scene)
    heed_refusal(scene, plan)


def _note_contamination(row: Row, change: _Change, parameters: Parameters) -> None:
    """Note that what was decided for an id that comes was decided in another group than the
    person's: neither of them is what it would have been with the whole of the person in it.
    """
    if change.sign > 0 and change.other.read(CONTACTS).has_decisions:
        if are_apart(change.person, change.id, parameters):
            row.edit(CONTACTS).contaminate(change.at_ms)


def _changes(part: Part[Any], other: Row, ids: int) -> bool:
    """Whether the person's state of this part is another when the row of an id comes or goes, of
    which so many are there then.
    """
    return part is not IDENTITIES and (part in _ALWAYS or ids == 1 or other.has(part))


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
