"""An id's side of a link: who claims it, who owns it, and its row, as a mirror or as its own.

All claims of an id go to its row, so that it decides: it belongs to the first user, by event time.
"""

from collections.abc import Sequence

from config.parameters import Parameters
from models import identity
from models.claims import BY_LIMIT, claims_ids, owner_told
from models.customer.consent import CONSENT
from models.customer.consent_measures import sums_of as sums_of_consent
from models.customer.contacts import CONTACTS, OUTCOMES
from models.customer.engagement import ENGAGEMENT
from models.customer.identities import BY_MERGE, IDENTITIES, Identities, keep_first, note_claim
from models.customer.part import changed_sums
from models.customer.row import NO_IDS, Row, SubRow, encode_row
from models.customer.scene import Context
from models.engine import Effect
from models.events.event import Event
from models.events.link_record import GRAFT, RELEASE, LinkRecord, LinkSaid, row_text
from models.events.rejection import Reason, Rejected
from models.events.times import LATEST_MS
from models.learning.lessons import Tally
from models.link_step import Stepped, passed_over, row_in
from models.plan import Plan


def was_user(row: Row, event: Event, plan: Plan) -> bool:
    """Whether the id of a visitor's first event is already a user's. Most users have no note of
    that, but anything done before the first event as a visitor was done as a user.
    """
    state = row.read(IDENTITIES)
    if event.identified or state.is_visitor or not plan.parameters.identity.enabled:
        return False
    return bool(row.read(ENGAGEMENT).interactions or state.claimed)


def began(row: Row, event: Event, plan: Plan) -> list[Effect]:
    """Note whether the id acts as a user or a visitor, and return the records that waited for
    that.
    """
    state = row.read(IDENTITIES)
    if event.identified:
        # Outcomes of our own messages come under any id that these named, so they make nobody a
        # user. But an id that claims others is a user and no visitor: otherwise two ids that claim
        # each other would send each other records for ever.
        is_told_of = event.kind.is_passive or event.name in OUTCOMES
        if is_told_of and not claims_ids(event, plan):
            return []
        if state.is_user or not (state.is_visitor or state.claims):
            return []
        row.edit(IDENTITIES).is_user = True
    else:
        if state.is_visitor or not plan.parameters.identity.enabled or _is_nobodys(event):
            return []
        row.edit(IDENTITIES).is_visitor = True
    return _settled(row, event.customer, event.occurred_at_ms, plan, begins=True)


def _is_nobodys(event: Event) -> bool:
    return event.kind.declared.nobody is not None


def take_claim(row: Row, record: LinkRecord, plan: Plan) -> Stepped:
    """A user claims this id."""
    said, state = record.said, row.read(IDENTITIES)
    if said.by == BY_MERGE and (why := _why_not_merged(row, said)):
        refused = Rejected(Reason.OUT_OF_RANGE, "$.properties.from_user_id", *why)
        no_act = LinkSaid(record.customer, said.person, BY_MERGE, until=LATEST_MS)
        records = [LinkRecord(RELEASE, said.person, record.at_ms, no_act)]
        return Stepped(row, [*records], refused=refused)
    if record.at_ms <= state.split_ms:
        return Stepped(row, [_let_go(record, said.person, state.split_ms)])
    state = row.edit(IDENTITIES)
    note_claim(state.claims, said.person, record.at_ms, said.by, owner=said.owner)
    state.claims[said.person].is_sent_home = said.away
    keep_first(state.claims)
    return Stepped(row, _settled(row, record.customer, record.at_ms, plan))


def _why_not_merged(row: Row, said: LinkSaid) -> tuple[str, str] | None:
    """Why a user cannot become another's, and what to do about it."""
    state = row.read(IDENTITIES)
    if state.merges:
        return (
            "other users were merged into this one",
            "merge into this one instead, or split the others from them first",
        )
    others = {user for _, user in _valid(row, state) if not state.claims[user].is_sent_home}
    others.add(state.person)
    if others - {"", said.person}:
        return "this user is another person's by now", "split them from that person first"
    return None


