"""Which id belongs to whom: the records that a row sends to others, and what it does with theirs.

An id's own row decides who owns the id (`models.linked_id`), because all who claim it send that row
a record (`models.claims`). The person's row then has the id's row among its ids, and gets a record
of what the id does (`models.linked_person`). The id's own row goes on as a mirror, so that nothing
is missing when the id leaves.

    user ── link ──► id ── graft, forwarded ──► person
    anybody ── unlink ──► id ── release ──► person ── left ──► id
"""

import msgspec

from models import identity
from models.claims import told
from models.counted import follow_consent
from models.customer.identities import IDENTITIES, MERGED, SPLIT
from models.customer.row import NO_IDS, Row
from models.customer.scene import Context, Scene
from models.engine import Effect, Fate, step
from models.events.event import Event
from models.events.link_record import FORWARDED, LinkRecord, LinkSaid
from models.events.rejection import Rejected
from models.headcount import Headcount, recounted
from models.link_step import Stepped, passed_on
from models.linked_id import began, keep_word, take_claim, take_left, take_unlink, was_user
from models.linked_person import take_forwarded, take_graft, take_release
from models.plan import Plan


def may_link(event: Event, plan: Plan) -> bool:
    """Whether an event would link ids if it were the customer's first."""
    if not plan.parameters.identity.enabled:
        return event.name == SPLIT
    return not event.identified or event.visitor is not None or event.name in (MERGED, SPLIT)


def is_elsewhere(row: Row) -> bool:
    """Whether the row belongs to an id of another person, in whose profile it appears."""
    return identity.is_mirror(row)


def is_told(row: Row) -> bool:
    """Whether the row is a customer. An id that others have only named is none, and neither is an
    id of another person. A shared id is one, even before anything was done with it since.
    """
    return (row.latest_ms > 0 or row.read(IDENTITIES).is_apart) and not is_elsewhere(row)


def person_of(row: Row) -> str:
    """The person that such an id belongs to."""
    return row.read(IDENTITIES).person


def advance(row: Row, event: Event, context: Context, plan: Plan) -> Stepped:
    """`engine.step` for any row: also for a person with several ids, and for an id of another
    person.
    """
    if was_user(row, event, plan):
        row.edit(IDENTITIES).is_user = True
    state, begun, effects = row.read(IDENTITIES), list[Effect](), list[Effect]()
    whose = state.is_apart, state.is_mirror
    if state.claims:
        # Claims may have waited for the id to begin.
        begun = began(row, event, plan)
    try:
        if state.is_mirror:
            fate = identity.mirror(row, event.customer, event, context, plan)
        elif state.is_apart and event.occurred_at_ms < state.shared_ms:
            # It is from before the id was shared, so it belongs to the first user.
            whole = row.ids[event.customer].row
            fate = identity.mirror(whole, event.customer, event, context, plan)
            effects += keep_word(row, whole, event.occurred_at_ms, plan)
            word = Scene(row, event.customer, event.occurred_at_ms, context)
            follow_consent(word)
            effects += word.settled
        elif row.ids is not NO_IDS:
            fate, effects = identity.advance(row, event.customer, event, context, plan)
        else:
            fate, effects = step(row, event, context, plan)
    except Rejected as refused:
        counted = recounted(row, *whose, event.occurred_at_ms)
        return Stepped(row, [*_because_of(event, begun), *counted], refused=refused)
    records = list[Effect]()
    if fate is Fate.APPLIED:
        records = [*began(row, event, plan), *passed_on(state, event), *told(row, event, plan)]
    begun, records = _because_of(event, begun), _because_of(event, records)
    counted = recounted(row, *whose, event.occurred_at_ms)
    return Stepped(row, [*begun, *effects, *records, *counted], fate)


def _because_of(cause: Event | LinkSaid, effects: list[Effect]) -> list[Effect]:
    """Mark the records that follow from history as historical, however far they travel. A forwarded
    event says so itself.
    """
    if cause.historical:
        for effect in effects:
            if isinstance(effect, LinkRecord) and effect.kind != FORWARDED:
                effect.said = msgspec.structs.replace(effect.said, historical=True)
    return effects


def take(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """Apply another row's record to this one, the row of ``record.customer``. Raises ``Rejected``
    for a record that no worker wrote, before anything changes.
    """
    was_rehearsal, before = context.is_rehearsal, Headcount.of(row)
    context.is_rehearsal = was_rehearsal or record.said.historical
    try:
        stepped = _taken(row, record, context, plan)
    finally:
        context.is_rehearsal = was_rehearsal
    _because_of(record.said, stepped.effects)
    # Mark it as changed: a row that was copied for sending counts as packed.
    stepped.row.edit(IDENTITIES)
    stepped.effects.extend(before.changed_to(Headcount.of(stepped.row), record.at_ms))
    return stepped


def _taken(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    match record.kind:
        case "link":
            return take_claim(row, record, plan)
        case "unlink":
            return Stepped(row, take_unlink(row, record, plan))
        case "graft":
            return Stepped(row, take_graft(row, record, context, plan))
        case "forwarded":
            return take_forwarded(row, record, context, plan)
        case "release":
            return Stepped(row, take_release(row, record, context, plan))
        case _:
            return take_left(row, record, context, plan)
