"""A person with several ids: their row is folded like one customer's, and each id again by itself.

An id that leaves takes with it the state from its own events, so nothing has to be undone.
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
from models.customer.lifecycle import LIFECYCLE
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

#: Parts whose state does not come from events alone: decisions and their outcomes, labels, and
#: since when the customer is in a segment.
OF_THE_PERSON: tuple[Part[Any], ...] = (CONTACTS, CHURN, SEGMENTS, LIFT)
#: Parts that depend on what other parts know: a person's orders say whether they have left, and of
#: which class they are.
_ALWAYS: tuple[Part[Any], ...] = (CHURN, SEGMENTS, RISK, LIFECYCLE)
#: Timers that depend on decisions, on labels, or on the person's last activity.
_TIMERS_OF_THE_PERSON: frozenset[str] = frozenset(
    {INACTIVE, *(timer.code for part in OF_THE_PERSON for timer in part.timers)} - {DECISION}
)
_MESSAGE_BYTES = 8


class NotLinked(ValueError):
    """An id cannot be linked, or cannot leave; the message says why. Nothing has changed."""


class _Change(NamedTuple):
    """A change of a person: an id's row joins (``sign`` 1) or leaves (-1) at ``at_ms``. One that
    joins may be the first besides the person's own. ``is_counted``: the id counts by itself before
    it joins, or once it has left; not if it leaves only to be replaced by another row of the same
    id.
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
    # Each row records what it accepts itself: the person may have heard under one id what another
    # id has not, and the person may have an order that the id does not.
    with suppress(Rejected):
        follow(row.ids[event.customer].row, event, context, plan)
    return step(row, theirs, context, plan)


def is_mirror(row: Row) -> bool:
    """Whether this is the row of an id that belongs to another person, who decides."""
    return row.ids is not NO_IDS and row.read(IDENTITIES).is_mirror


def mirror(row: Row, id_: str, event: Event, context: Context, plan: Plan) -> Fate:
    """`step` for an id that belongs to another person: its state is kept, so that it can leave.

    Raises ``Rejected`` as `step` does.
    """
    if id_ in row.ids:
        with suppress(Rejected):
            follow(row.ids[event.customer].row, event, context, plan)
    return follow(row, msgspec.structs.replace(event, customer=id_), context, plan)