def take_unlink(row: Row, record: LinkRecord, plan: Plan) -> list[Effect]:
    """This id belonged to nobody else up to a time: earlier claims are void. Their users know
    whether they claimed it again later.
    """
    state = row.edit(IDENTITIES)
    if record.said.by == BY_LIMIT:
        return _forgotten(row, record, plan)
    state.split_ms = max(state.split_ms, record.said.until)
    records = []
    for user, claim in sorted(state.claims.items()):
        if claim.first_ms <= state.split_ms:
            del state.claims[user]
            if user != state.person or state.is_leaving:
                records.append(_let_go(record, user, state.split_ms))
    return [*records, *_settled(row, record.customer, record.at_ms, plan)]


def _forgotten(row: Row, record: LinkRecord, plan: Plan) -> list[Effect]:
    """A user has let go of this id, because they claim too many."""
    row.edit(IDENTITIES).claims.pop(record.said.person, None)
    return _settled(row, record.customer, record.at_ms, plan)


def _let_go(record: LinkRecord, person: str, until_ms: int) -> LinkRecord:
    said = LinkSaid(record.customer, person, until=until_ms)
    return LinkRecord(RELEASE, person, record.at_ms, said)


def is_users(row: Row) -> bool:
    """Whether the id was used as a user's. This is not noted for most users, but an id with events
    that was not a visitor's was a user's.
    """
    state = row.read(IDENTITIES)
    return state.is_user or (bool(row.latest_ms) and not state.is_visitor)


def _valid(row: Row, state: Identities) -> list[tuple[int, str]]:
    """The users who claim this id, the first one first. A user's id can only be claimed by a
    merge.
    """
    is_user = is_users(row)
    return sorted(
        (claim.first_ms, user)
        for user, claim in state.claims.items()
        if not is_user or claim.by == BY_MERGE
    )


def _owner(state: Identities, valid: Sequence[tuple[int, str]]) -> str:
    """The user who claimed it first; "" for none, or if that user has too many ids."""
    first = next((user for _, user in valid), "")
    return "" if not first or state.claims[first].is_sent_home else first


def _settled(row: Row, id_: str, at_ms: int, plan: Plan, *, begins: bool = False) -> list[Effect]:
    """Decide whose the id is now, and return the records about that. An id that has done nothing
    yet waits (``begins``: it is about to): most never do anything, and so cost nothing.
    """
    state = row.edit(IDENTITIES)
    valid = _valid(row, state)
    owner = _owner(state, valid)
    if not state.person:
        if not owner or not (begins or row.latest_ms):
            return []
        state.since_ms, state.person = valid[0]
        records = [grafted(row, id_, state, at_ms), *owner_told(state, id_)]
        if row.ids is NO_IDS:
            row.ids = {}
        return [*records, *_share(row, id_, valid, at_ms, plan)]
    if state.is_leaving:
        return []
    if owner != state.person:
        state.is_leaving = True
        said = LinkSaid(id_, state.person, until=state.split_ms)
        return [LinkRecord(RELEASE, state.person, at_ms, said)]
    if state.is_apart and not _rivals(state, valid):
        # The users who shared it are one person by now, or one of them never had it. It is linked
        # again, so that what it did in between belongs to that person.
        state.is_leaving = True
        said = LinkSaid(id_, state.person, until=state.split_ms)
        return [LinkRecord(RELEASE, state.person, at_ms, said)]
    return [*_share(row, id_, valid, at_ms, plan)]


def grafted(
    row: Row, id_: str, state: Identities, at_ms: int, *, again: bool = False
) -> LinkRecord:
    """Brings the id's row to its person; ``again``: to a person who already has it, as it is
    now.
    """
    packed = row_text(encode_row(identity.copy_of(row)))
    by = state.claims[state.person].by
    said = LinkSaid(id_, state.person, by, since=state.since_ms, row=packed, again=again)
    return LinkRecord(GRAFT, state.person, at_ms, said)


