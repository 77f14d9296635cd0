"""What a user's row tells ids: that they are this user's, or nobody's from then on."""

from models.customer.identities import (
    BY_ALIAS,
    BY_EVENT,
    BY_MERGE,
    IDENTITIES,
    MERGED,
    SPLIT,
    Claim,
    Identities,
    keep_latest,
    note_claimed,
)
from models.customer.row import Row
from models.events.event import Event
from models.events.link_record import CLAIM, UNLINK, LinkRecord, LinkSaid
from models.plan import Plan

#: Why an id leaves: a split says so.
BY_SPLIT = "split"


def told(row: Row, event: Event, plan: Plan) -> list[LinkRecord]:
    """What a user's event says of who they are."""
    at_ms, customer = event.occurred_at_ms, event.customer
    if event.name == SPLIT:
        said = LinkSaid(event.properties.id, customer, BY_SPLIT, until=at_ms)
        return [LinkRecord(UNLINK, event.properties.id, at_ms, said)]
    if not event.identified or not plan.parameters.identity.enabled:
        return []
    if event.name == MERGED:
        return _claimed(row, event.properties.from_user_id, customer, at_ms, BY_MERGE)
    by = BY_ALIAS if event.name == "alias" else BY_EVENT
    # Each by itself: one that is another user's by then takes nothing from the other.
    return [record for id_ in event.named for record in _claimed(row, id_, customer, at_ms, by)]


def _claimed(row: Row, id_: str, person: str, at_ms: int, by: str) -> list[LinkRecord]:
    state = row.edit(IDENTITIES)
    is_news = note_claimed(state.claimed, id_, at_ms, by)
    keep_latest(state.claimed, row.ids)
    said = LinkSaid(id_, person, by, owner=state.person)
    return [LinkRecord(CLAIM, id_, at_ms, said)] if is_news else []


def claim_of(state: Identities, id_: str, claim: Claim, user: str) -> LinkRecord:
    """To an id that this user claims already: since when, and whose they are by now."""
    said = LinkSaid(id_, user, claim.by, owner=state.person)
    return LinkRecord(CLAIM, id_, claim.first_ms, said)


def owner_told(state: Identities, user: str) -> list[LinkRecord]:
    """To every id that this user claims: whose they are by now."""
    return [claim_of(state, id_, claim, user) for id_, claim in sorted(state.claimed.items())]
