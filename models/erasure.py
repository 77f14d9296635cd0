"""Erasure: what a request for it, or a record of one, leaves of a row, and what may come later.

A request is folded by the row of its id, like any event. An id sends a record to its person, and a
person to each of their ids, each in its own partition, so that the whole person is erased:

    id ── erase ──► person ── erase ──► every id of theirs

Each of them leaves a grave. Records that were sent before, and later events, meet that grave.
"""

from typing import NamedTuple

from msgspec.structs import replace

from models import inactivity
from models.counted import held
from models.customer.churn import CHURN
from models.customer.identities import IDENTITIES, Identities
from models.customer.labels import Dropped, LabelsDropped, dropped
from models.customer.row import Row
from models.customer.scene import Context
from models.engine import Effect
from models.events.erasure_record import DELETE_ONLY, SUPPRESS, UNSUPPRESS, Erased
from models.events.event import Event
from models.events.link_record import (
    ERASE,
    GRAFT,
    LEFT,
    PER_RECORD_MAX,
    RELEASE,
    LinkRecord,
    LinkSaid,
)
from models.events.times import LATEST_MS
from models.graves import NO_GRAVE, Grave
from models.headcount import Headcount
from models.learning.lessons import Tally
from models.link_step import row_in
from models.linked_id import freed, goes_with, is_users, owner_of
from models.plan import Plan


class Left(NamedTuple):
    """``row``: the row afterwards, None for none; ``grave``: the new grave, None if it does not
    change. ``is_erased``: the former content of the row is gone.
    """

    row: Row | None
    grave: Grave | None
    effects: list[Effect]
    is_erased: bool = False


class _Order(NamedTuple):
    """Whom to erase, as requested at ``said_ms``, with everything dated up to ``at_ms``."""

    customer: str
    mode: str
    said_ms: int
    at_ms: int
    historical: bool
    #: The person whose erasure caused this one, and who therefore needs no record.
    by: str = ""


def request(
    row: Row | None, grave: Grave | None, event: Event, context: Context, plan: Plan
) -> Left | None:
    """What a ``User Erase Requested`` leaves; None if it changes nothing, because an earlier
    request has the same time or a later one.
    """
    at_ms, before = event.occurred_at_ms, grave or NO_GRAVE
    mode = event.properties.mode or DELETE_ONLY
    if mode == UNSUPPRESS:
        if at_ms <= before.said_ms:
            return None
        return Left(row, replace(before, said_ms=at_ms, is_suppressed=False), [])
    if not _is_news(before, mode, at_ms) and at_ms <= before.at_ms:
        return None
    order = _Order(event.customer, mode, at_ms, at_ms, event.historical)
    return _erased(row, before, order, context, plan)


def expiry(customer: str, at_ms: int) -> LinkRecord:
    """The record that erases a customer for being inactive by ``at_ms``. It has the form of a
    record that a person sends to themselves, and goes through the log, so that every reader of the
    log or its archive knows of it.
    """
    return _erase(_Order(customer, DELETE_ONLY, at_ms, at_ms, False), customer, customer, customer)


def is_expiry(record: LinkRecord) -> bool:
    """Whether the record erases a customer for inactivity."""
    return record.kind == ERASE and record.customer == record.said.person == record.said.id


def take(
    row: Row | None, grave: Grave | None, record: LinkRecord, context: Context, plan: Plan
) -> Left | None:
    """What is left of ``record.customer`` when their person, or one of their ids, was erased; None
    if this does not concern them, or no longer does.
    """
    said = record.said
    order = _Order(record.customer, said.by, record.at_ms, said.until, said.historical)
    before = grave or NO_GRAVE
    if row is None:
        return None
    state = row.read(IDENTITIES)
    if is_expiry(record):
        is_silent = inactivity.is_silent(row, record.at_ms, plan.inactive_ms)
        return _erased(row, before, order, context, plan) if is_silent else None
    if record.customer == said.person:
        # If it concerns an earlier person of the same name, that one is erased already.
        is_theirs = said.id in row.ids or said.id in state.claimed
        if not is_theirs or said.since <= before.at_ms:
            return None
        return _erased(row, before, order, context, plan)
    return _at_id(row, state, before, record, order._replace(by=said.person), context, plan)


def _at_id(
    row: Row,
    state: Identities,
    before: Grave,
    record: LinkRecord,
    order: _Order,
    context: Context,
    plan: Plan,
) -> Left | None:
    """The person ``order.by``, who has this id or claims it, was erased."""
    person, claim = order.by, state.claims.get(order.by)
    if claim is not None and claim.first_ms > order.at_ms:
        # A new person of this name claims it.
        return None
    if state.person == person and state.is_leaving:
        # The id was leaving this person, who can no longer let go of it.
        state = row.edit(IDENTITIES)
        state.claims.pop(person, None)
        was = Headcount.of(row)
        back = freed(row, record, context, plan)
        told = was.changed_to(Headcount.of(back.row), record.at_ms)
        # The person's share, with this id's in it, was subtracted.
        told += held(back.row, record.customer, 1, record.at_ms, context)
        return Left(back.row, None, [*back.effects, *told])
    if owner_of(row) == person:
        return _erased(row, before, order, context, plan)
    if claim is None:
        return None
    del row.edit(IDENTITIES).claims[person]
    return Left(row, None, [])