def run_due(row: Row, person: str, before_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """`engine.run_due` for a person with several ids. Also runs the timers of each id by itself, so
    that they use the model that was in force when they fell due.
    """
    for id_, sub in row.ids.items():
        follow_due(sub.row, id_, before_ms, context, plan)
    return run_due_of_one(row, person, before_ms, context, plan)


def run_timers(row: Row, person: str, due_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """`engine.run_timers` for any customer: at exactly ``due_ms``, including the timers of their
    ids.
    """
    if row.ids is NO_IDS:
        # Nearly all customers.
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
    """`engine.take_up` for any customer, and for each of their ids by itself."""
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
    ``is_counted``: until now it counted by itself in the sums over all customers.

    Raises ``NotLinked`` for the person's own id, and for one that is linked to them already.
    """
    if id_ == person:
        raise NotLinked(f"{person} is this person: nobody is linked to themselves")
    if id_ in row.ids:
        raise NotLinked(f"{id_} is linked to {person} already")
    is_first = not row.ids
    ids = row.ids or {person: SubRow(0, copy_of(row))}
    was_counted = _copy_of_cell(row.read(CHURN))
    # In the order of a stored row: the union of all ids must not depend on when the row was last
    # read.
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
    """Let ``id_`` leave the person at ``at_ms``. Returns its row, which is as if it had never been
    linked, except that the decisions and lessons in between were the person's. ``is_counted``: from
    now on it counts by itself in the sums over all customers.

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
        # These timers ran for their own id all the time.
        row.take_timers(row.ids[person].row.packed_timers(), _TIMERS_OF_THE_PERSON)
        row.ids = {} if row.read(IDENTITIES).is_mirror else NO_IDS
    return leaving, [*effects, *lost]


def relink(
    row: Row, person: str, id_: str, anew: Row, said: tuple[int, int], context: Context, plan: Plan
) -> list[Effect]:
    """Replace the row of ``id_``, which is linked already, by ``anew``. ``said``: the time at which
    it became another row, and since when it is linked.

    Neither row counts by itself in the sums over all customers: the old one followed the clock of
    this partition and the new one that of its own, so they may differ.
    """
    at_ms, since_ms = said
    left, effects = split(row, person, id_, at_ms, context, plan, is_counted=False)
    with_labels_of(anew, left)
    linked = link(row, person, id_, anew, since_ms, context, plan, is_counted=False)
    return [*effects, *linked]


def copy_of(row: Row) -> Row:
    """A copy of a customer's row without its links. It still says whether it is a visitor's id,
    because parts read that.
    """
    copied, state = decode_row(encode_row(row)), row.read(IDENTITIES)
    copied.ids = NO_IDS
    kept = Identities(is_visitor=state.is_visitor, is_user=state.is_user)
    copied.replace(IDENTITIES, kept)
    return copied


def with_labels_of(row: Row, left: Row) -> Row:
    """``row`` with the labels and the cell of ``left``, which the person has advanced."""
    row.replace(CHURN, CHURN.unpack(CHURN.pack(left.read(CHURN))))
    return row


def returned(
    row: Row, id_: str, left: Row, apart: Row, at_ms: int, context: Context, plan: Plan
) -> list[Effect]:
    """Let an id be its own again. ``left``: the row that the person had of it, with labels and a
    cell of the count tables. The sums over all customers contain the state of ``left``, and of
    ``apart`` if the id was its own for a while already.
    """
    with_labels_of(row, left)
    _hand_back_outcomes(left, row)
    timers = row.packed_timers()
    # Only the labels are news at this time: everything else was known when it happened.
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
        # Refusals apply from now on.
        now.raise_moment(CONSENT_CHANGED)
    scene.moments.clear()
    return [*outcome(scene, plan), *outcome(now, plan)]


def _is_news(part: Part[Any], row: Row, left: Row, apart: Row) -> bool:
    known = part.pack(left.read(part)), part.empty
    return known != (part.pack(row.read(part)), part.pack(apart.read(part)))


def _hand_back_outcomes(source: Row, target: Row) -> None:
    """Copy the outcomes of actions that both rows have from ``source`` to ``target``, so that
    nothing is withdrawn twice.
    """
    known = {one.id: one.outcome for one in source.read(CONTACTS).latest}
    for place, contact in enumerate(target.read(CONTACTS).latest):
        if contact.outcome == Outcome.NONE != known.get(contact.id, Outcome.NONE):
            target.edit(CONTACTS).latest[place].outcome = known[contact.id]


def _take_over_cell(row: Row, before: Labels, ids: Mapping[str, SubRow], person: str) -> None:
    """Keep each cell of the population's count tables in one row only: the person's row continues
    with that of the first counted id, and the other ids keep theirs, to take them along.
    ``before``: the person's labels when they had only these ``ids``.
    """
    kept_by = _first_counted(ids)
    if kept_by is None and before.counted is not None:
        # The person was counted as a whole, and so for the first time.
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
    """Let an id take its cell along; the person continues with that of the next id."""
    if _first_counted(row.ids) is row.ids[id_]:
        _copy_cell(row.read(CHURN), row.ids[id_].row.edit(CHURN))
        left = _first_counted({other: sub for other, sub in row.ids.items() if other != id_})
        _copy_cell(Labels() if left is None else left.row.read(CHURN), row.edit(CHURN))


def _first_counted(ids: Mapping[str, SubRow]) -> SubRow | None:
    """Among the ids that brought a cell, the one with the oldest link."""
    by_age = sorted(ids.items(), key=lambda item: (item[1].since_ms, item[0]))
    counted = (sub for _, sub in by_age if sub.row.read(CHURN).counted is not None)
    return next(counted, None)


def _copy_cell(source: Labels, target: Labels) -> None:
    target.counted, target.spend_counted = source.counted, source.spend_counted


def _copy_of_cell(labels: Labels) -> Labels:
    return Labels(counted=labels.counted, spend_counted=labels.spend_counted)


def _forget_labels(row: Row, leaving: Row, since_ms: int) -> list[LabelsDropped]:
    """Drop the person's labels whose features used the leaving id: those decided since it was
    linked, and those that it brought and takes along. Its orders, which answer them, leave, too.
    Return the labels that are lost; those that it takes along are not.
    """
    labels = row.edit(CHURN)
    its = {(point.at_ms, point.features) for point in leaving.read(CHURN).points}
    points = [one for one in labels.points if (one.at_ms, one.features) not in its]
    labels.points = [point for point in points if point.at_ms < since_ms]
    return dropped(Dropped.SPLIT, points, labels.points)


def _reunited(row: Row, change: _Change, context: Context, plan: Plan, moment: str) -> list[Effect]:
    """Unite the person's row again from those of their ids, with all consequences."""
    parameters, rows = plan.parameters, [sub.row for sub in row.ids.values()]
    # A part without state of this id does not change; a single remaining id has exactly its own
    # state.
    touched = [part for part in PARTS if _changes(part, change.other, len(rows))]
    # With one id only, that id's row has the state, and must be read anyway.
    known = row.ids[change.person].row if change.is_first else row
    before = {part.code: known.read(part) for part in touched}
    at_ms, counted = change.at_ms, change.sign if change.is_counted else 0
    # The share that the parts will subtract, but that the sums do not contain.
    unheld = left_out(known, change.person, 1, at_ms, context)
    if counted:
        unheld += left_out(change.other, change.id, counted, at_ms, context)
    beyond: list[LabelsDropped] = []
    row.messages = _together([one.messages for one in rows], plan.message_bytes_max)
    row.latest_ms = max(one.latest_ms for one in rows)
    for part in touched:
        if part not in OF_THE_PERSON:
            if len(rows) == 1:
                # Exactly the id's own state.
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
    # A part that is off continues to count the customers that it has counted, and does nothing
    # else.
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
    """Treat a united row as counted, as its parts have reported it, and take it out of the sums if
    it must be; follow an id's refusals.
    """
    if scene.row.read(CONSENT).is_left_out:
        scene.row.edit(CONSENT).is_left_out = False
    follow_consent(scene)
    heed_refusal(scene, plan)


def _note_contamination(row: Row, change: _Change, parameters: Parameters) -> None:
    """Note that decisions for a joining id were made in another group than the person's: neither
    group is then what it would have been with the whole person in it.
    """
    if change.sign > 0 and change.other.read(CONTACTS).has_decisions:
        if are_apart(change.person, change.id, parameters):
            row.edit(CONTACTS).contaminate(change.at_ms)


def _changes(part: Part[Any], other: Row, ids: int) -> bool:
    """Whether the person's state of this part changes when the row of an id joins or leaves;
    ``ids``: the number of ids after that.
    """
    return part is not IDENTITIES and (part in _ALWAYS or ids == 1 or other.has(part))


def _take_over_timers(row: Row, joining: Row) -> None:
    """What was handled for an id is not handled again for the person."""
    for code, theirs in joining.timers():
        mine = row.due(code)
        if theirs.handled_ms > mine.handled_ms:
            due_ms = mine.due_ms
            row.set_due(code, theirs.handled_ms, may_repeat=True)
            row.finish(code, theirs.handled_ms)
            row.set_due(code, due_ms)


def _together(of_ids: list[bytes], bytes_max: int) -> bytes:
    """The fingerprints of all ids, ordered so that each id's latest come last: the first are
    dropped first.
    """
    found: list[bytes] = []
    for back in range(_MESSAGE_BYTES, max(map(len, of_ids)) + 1, _MESSAGE_BYTES):
        for messages in of_ids:
            if back <= len(messages):
                start = len(messages) - back
                found.append(messages[start : start + _MESSAGE_BYTES])
    latest = list(dict.fromkeys(found))[: bytes_max // _MESSAGE_BYTES]
    return b"".join(reversed(latest))
