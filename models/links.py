"""Who is whose: what a row tells other rows of it, and what it makes of what they tell it.

An id's own row decides whose the id is, because all who claim it tell that row: the user who was
first, by the time of events. The person's row then has the id's row among its ids, and is told what
the id does; the id's own goes on as a mirror of that, so that nothing is missing when it leaves.

    user ── link ──► id ── graft, forwarded ──► person
    anybody ── unlink ──► id ── release ──► person ── left ──► id
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from models import identity
from models.admission import event_of
from models.customer.consent import CONSENT
from models.customer.contacts import CONTACTS, OUTCOMES
from models.customer.engagement import ENGAGEMENT
from models.customer.identities import (
    BY_ALIAS,
    BY_EVENT,
    BY_MERGE,
    IDENTITIES,
    MERGED,
    SPLIT,
    Claim,
    Identities,
    keep_first,
    keep_latest,
    note_claim,
)
from models.customer.row import NO_IDS, Row, RowError, SubRow, decode_row, encode_row
from models.customer.scene import Context
from models.engine import Effect, Fate, pass_over, step
from models.events.event import Event
from models.events.link_record import (
    CLAIM,
    FORWARDED,
    GRAFT,
    LEFT,
    RELEASE,
    UNLINK,
    LinkRecord,
    LinkSaid,
    not_ours,
    row_bytes,
    row_text,
)
from models.events.rejection import Reason, Rejected
from models.events.times import LATEST_MS
from models.events.wire import decode_log_line, encode_event
from models.learning.lessons import Tally
from models.plan import Plan

#: An id leaves because a split says so, or because a person has too many.
BY_SPLIT, BY_LIMIT = "split", "limit"


class Stepped(NamedTuple):
    """What an event or a record did to a row. ``fate`` is None if a part ``refused`` the event, or
    for a record. ``row``: the row by now, which may be another. ``passed_on``: the event that the
    record brought to the person whose it is.
    """

    row: Row
    effects: list[Effect]
    fate: Fate | None = None
    refused: Rejected | None = None
    passed_on: Event | None = None


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
    no customer.
    """
    return row.latest_ms > 0 and not is_elsewhere(row)


def person_of(row: Row) -> str:
    """Whose id it is, of such a row."""
    return row.read(IDENTITIES).person


def advance(row: Row, event: Event, context: Context, plan: Plan) -> Stepped:
    """`engine.step` for anybody: of a person with several ids, or an id of another's, too."""
    if _was_user(row, event, plan):
        row.edit(IDENTITIES).is_user = True
    state, begun, effects = row.read(IDENTITIES), list[LinkRecord](), list[Effect]()
    if state.claims:
        # They may have waited for it to begin.
        begun = _begun(row, event, plan)
    try:
        if state.is_mirror:
            fate = identity.mirror(row, event.customer, event, context, plan)
        elif state.is_apart and event.occurred_at_ms < state.shared_ms:
            # From before it was shared, so it is the first user's.
            whole = row.ids[event.customer].row
            fate = identity.mirror(whole, event.customer, event, context, plan)
            _keep_word(row, whole, plan)
        elif row.ids is not NO_IDS:
            fate, effects = identity.advance(row, event.customer, event, context, plan)
        else:
            fate, effects = step(row, event, context, plan)
    except Rejected as refused:
        return Stepped(row, [*_because_of(event, begun)], refused=refused)
    records = list[LinkRecord]()
    if fate is Fate.APPLIED:
        records = [*_begun(row, event, plan), *_passed_on(state, event), *_told(row, event, plan)]
    begun, records = _because_of(event, begun), _because_of(event, records)
    return Stepped(row, [*begun, *effects, *records], fate)


def _because_of(cause: Event | LinkSaid, records: list[LinkRecord]) -> list[LinkRecord]:
    """What history says of whose an id is stays history, however far it is told; an event that is
    passed on says so itself.
    """
    if cause.historical:
        for record in records:
            if record.kind != FORWARDED:
                record.said = msgspec.structs.replace(record.said, historical=True)
    return records


def _begun(row: Row, event: Event, plan: Plan) -> list[LinkRecord]:
    """Note as what the id does something; what waited for that follows from it."""
    state = row.read(IDENTITIES)
    if event.identified:
        # What came of our own messages is told under whatever id these named.
        if event.kind.is_passive or event.name in OUTCOMES:
            return []
        if state.is_user or not (state.is_visitor or state.claims):
            return []
        row.edit(IDENTITIES).is_user = True
    else:
        if state.is_visitor or not plan.parameters.identity.enabled or _is_nobodys(event):
            return []
        row.edit(IDENTITIES).is_visitor = True
    return _settled(row, event.customer, event.occurred_at_ms, plan, begins=True)