def _is_news(before: Grave, mode: str, said_ms: int) -> bool:
    """Whether this is a suppression later than what is known; at the same moment, suppression
    wins.
    """
    if mode != SUPPRESS:
        return False
    return said_ms > before.said_ms or (said_ms == before.said_ms and not before.is_suppressed)


def _erased(row: Row | None, before: Grave, order: _Order, context: Context, plan: Plan) -> Left:
    at_ms = max(order.at_ms, before.at_ms, _latest_ms(row))
    named = None if row is None else _still_named(row, order)
    grave = replace(before, at_ms=at_ms)
    # An id that others continue to use is not suppressed.
    if named is None and _is_news(before, order.mode, order.said_ms):
        grave = replace(grave, said_ms=order.said_ms, is_suppressed=True)
    effects: list[Effect] = [Erased(order.customer, at_ms, order.mode, row is not None)]
    if row is not None:
        effects += _told(row, order._replace(at_ms=at_ms), plan)
        effects += _labels_of(row)
        effects += _sums_of(row, order, context)
        effects += Headcount.of(row).changed_to(Headcount.of(named), order.said_ms)
    return Left(named, grave, effects, is_erased=True)


def _labels_of(row: Row) -> list[LabelsDropped]:
    """The labels that went with a row. A mirror has none of its own: they are its person's."""
    if row.read(IDENTITIES).is_mirror:
        return []
    return dropped(Dropped.ERASED, row.read(CHURN).points, ())


def _sums_of(row: Row, order: _Order, context: Context) -> list[Tally]:
    """The row's share in the sums over all customers, subtracted. A mirror has none of its own."""
    if row.read(IDENTITIES).is_mirror:
        return []
    return held(row, order.customer, -1, max(order.said_ms, row.latest_ms), context)


def _latest_ms(row: Row | None) -> int:
    """The latest time that the row knows of: nothing up to it may come again."""
    if row is None:
        return 0
    claims = (claim.last_ms for claim in row.read(IDENTITIES).claims.values())
    ids = (sub.row.latest_ms for sub in row.ids.values())
    return max(row.latest_ms, *claims, *ids, 0)


def _told(row: Row, order: _Order, plan: Plan) -> list[LinkRecord]:
    """Records to the ids and the person to erase with this row, and to claimants that must let
    go.
    """
    state, customer = row.read(IDENTITIES), order.customer
    ids = sorted({*row.ids, *state.claimed} - {customer, order.by})
    records = [_erase(order, id_, customer, id_) for id_ in ids]
    claimants = {*state.claims, state.person} - {"", order.by}
    person, since_ms = goes_with(row, plan.parameters)
    if person in claimants:
        claimants.discard(person)
        records.append(_erase(order, person, person, customer, since_ms))
    if not _stays_named(row, order):
        until = LinkSaid(customer, "", until=order.at_ms, historical=order.historical)
        records += [
            LinkRecord(RELEASE, user, order.said_ms, replace(until, person=user))
            for user in sorted(claimants)
        ]
    # More than this is abuse; the other claimants let go when they next claim it.
    return records[:PER_RECORD_MAX]


def _erase(order: _Order, to: str, person: str, id_: str, since_ms: int = 0) -> LinkRecord:
    said = LinkSaid(
        id_, person, order.mode, since=since_ms, until=order.at_ms, historical=order.historical
    )
    return LinkRecord(ERASE, to, order.said_ms, said)


def _stays_named(row: Row, order: _Order) -> bool:
    """Whether others' claims stay: on a visitor's id that is erased with one of those who shared
    it.
    """
    return bool(order.by) and not is_users(row)


def _still_named(row: Row, order: _Order) -> Row | None:
    state = row.read(IDENTITIES)
    others = {user: claim for user, claim in state.claims.items() if user != order.by}
    if not others or not _stays_named(row, order):
        return None
    named = Row()
    named.edit(IDENTITIES).claims = others
    return named


def meet(row: Row | None, grave: Grave, record: LinkRecord) -> list[LinkRecord] | None:
    """The records that follow when a record meets the grave of a customer who was erased after it
    was sent, or who is suppressed; None if the record is to be folded as usual.
    """
    said, customer = record.said, record.customer
    match record.kind:
        case "link":
            if not grave.hides(record.at_ms):
                return None
            until = LATEST_MS if grave.is_suppressed else grave.at_ms
            let_go = LinkSaid(customer, said.person, until=until, historical=said.historical)
            return [LinkRecord(RELEASE, said.person, record.at_ms, let_go)]
        case "graft":
            return [_erase_too(grave, record)] if grave.hides(said.since) else None
        case "unlink":
            return [] if grave.hides(said.until) else None
        case _:
            return [] if row is None else None


def sums_under_way(record: LinkRecord, context: Context) -> list[Tally]:
    """The share in the sums over all customers of a row that was on its way to a person, or back,
    and met a grave, subtracted. What is sent again is of a person who has none.
    """
    said = record.said
    if record.kind not in (GRAFT, LEFT) or said.again:
        return []
    return held(row_in(record), said.id, -1, record.at_ms, context)


def _erase_too(grave: Grave, record: LinkRecord) -> LinkRecord:
    """Erase an id that joined a person who was erased already."""
    said, mode = record.said, SUPPRESS if grave.is_suppressed else DELETE_ONLY
    said_ms = grave.said_ms if grave.is_suppressed else grave.at_ms
    at_ms = max(grave.at_ms, said.since)
    order = _Order(record.customer, mode, said_ms, at_ms, said.historical)
    return _erase(order, said.id, record.customer, said.id)
