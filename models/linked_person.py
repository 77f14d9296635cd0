"""A person's side of a link: ids come with their rows, forward their events, and leave again."""

from typing import NamedTuple

import msgspec

from models import identity
from models.claims import claim_of, forgotten, within_limits
from models.counted import held
from models.customer.identities import BY_MERGE, IDENTITIES, Identities
from models.customer.row import Row, encode_row
from models.customer.scene import Context
from models.engine import Effect, Fate
from models.events.link_record import LEFT, LinkRecord, LinkSaid, row_text
from models.events.rejection import Rejected
from models.link_step import Stepped, event_in, passed_on, passed_over, row_in
from models.linked_id import grafted
from models.plan import Plan


def take_graft(row: Row, record: LinkRecord, context: Context, plan: Plan) -> list[Effect]:
    """An id belongs to this person from here on; or an id that has ids itself brings its row again,
    because it has changed by more than its events.
    """
    said, person, joining = record.said, record.customer, row_in(record)
    if said.again and said.id not in row.ids:
        return []
    state = row.read(IDENTITIES)
    if said.id in row.ids:
        times = record.at_ms, said.since
        effects = identity.relink(row, person, said.id, joining, times, context, plan)
        # It counts with the person that this one belongs to, before and after.
        effects = [] if state.is_mirror else effects
    else:
        came = _Came(person, record.at_ms, context, plan)
        linked = identity.link(row, person, said.id, joining, said.since, context, plan)
        effects = came.as_it_decides(state, linked, joining, 1)
    effects += passed_over(row, record, context, plan)
    state = row.edit(IDENTITIES)
    claim = state.claimed.get(said.id)
    # A claim that was dropped in between, because there were too many: the id leaves again.
    unknown = [] if claim is not None else [forgotten(said.id, said.since, person, record.at_ms)]
    return [
        *effects,
        *unknown,
        *within_limits(row, person, record.at_ms, plan),
        *_changed(row, person, state, record.at_ms),
    ]


def take_forwarded(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """Apply an event of one of this person's ids; an id that has left since knows it itself."""
    id_, person = record.said.id, record.customer
    if id_ not in row.ids:
        return Stepped(row, [])
    state, event = row.read(IDENTITIES), event_in(record, plan)
    context.is_passed_on = True
    try:
        if not state.is_mirror:
            fate, effects = identity.advance(row, person, event, context, plan)
            theirs = msgspec.structs.replace(event, customer=person)
            return Stepped(row, effects, passed_on=theirs if fate is Fate.APPLIED else None)
        sub = msgspec.structs.replace(event, customer=id_)
        if identity.mirror(row, person, sub, context, plan) is not Fate.APPLIED:
            return Stepped(row, [])
    except Rejected:
        # What the id has recorded is not what the person has.
        return Stepped(row, [])
    finally:
        context.is_passed_on = False
    return Stepped(row, [*passed_on(state, msgspec.structs.replace(event, customer=person))])


def take_release(row: Row, record: LinkRecord, context: Context, plan: Plan) -> list[Effect]:
    """An id does not belong to this person, or no longer does: it gets its row back. Later claims
    are sent again, and first, so that the id knows them when it is its own again.
    """
    said, person = record.said, record.customer
    state = row.edit(IDENTITIES)
    if said.by == BY_MERGE:
        return _not_merged(row, said, record, plan)
    again = _claimed_again(state, said, person)
    if said.id not in row.ids or said.id == person:
        return [*again]
    left, effects = identity.split(row, person, said.id, record.at_ms, context, plan)
    came = _Came(person, record.at_ms, context, plan)
    effects = came.as_it_decides(state, effects, left, -1)
    effects += passed_over(row, record, context, plan)
    back = LinkSaid(said.id, person, row=row_text(encode_row(left)))
    return [
        *effects,
        *again,
        LinkRecord(LEFT, said.id, record.at_ms, back),
        *within_limits(row, person, record.at_ms, plan),
        *_changed(row, person, state, record.at_ms),
    ]


def _not_merged(row: Row, said: LinkSaid, record: LinkRecord, plan: Plan) -> list[Effect]:
    """A user, or a visitor, was not merged into this one; as a visitor it may still be theirs."""
    claimed = row.edit(IDENTITIES).claimed
    claim = claimed.get(said.id)
    if claim is not None and claim.by == BY_MERGE and not claim.void_act():
        del claimed[said.id]
    return [*within_limits(row, record.customer, record.at_ms, plan)]


def _claimed_again(state: Identities, said: LinkSaid, person: str) -> list[LinkRecord]:
    claim = state.claimed.get(said.id)
    if claim is None:
        return []
    if not claim.void(said.until):
        del state.claimed[said.id]
        return []
    return [claim_of(state, said.id, claim, person)]


class _Came(NamedTuple):
    """An id comes to a person, or leaves, at a moment."""

    person: str
    at_ms: int
    context: Context
    plan: Plan

    def as_it_decides(
        self, state: Identities, effects: list[Effect], other: Row, sign: int
    ) -> list[Effect]:
        """If this person belongs to another, the only effect is that the ``other`` id no longer
        counts by itself in the sums over all customers, or does again. All other effects are the
        owner's, who has this person's ids as they were, by another clock; or the person's own, once
        they are on their own again.
        """
        if not state.is_mirror:
            return effects
        return [*held(other, self.person, -sign, self.at_ms, self.context)]


def _changed(row: Row, person: str, state: Identities, at_ms: int) -> list[LinkRecord]:
    """A person with ids who belongs to another reports changes of these ids."""
    if not state.is_mirror or state.is_leaving:
        return []
    return [grafted(row, person, state, at_ms, again=True)]