def _was_user(row: Row, event: Event, plan: Plan) -> bool:
    """Whether the id of a visitor's first event is a user's already. Of most users that is noted
    nowhere, but what was done before anything as a visitor was done as a user.
    """
    state = row.read(IDENTITIES)
    if event.identified or state.is_visitor or not plan.parameters.identity.enabled:
        return False
    return bool(row.read(ENGAGEMENT).interactions or state.claimed)


def _is_nobodys(event: Event) -> bool:
    return event.kind.declared.nobody is not None


def _passed_on(state: Identities, event: Event) -> list[LinkRecord]:
    """The event for the person whose id this is."""
    is_its_own = bool(state.shared_ms) and event.occurred_at_ms >= state.shared_ms
    if not state.person or state.is_leaving or is_its_own:
        return []
    content = msgspec.Raw(encode_event(event))
    said = LinkSaid(event.customer, state.person, event=content)
    return [LinkRecord(FORWARDED, state.person, event.occurred_at_ms, said)]


def _told(row: Row, event: Event, plan: Plan) -> list[LinkRecord]:
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
    is_news = note_claim(state.claimed, id_, at_ms, by)
    keep_latest(state.claimed, row.ids)
    said = LinkSaid(id_, person, by, owner=state.person)
    return [LinkRecord(CLAIM, id_, at_ms, said)] if is_news else []


def _owner_told(state: Identities, user: str) -> list[LinkRecord]:
    """To every id that this user claims: whose they are by now."""
    return [
        LinkRecord(CLAIM, id_, claim.last_ms, LinkSaid(id_, user, claim.by, owner=state.person))
        for id_, claim in sorted(state.claimed.items())
    ]


