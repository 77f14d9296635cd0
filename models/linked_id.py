"""An id's side of a link: who claims it, whose it is, and its row as a mirror or as its own.

All who claim an id tell its row, so that it decides: the user who was first, by the time of events.
"""

from collections.abc import Sequence

from config.parameters import Parameters
from models import identity
from models.claims import BY_LIMIT, claims_ids, owner_told
from models.customer.consent import CONSENT
from models.customer.consent import sums_of as sums_of_consent
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
    """Whether the id of a visitor's first event is a user's already. Of most users that is noted
    nowhere, but what was done before anything as a visitor was done as a user.
    """
    state = row.read(IDENTITIES)
    if event.identified or state.is_visitor or not plan.parameters.identity.enabled:
        return False
    return bool(row.read(ENGAGEMENT).interactions or state.claimed)


def began(row: Row, event: Event, plan: Plan) -> list[Effect]:
    """Note as what the id does something; what waited for that follows from it."""
    state = row.read(IDENTITIES)
    if event.identified:
        # What came of our own messages is told under whatever id these named. But whoever has ids
        # is a user and nobody's visitor: two who claim each other would tell each other for ever.
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
    """This id was nobody's but its own at a time; claims from before it are void. Who made them
    knows since when they claim it anew.
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
    """A user has let go of this id: they claim too many."""
    row.edit(IDENTITIES).claims.pop(record.said.person, None)
    return _settled(row, record.customer, record.at_ms, plan)


def _let_go(record: LinkRecord, person: str, until_ms: int) -> LinkRecord:
    said = LinkSaid(record.customer, person, until=until_ms)
    return LinkRecord(RELEASE, person, record.at_ms, said)


def is_users(row: Row) -> bool:
    """Whether something was done with this id as a user's: of most users that is noted nowhere, but
    what was not done by a visitor was.
    """
    state = row.read(IDENTITIES)
    return state.is_user or (bool(row.latest_ms) and not state.is_visitor)


def _valid(row: Row, state: Identities) -> list[tuple[int, str]]:
    """Who claims this id, the first before all. A user becomes another's by an act alone."""
    is_user = is_users(row)
    return sorted(
        (claim.first_ms, user)
        for user, claim in state.claims.items()
        if not is_user or claim.by == BY_MERGE
    )


def _owner(state: Identities, valid: Sequence[tuple[int, str]]) -> str:
    """The user who was first; "" for nobody, also if that one has too many ids."""
    first = next((user for _, user in valid), "")
    return "" if not first or state.claims[first].is_sent_home else first


def _settled(row: Row, id_: str, at_ms: int, plan: Plan, *, begins: bool = False) -> list[Effect]:
    """Whose this id is by now, and what has to be told of it. An id that has done nothing yet
    (``begins``: it is about to) waits: most never do, and cost nothing.
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
        # Who shared it are one person by now, or one of them never had it. It is linked anew, so
        # that what it did meanwhile is that person's.
        state.is_leaving = True
        said = LinkSaid(id_, state.person, until=state.split_ms)
        return [LinkRecord(RELEASE, state.person, at_ms, said)]
    return [*_share(row, id_, valid, at_ms, plan)]


def grafted(
    row: Row, id_: str, state: Identities, at_ms: int, *, again: bool = False
) -> LinkRecord:
    """The id's row for the person whose it is; ``again``: for one that has it, as it is by now."""
    packed = row_text(encode_row(identity.copy_of(row)))
    by = state.claims[state.person].by
    said = LinkSaid(id_, state.person, by, since=state.since_ms, row=packed, again=again)
    return LinkRecord(GRAFT, state.person, at_ms, said)


def _share(
    row: Row, id_: str, valid: Sequence[tuple[int, str]], at_ms: int, plan: Plan
) -> list[Tally]:
    """From when a second user claims a visitor's id on, what is done with it is its own."""
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
    # Caps hold and a refusal stands, whoever uses it by now.
    row.replace(CONTACTS, contacts)
    told = keep_word(row, whole, at_ms, plan)
    row.ids = {id_: SubRow(state.since_ms, whole)}
    state.is_apart = True
    return told


def _rivals(state: Identities, valid: Sequence[tuple[int, str]]) -> list[int]:
    """Since when each user claims a visitor's id who is not the same person as the first."""
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
    """Have what was agreed to or refused under this id, whenever that was. Return what that changes
    of the sums of all customers: an id that is shared is counted by itself.
    """
    before = row.read(CONSENT)
    kept = CONSENT.united((before, whole.read(CONSENT)), plan.parameters)
    row.replace(CONSENT, kept)
    sums = changed_sums(((sums_of_consent(before), -1), (sums_of_consent(kept), 1)))
    return [Tally(at_ms, CONSENT.name, 0, sums)] if sums else []


def owner_of(row: Row) -> str:
    """Whose id it is, or will be once it does something; "" for nobody's."""
    state = row.read(IDENTITIES)
    if state.person:
        return state.person
    return _owner(state, _valid(row, state))


def goes_with(row: Row, parameters: Parameters) -> tuple[str, int]:
    """The person without whom nobody can ask for this id alone, and since when it is theirs; also
    of one that has done nothing yet. "" for nobody: it is its own, several share it, or it leaves.
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
    """The person who was to let go of this id is no more: it is its own again."""
    whole = row.ids[record.customer].row if row.read(IDENTITIES).is_apart else row
    return _own_again(row, record, identity.copy_of(whole), context, plan)


def take_left(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """The person has let go of this id: it is its own again, as of what it did itself."""
    if row.read(IDENTITIES).person != record.said.person:
        # It was erased meanwhile.
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
    # Whoever has it next tells it by themselves.
    told = [] if state.person else owner_told(state, id_)
    return Stepped(row, [*effects, *told])
