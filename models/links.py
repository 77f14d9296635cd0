"""Who is whose: what a row tells other rows of it, and what it makes of what they tell it.

An id's own row decides whose the id is (`models.linked_id`), because all who claim it tell that row
(`models.claims`). The person's row then has the id's row among its ids, and is told what the id
does (`models.linked_person`); the id's own goes on as a mirror of that, so that nothing is missing
when it leaves.

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
    """Whether an event says who somebody is, were it the first that is known of them."""
    if not plan.parameters.identity.enabled:
        return event.name == SPLIT
    return not event.identified or event.visitor is not None or event.name in (MERGED, SPLIT)


def is_elsewhere(row: Row) -> bool:
    """Whether it is the row of an id that is another person's, in whose profile it is told."""
    return identity.is_mirror(row)


def is_told(row: Row) -> bool:
    """Whether it is somebody's: an id that others have only named, or that is another person's, is
    no customer. One that several share is, also before anything is done with it since.
    """
    return (row.latest_ms > 0 or row.read(IDENTITIES).is_apart) and not is_elsewhere(row)


def person_of(row: Row) -> str:
    """Whose id it is, of such a row."""
    return row.read(IDENTITIES).person


def advance(row: Row, event: Event, context: Context, plan: Plan) -> Stepped:
    """`engine.step` for anybody: of a person with several ids, or an id of another's, too."""
    if was_user(row, event, plan):
        row.edit(IDENTITIES).is_user = True
    state, begun, effects = row.read(IDENTITIES), list[Effect](), list[Effect]()
    whose = state.is_apart, state.is_mirror
    if state.claims:
        # They may have waited for it to begin.
        begun = began(row, event, plan)
    try:
        if state.is_mirror:
            fate = identity.mirror(row, event.customer, event, context, plan)
        elif state.is_apart and event.occurred_at_ms < state.shared_ms:
            # From before it was shared, so it is the first user's.
            whole = row.ids[event.customer].row
            fate = identity.mirror(whole, event.customer, event, context, plan)
            effects += keep_word(row, whole, event.occurred_at_ms, plan)
            word = Scene(row, event.customer, event.occurred_at_ms, context)
            follow_consent(word, plan)
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
    """What history says of whose an id is stays history, however far it is told; an event that is
    passed on says so itself.
    """
    if cause.historical:
        for effect in effects:
            if isinstance(effect, LinkRecord) and effect.kind != FORWARDED:
                effect.said = msgspec.structs.replace(effect.said, historical=True)
    return effects


def take(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """What a record of another row does to this one, the row of ``record.customer``. Raises
    ``Rejected`` for a record that no worker wrote, before anything changes.
    """
    was_rehearsal, before = context.is_rehearsal, Headcount.of(row)
    context.is_rehearsal = was_rehearsal or record.said.historical
    try:
        stepped = _taken(row, record, context, plan)
    finally:
        context.is_rehearsal = was_rehearsal
    _because_of(record.said, stepped.effects)
    # A row that was copied on the way, to be sent, takes itself for packed.
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
