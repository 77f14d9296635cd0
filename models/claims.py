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

#: Why an id leaves: a split says so, or a user has too many.
BY_SPLIT, BY_LIMIT = "split", "limit"


def told(row: Row, event: Event, plan: Plan) -> list[LinkRecord]:
    """What a user's event says of who they are."""
    at_ms, customer = event.occurred_at_ms, event.customer
    if event.name == SPLIT:
        said = LinkSaid(event.properties.id, customer, BY_SPLIT, until=at_ms)
        return [LinkRecord(UNLINK, event.properties.id, at_ms, said)]
    if not claims_ids(event, plan):
        return []
    if event.name == MERGED:
        return _claimed(row, event.properties.from_user_id, customer, at_ms, BY_MERGE, plan)
    by = BY_ALIAS if event.name == "alias" else BY_EVENT
    # Each by itself: one that is another user's by then takes nothing from the other.
    return [
        record for id_ in event.named for record in _claimed(row, id_, customer, at_ms, by, plan)
    ]


def claims_ids(event: Event, plan: Plan) -> bool:
    """Whether a user's event says of other ids that they are theirs."""
    if not event.identified or not plan.parameters.identity.enabled:
        return False
    return event.name == MERGED or any(event.named)


def _claimed(row: Row, id_: str, person: str, at_ms: int, by: str, plan: Plan) -> list[LinkRecord]:
    state = row.edit(IDENTITIES)
    is_news = note_claimed(state.claimed, id_, at_ms, by)
    claim = state.claimed[id_]
    if by == BY_MERGE:
        # It is no visitor any more of whom there may be too many.
        claim.is_sent_home = False
    said = LinkSaid(id_, person, by, owner=state.person, away=claim.is_sent_home)
    # Who is leaving somebody tells its ids once it is its own again: until then its row may be of
    # what was done apart, and can have none.
    is_told = is_news and not (state.is_apart or state.is_leaving)
    records = [LinkRecord(CLAIM, id_, at_ms, said)] if is_told else []
    return [*records, *within_limits(row, person, at_ms, plan)]


def within_limits(row: Row, person: str, at_ms: int, plan: Plan) -> list[LinkRecord]:
    """Let go of the ids that a user claims too many. Of more visitors than a person may have those
    go home that the person named the longest ago, until they are named again or others have left.
    """
    state, limit = row.edit(IDENTITIES), plan.parameters.identity.anonymous_ids
    let_go = keep_latest(state.claimed, row.ids)
    visitors = {id_: claim for id_, claim in state.claimed.items() if claim.by != BY_MERGE}
    named = sorted(
        (claim.last_ms, id_)
        for id_, claim in visitors.items()
        if id_ in row.ids and not claim.is_sent_home
    )
    too_many = named[: max(0, len(named) - limit)]
    least = named[-limit] if len(named) >= limit else (0, "")
    changed = {id_: True for _, id_ in too_many}
    for id_, claim in visitors.items():
        if claim.is_sent_home and (claim.last_ms, id_) > least:
            changed[id_] = False
    for id_, is_sent_home in changed.items():
        visitors[id_].is_sent_home = is_sent_home
    return [
        *(forgotten(id_, claim.last_ms, person, at_ms) for id_, claim in let_go.items()),
        *(claim_of(state, id_, visitors[id_], person) for id_ in sorted(changed)),
    ]


def forgotten(id_: str, until_ms: int, person: str, at_ms: int) -> LinkRecord:
    """To an id of which the row of a user who claims it has no room to know."""
    said = LinkSaid(id_, person, BY_LIMIT, until=until_ms)
    return LinkRecord(UNLINK, id_, at_ms, said)


def claim_of(state: Identities, id_: str, claim: Claim, user: str) -> LinkRecord:
    """To an id that this user claims already: since when, and whose they are by now."""
    said = LinkSaid(id_, user, claim.by, owner=state.person, away=claim.is_sent_home)
    return LinkRecord(CLAIM, id_, claim.first_ms, said)


def owner_told(state: Identities, user: str) -> list[LinkRecord]:
    """To every id that this user claims: whose they are by now."""
    return [claim_of(state, id_, claim, user) for id_, claim in sorted(state.claimed.items())]
