"""The records that a user's row sends to ids: it claims them, or lets go of them."""

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
    """The records that follow from what a user's event says about their ids."""
    at_ms, customer = event.occurred_at_ms, event.customer
    if event.name == SPLIT:
        said = LinkSaid(event.properties.id, customer, BY_SPLIT, until=at_ms)
        return [LinkRecord(UNLINK, event.properties.id, at_ms, said)]
    if not claims_ids(event, plan):
        return []
    if event.name == MERGED:
        return _claimed(row, event.properties.from_user_id, customer, at_ms, BY_MERGE, plan)
    by = BY_ALIAS if event.name == "alias" else BY_EVENT
    # One claim for each id: if one belongs to another user by then, the others still hold.
    return [
        record for id_ in event.named for record in _claimed(row, id_, customer, at_ms, by, plan)
    ]


def claims_ids(event: Event, plan: Plan) -> bool:
    """Whether a user's event claims other ids."""
    if not event.identified or not plan.parameters.identity.enabled:
        return False
    return event.name == MERGED or any(event.named)


def _claimed(row: Row, id_: str, person: str, at_ms: int, by: str, plan: Plan) -> list[LinkRecord]:
    state = row.edit(IDENTITIES)
    is_news = note_claimed(state.claimed, id_, at_ms, by)
    claim = state.claimed[id_]
    if by == BY_MERGE:
        # It no longer counts among the visitors, of whom a person may have too many.
        claim.is_sent_home = False
    said = LinkSaid(id_, person, by, owner=state.person, away=claim.is_sent_home)
    # While this user is leaving a person, or is apart, its claims wait until it is its own again:
    # until then its row may only hold what was done apart, which has no ids.
    is_told = is_news and not (state.is_apart or state.is_leaving)
    records = [LinkRecord(CLAIM, id_, at_ms, said)] if is_told else []
    return [*records, *within_limits(row, person, at_ms, plan)]


def within_limits(row: Row, person: str, at_ms: int, plan: Plan) -> list[LinkRecord]:
    """Let go of the ids beyond the number that a user may claim. If a person has too many visitors,
    those that they named longest ago go home, until they are named again or others have left.
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
    """To an id that the claiming user's row has no room for."""
    said = LinkSaid(id_, person, BY_LIMIT, until=until_ms)
    return LinkRecord(UNLINK, id_, at_ms, said)


def claim_of(state: Identities, id_: str, claim: Claim, user: str) -> LinkRecord:
    """To an id that this user claims already: since when, and who their person is now."""
    said = LinkSaid(id_, user, claim.by, owner=state.person, away=claim.is_sent_home)
    return LinkRecord(CLAIM, id_, claim.first_ms, said)


def owner_told(state: Identities, user: str) -> list[LinkRecord]:
    """To every id that this user claims: who their person is now."""
    return [claim_of(state, id_, claim, user) for id_, claim in sorted(state.claimed.items())]