def take(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """What a record of another row does to this one, the row of ``record.customer``. Raises
    ``Rejected`` for a record that no worker wrote, before anything changes.
    """
    was_rehearsal = context.is_rehearsal
    context.is_rehearsal = was_rehearsal or record.said.historical
    try:
        stepped = _taken(row, record, context, plan)
    finally:
        context.is_rehearsal = was_rehearsal
    _because_of(record.said, [one for one in stepped.effects if isinstance(one, LinkRecord)])
    # A row that was copied on the way, to be sent, takes itself for packed.
    stepped.row.edit(IDENTITIES)
    return stepped


def _taken(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    match record.kind:
        case "link":
            return _claim(row, record, plan)
        case "unlink":
            return Stepped(row, [*_unlink(row, record, plan)])
        case "graft":
            return Stepped(row, _graft(row, record, context, plan))
        case "forwarded":
            return _forwarded(row, record, context, plan)
        case "release":
            return Stepped(row, _release(row, record, context, plan))
        case _:
            return _left(row, record, context, plan)


# At an id


def _claim(row: Row, record: LinkRecord, plan: Plan) -> Stepped:
    """A user claims this id."""
    said, state = record.said, row.read(IDENTITIES)
    if said.by == BY_MERGE and (why := _why_not_merged(row, said)):
        refused = Rejected(Reason.OUT_OF_RANGE, "$.properties.from_user_id", *why)
        return Stepped(row, [_let_go(record, said.person, LATEST_MS)], refused=refused)
    if record.at_ms <= state.split_ms:
        return Stepped(row, [_let_go(record, said.person, state.split_ms)])
    state = row.edit(IDENTITIES)
    note_claim(state.claims, said.person, record.at_ms, said.by, owner=said.owner)
    keep_first(state.claims)
    return Stepped(row, [*_settled(row, record.customer, record.at_ms, plan)])


def _why_not_merged(row: Row, said: LinkSaid) -> tuple[str, str] | None:
    """Why a user cannot become another's, and what to do about it."""
    state = row.read(IDENTITIES)
    if state.merges:
        return (
            "other users were merged into this one",
            "merge into this one instead, or split the others from them first",
        )
    others = {user for _, user in _valid(row, state)} | {state.person}
    if others - {"", said.person}:
        return "this user is another person's by now", "split them from that person first"
    return None


def _unlink(row: Row, record: LinkRecord, plan: Plan) -> list[LinkRecord]:
    """This id was nobody's but its own at a time; claims from before it are void."""
    state = row.edit(IDENTITIES)
    state.split_ms = max(state.split_ms, record.said.until)
    records = []
    for user, claim in sorted(state.claims.items()):
        if claim.last_ms <= state.split_ms:
            del state.claims[user]
            if user != state.person:
                records.append(_let_go(record, user, state.split_ms))
        elif claim.first_ms <= state.split_ms:
            claim.first_ms = claim.last_ms
    return [*records, *_settled(row, record.customer, record.at_ms, plan)]


def _let_go(record: LinkRecord, person: str, until_ms: int) -> LinkRecord:
    said = LinkSaid(record.customer, person, until=until_ms)
    return LinkRecord(RELEASE, person, record.at_ms, said)


def _valid(row: Row, state: Identities) -> list[tuple[int, str]]:
    """Who claims this id, the first before all. A user becomes another's by an act alone."""
    is_user = state.is_user or (bool(row.latest_ms) and not state.is_visitor)
    return sorted(
        (claim.first_ms, user)
        for user, claim in state.claims.items()
        if not is_user or claim.by == BY_MERGE
    )


def _settled(
    row: Row, id_: str, at_ms: int, plan: Plan, *, begins: bool = False
) -> list[LinkRecord]:
    """Whose this id is by now, and what has to be told of it. An id that has done nothing yet
    (``begins``: it is about to) waits: most never do, and cost nothing.
    """
    state = row.edit(IDENTITIES)
    valid = _valid(row, state)
    if not state.person:
        if not valid or not (begins or row.latest_ms):
            return []
        state.since_ms, state.person = valid[0]
        records = [_grafted(row, id_, state, at_ms), *_owner_told(state, id_)]
        if row.ids is NO_IDS:
            row.ids = {}
        _share(row, id_, valid, plan)
        return records
    if state.is_leaving:
        return []
    if not valid or valid[0][1] != state.person:
        state.is_leaving = True
        said = LinkSaid(id_, state.person, until=state.split_ms)
        return [LinkRecord(RELEASE, state.person, at_ms, said)]
    if state.is_apart and not _rivals(state, valid):
        # Who shared it are one person by now, or one of them never had it. It is linked anew, so
        # that what it did meanwhile is that person's.
        state.is_leaving = True
        said = LinkSaid(id_, state.person, until=state.split_ms)
        return [LinkRecord(RELEASE, state.person, at_ms, said)]
    _share(row, id_, valid, plan)
    return []


def _grafted(
    row: Row, id_: str, state: Identities, at_ms: int, *, again: bool = False
) -> LinkRecord:
    packed = row_text(encode_row(identity.copy_of(row)))
    by = state.claims[state.person].by
    said = LinkSaid(id_, state.person, by, since=state.since_ms, row=packed, again=again)
    return LinkRecord(GRAFT, state.person, at_ms, said)


def _share(row: Row, id_: str, valid: Sequence[tuple[int, str]], plan: Plan) -> None:
    """From when a second user claims a visitor's id on, what is done with it is its own."""
    state = row.edit(IDENTITIES)
    shared = _rivals(state, valid)
    if not shared or plan.parameters.identity.shared == "keep":
        return
    state.shared_ms = min(shared[0], state.shared_ms or shared[0])
    if not state.is_apart:
        whole, contacts = identity.copy_of(row), row.read(CONTACTS)
        row.clear()
        row.replace(IDENTITIES, state)
        # Caps hold and a refusal stands, whoever uses it by now.
        row.replace(CONTACTS, contacts)
        _keep_word(row, whole, plan)
        row.ids = {id_: SubRow(state.since_ms, whole)}
        state.is_apart = True


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


def _keep_word(row: Row, whole: Row, plan: Plan) -> None:
    """Have what was agreed to or refused under this id, whenever that was."""
    words = row.read(CONSENT), whole.read(CONSENT)
    row.replace(CONSENT, CONSENT.united(words, plan.parameters))


def owner_of(row: Row) -> str:
    """Whose id it is, or will be once it does something; "" for nobody's."""
    state = row.read(IDENTITIES)
    if state.person:
        return state.person
    return next((user for _, user in _valid(row, state)), "")


def freed(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """The person who was to let go of this id is no more: it is its own again."""
    whole = row.ids[record.customer].row if row.read(IDENTITIES).is_apart else row
    return _own_again(row, record, identity.copy_of(whole), context, plan)


def _left(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """The person has let go of this id: it is its own again, as of what it did itself."""
    if row.read(IDENTITIES).person != record.said.person:
        # It was erased meanwhile.
        return Stepped(row, [])
    return _own_again(row, record, _row_in(record), context, plan)


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
    effects += _passed_over(row, record, context, plan)
    effects += _settled(row, id_, record.at_ms, plan)
    # Whoever has it next tells it by themselves.
    told = [] if state.person else _owner_told(state, id_)
    return Stepped(row, [*effects, *told])


# At a person


def _graft(row: Row, record: LinkRecord, context: Context, plan: Plan) -> list[Effect]:
    """An id is this person's from here on; or its row has become another by more than its events,
    when it has ids itself.
    """
    said, person, joining = record.said, record.customer, _row_in(record)
    if said.again and said.id not in row.ids:
        return []
    effects: list[Effect] = []
    if said.id in row.ids:
        left, effects = identity.split(row, person, said.id, record.at_ms, context, plan)
        joining = identity.with_labels_of(joining, left)
    effects += identity.link(row, person, said.id, joining, said.since, context, plan)
    effects += _passed_over(row, record, context, plan)
    state = row.edit(IDENTITIES)
    # A claim that it no longer remembers, among so many.
    note_claim(state.claimed, said.id, said.since, said.by)
    keep_latest(state.claimed, row.ids)
    limit = plan.parameters.identity.anonymous_ids
    return [
        *_as_it_decides(state, effects),
        *_sent_home(row, person, state, record.at_ms, limit),
        *_changed(row, person, state, record.at_ms),
    ]


def _passed_over(row: Row, record: LinkRecord, context: Context, plan: Plan) -> list[Effect]:
    """An id came or went, so deadlines are others now. Those that are over by now, and were before
    that moment, are told by nobody: an id told them on time, or they never were anybody's.
    """
    if row.read(IDENTITIES).is_mirror:
        return []
    said, before_ms = record.said, context.clock_ms + 1
    if not said.historical:
        before_ms = min(before_ms, max(record.at_ms, said.since))
    return pass_over(row, record.customer, before_ms, context, plan)


def _sent_home(
    row: Row, person: str, state: Identities, at_ms: int, limit: int
) -> list[LinkRecord]:
    """Of more visitors than there may be, the one that was idle the longest has to leave."""
    claims = {id_: state.claimed[id_] for id_ in row.ids if id_ != person}
    idle = sorted(
        (max(row.ids[id_].row.latest_ms, claim.last_ms), id_)
        for id_, claim in claims.items()
        if claim.by != BY_MERGE and not claim.is_sent_home
    )
    records = []
    for _, id_ in idle[: max(0, len(idle) - limit)]:
        claims[id_].is_sent_home = True
        said = LinkSaid(id_, person, BY_LIMIT, until=claims[id_].last_ms)
        records.append(LinkRecord(UNLINK, id_, at_ms, said))
    return records


def _forwarded(row: Row, record: LinkRecord, context: Context, plan: Plan) -> Stepped:
    """An event of an id of this person's; of one that has left since, it is known there."""
    id_, person = record.said.id, record.customer
    if id_ not in row.ids:
        return Stepped(row, [])
    state, event = row.read(IDENTITIES), _event_in(record, plan)
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
        # What the id has heard of is not what the person has.
        return Stepped(row, [])
    finally:
        context.is_passed_on = False
    return Stepped(row, [*_passed_on(state, msgspec.structs.replace(event, customer=person))])


def _release(row: Row, record: LinkRecord, context: Context, plan: Plan) -> list[Effect]:
    """An id is not this person's, or no longer: it gets its row back. What was said of it since
    then is said anew.
    """
    said, person = record.said, record.customer
    effects: list[Effect] = []
    state = row.edit(IDENTITIES)
    if said.id in row.ids and said.id != person:
        left, effects = identity.split(row, person, said.id, record.at_ms, context, plan)
        effects += _passed_over(row, record, context, plan)
        effects = _as_it_decides(state, effects)
        back = LinkSaid(said.id, person, row=row_text(encode_row(left)))
        effects.append(LinkRecord(LEFT, said.id, record.at_ms, back))
        effects += _changed(row, person, state, record.at_ms)
    claim = state.claimed.get(said.id)
    if claim is not None and claim.last_ms <= said.until:
        del state.claimed[said.id]
    elif claim is not None and claim.first_ms <= said.until:
        state.claimed[said.id] = Claim(claim.last_ms, claim.last_ms, claim.by)
        again = LinkSaid(said.id, person, claim.by, owner=state.person)
        effects.append(LinkRecord(CLAIM, said.id, claim.last_ms, again))
    return effects


def _as_it_decides(state: Identities, effects: list[Effect]) -> list[Effect]:
    """Of somebody who is another's id only what corrects the sums of all customers."""
    if not state.is_mirror:
        return effects
    return [effect for effect in effects if isinstance(effect, Tally)]


def _changed(row: Row, person: str, state: Identities, at_ms: int) -> list[LinkRecord]:
    """A person with ids who is another's id tells of it when those change."""
    if not state.is_mirror or state.is_leaving:
        return []
    return [_grafted(row, person, state, at_ms, again=True)]


def _row_in(record: LinkRecord) -> Row:
    try:
        return decode_row(row_bytes(record.said.row))
    except RowError:
        raise not_ours("$.properties.row") from None


def _event_in(record: LinkRecord, plan: Plan) -> Event:
    line = decode_log_line(bytes(record.said.event))
    event = event_of(line, message_id="", own=plan.parameters.names.own)
    return msgspec.structs.replace(event, customer=record.said.id)