def _share(
    row: Row, id_: str, valid: Sequence[tuple[int, str]], at_ms: int, plan: Plan
) -> list[Tally]:
    """Once a second user claims a visitor's id, what is done with it counts for the id alone."""
    state = row.edit(IDENTITIES)
    shared = _rivals(state, valid)
    if not shared or plan.parameters.identity.shared == "keep":
        return []
    state.shared_ms = min(shared[0], state.shared_ms or shared[0])
    if state.is_apart:
        return []
    whole, contacts = identity.copy_of(row), row.read(CONTACTS)
    row.clear()
    row.replace(IDENTITIES, state)
    # Caps and refusals still hold, whoever uses the id now.
    row.replace(CONTACTS, contacts)
    told = keep_word(row, whole, at_ms, plan)
    row.ids = {id_: SubRow(state.since_ms, whole)}
    state.is_apart = True
    return told


def _rivals(state: Identities, valid: Sequence[tuple[int, str]]) -> list[int]:
    """When each user claimed a visitor's id who is not the same person as the first user."""
    acts = {user for user, claim in state.claims.items() if claim.by == BY_MERGE}
    if state.person in acts:
        return []
    owners = {user: claim.owner or user for user, claim in state.claims.items()}
    return [
        at_ms
        for at_ms, user in valid[1:]
        if user not in acts and owners[user] != owners[valid[0][1]]
    ]


def keep_word(row: Row, whole: Row, at_ms: int, plan: Plan) -> list[Tally]:
    """Keep every consent and refusal given under this id, at any time. Return the changes to the
    sums over all customers: a shared id counts by itself.
    """
    before = row.read(CONSENT)
    kept = CONSENT.united((before, whole.read(CONSENT)), plan.parameters)
    row.replace(CONSENT, kept)
    sums = changed_sums(((sums_of_consent(before), -1), (sums_of_consent(kept), 1)))
    return [Tally(at_ms, CONSENT.name, 0, sums)] if sums else []


def owner_of(row: Row) -> str:
    """The person who owns the id, or will once it does something; "" for none."""
    state = row.read(IDENTITIES)
    if state.person:
        return state.person
    return _owner(state, _valid(row, state))


def goes_with(row: Row, parameters: Parameters) -> tuple[str, int]:
    """The person to whom this id belongs, so that nobody can request it without them, and since
    when. Also for an id that has done nothing yet. "" for none: the id is its own, several share
    it, or it is leaving.
    """
    state = row.read(IDENTITIES)
    if state.person:
        is_theirs = state.is_mirror and not state.is_leaving
        return (state.person, state.since_ms) if is_theirs else ("", 0)
    valid = _valid(row, state)
    is_shared = parameters.identity.shared != "keep" and _rivals(state, valid)
    owner = "" if is_shared else _owner(state, valid)
    return (owner, valid[0][0]) if owner else ("", 0)


def freed(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """The person who was to let go of this id no longer exists: it is its own again."""
    whole = row.ids[record.customer].row if row.read(IDENTITIES).is_apart else row
    return _own_again(row, record, identity.copy_of(whole), context, plan)


def take_left(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """The person has let go of this id: it is its own again, with what it did itself."""
    if row.read(IDENTITIES).person != record.said.person:
        # It was erased in the meantime.
        return Stepped(row, [])
    return _own_again(row, record, row_in(record), context, plan)


def _own_again(row: Row, record: LinkRecord, left: Row, context: Context, plan: Plan) -> Stepped:
    state = row.edit(IDENTITIES)
    apart, id_ = Row(), record.customer
    if state.is_apart:
        whole, apart = row.ids[id_].row, row
        whole.applied, row = row.applied, whole
        row.replace(CONTACTS, apart.read(CONTACTS))
    if not [other for other in row.ids if other != id_]:
        row.ids = NO_IDS
    state.person, state.since_ms, state.shared_ms = "", 0, 0
    state.is_leaving = state.is_apart = False
    row.replace(IDENTITIES, state)
    effects = identity.returned(row, id_, left, apart, record.at_ms, context, plan)
    effects += passed_over(row, record, context, plan)
    effects += _settled(row, id_, record.at_ms, plan)
    # If it has a new person, `_settled` has sent these records.
    told = [] if state.person else owner_told(state, id_)
    return Stepped(row, [*effects, *told])
