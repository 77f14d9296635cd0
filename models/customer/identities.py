"""The ids of a customer: those that are claimed to be theirs, and whose id this one is.

Rows exchange claims and links (`models.links`); this is what a row keeps of them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import nan
from typing import ClassVar, Final, Literal

from msgspec import Struct, field, msgpack

from config.parameters import Parameters
from models.customer.fingerprint import fingerprint_bytes
from models.customer.part import Fact, Line, Part, ProfileSection, Told
from models.customer.row import Row, State
from models.customer.scene import Scene
from models.customer.words import moment_in_words
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Event, EventType, Text
from models.events.rejection import Reason, Rejected
from models.events.times import iso, iso_or_none
from models.measures import Measure, Sample

MERGED, SPLIT = "Customer Merged", "Customer Split"
IDENTITY_LINKED, IDENTITY_SPLIT = "identity-linked", "identity-split"
#: What links ids: an event that names both, an alias, or a merge by a person or a back office.
BY_EVENT, BY_ALIAS, BY_MERGE = "event", "alias", "merged"
#: The most ids that a user may claim, and the most users that may claim an id.
CLAIMS_MAX: Final = 32
#: How many times of a claim are kept between its first and its last: the latest ones. A split that
#: falls among the times before those counts as one just before the first of them.
CLAIM_TIMES_MAX: Final = 8
#: The most users that may be merged into one.
MERGED_MAX: Final = 8


class CustomerMerged(Struct, frozen=True, omit_defaults=True, gc=False):
    """Another user is the same person as the event's user, who stays."""

    customers: ClassVar[frozenset[str]] = frozenset({"from_user_id"})

    from_user_id: Text
    because: Text | None = None


class EraseRequested(Struct, frozen=True, omit_defaults=True, gc=False):
    """Erase the person with all their ids. ``mode``: DELETE_ONLY, the default (later events are a
    new person's), SUPPRESS_WITH_DELETE (all later events are dropped, too) or UNSUPPRESS (events of
    this id count again).
    """

    in_any_case: ClassVar[bool] = True

    mode: Literal["DELETE_ONLY", "SUPPRESS_WITH_DELETE", "UNSUPPRESS"] | None = None
    because: Text | None = None


class CustomerSplit(Struct, frozen=True, omit_defaults=True, gc=False):
    """An id is not this customer's; all earlier claims to it are void."""

    customers: ClassVar[frozenset[str]] = frozenset({"id"})

    id: Text
    because: Text | None = None


class Claim(State):
    """A claim that an id is a user's, first and last made at these times; ``is_sent_home``: the id
    is on its own, because the user has too many, until they want it back. ``owner``: in an id's
    row, the person into whom the claiming user is merged, "" for nobody.

    Only the user's row knows the other times of the claim, ``between``: how long before the last
    time, ascending; and ``acted_ms``, when the last act of merging was. The id's row is told of the
    first time alone.
    """

    first_ms: int
    last_ms: int
    by: str = BY_EVENT
    is_sent_home: bool = False
    owner: str = ""
    between: list[int] = field(default_factory=list)
    acted_ms: int = 0

    @property
    def times(self) -> list[int]:
        """The kept times at which the user made the claim, ascending."""
        return sorted({self.first_ms, *(self.last_ms - ago for ago in self.between), self.last_ms})

    def keep(self, times: Iterable[int]) -> None:
        """Keep the latest of these ``times`` between the first and the last."""
        ago = sorted({self.last_ms - at_ms for at_ms in times if self.first_ms < at_ms})
        self.between = [one for one in ago if one > 0][:CLAIM_TIMES_MAX]

    def void(self, until_ms: int) -> bool:
        """Drop the times up to ``until_ms``; return whether any is left."""
        left = [at_ms for at_ms in self.times if at_ms > until_ms]
        if not left:
            return False
        self.first_ms = left[0]
        self.keep(left)
        if self.by == BY_MERGE and 0 < self.acted_ms <= until_ms:
            self.by = BY_EVENT
        return True

    def void_act(self) -> bool:
        """Drop the last act of merging, which was refused; return whether any time is left."""
        left = [at_ms for at_ms in self.times if at_ms != self.acted_ms]
        if not left or not self.acted_ms:
            return False
        self.first_ms, self.last_ms = left[0], left[-1]
        self.keep(left)
        self.by, self.acted_ms = BY_EVENT, 0
        return True


class Identities(State):
    """``claimed``: a user's claims, by id. Of an id: whether it was active as a visitor
    (``is_visitor``) and as a user (``is_user``); ``claims`` to it, by user; ``person``: whose it
    is, since ``since_ms``; ``is_leaving``: its row is to come back from that person.

    ``shared_ms``: since when several users claim the id; ``is_apart``: the row holds only what was
    done since then, and the id's whole history is among the row's ids. Claims up to ``split_ms``
    are void.
    """

    claimed: dict[str, Claim] = field(default_factory=dict)
    is_visitor: bool = False
    is_user: bool = False
    claims: dict[str, Claim] = field(default_factory=dict)
    person: str = ""
    since_ms: int = 0
    is_leaving: bool = False
    shared_ms: int = 0
    is_apart: bool = False
    split_ms: int = 0

    @property
    def is_mirror(self) -> bool:
        """Whether the id is another person's, whose row decides; this row is only kept to be taken
        back.
        """
        return bool(self.person) and not self.is_apart

    @property
    def merges(self) -> int:
        """How many other users are merged into this one, or are about to be."""
        return sum(claim.by == BY_MERGE for claim in self.claimed.values())


def note_claim(claims: dict[str, Claim], who: str, at_ms: int, by: str, *, owner: str = "") -> bool:
    """Note a claim as of ``at_ms``; return whether it is news: an earlier time, or the first act of
    merging. ``owner``: the person into whom the claiming user is merged.
    """
    known = claims.get(who)
    if known is None:
        claims[who] = Claim(at_ms, at_ms, by, owner=owner)
        return True
    known.owner = owner
    is_act = by == BY_MERGE != known.by
    is_earlier = at_ms < known.first_ms
    known.first_ms = min(at_ms, known.first_ms)
    known.last_ms = max(at_ms, known.last_ms)
    if is_act:
        known.by = by
    return is_act or is_earlier


def note_claimed(claimed: dict[str, Claim], id_: str, at_ms: int, by: str) -> bool:
    """`note_claim` in the user's row, which also keeps the other times of the claim."""
    times = claimed[id_].times if id_ in claimed else []
    is_news = note_claim(claimed, id_, at_ms, by)
    claim = claimed[id_]
    claim.keep([*times, at_ms])
    if by == BY_MERGE:
        claim.acted_ms = max(at_ms, claim.acted_ms)
    return is_news


def keep_latest(claims: dict[str, Claim], kept: Collection[str] = ()) -> dict[str, Claim]:
    """Drop the oldest of a user's claims beyond the bound, but not ``kept`` ones nor those of
    merged users; return what was dropped.
    """
    others = [who for who in claims if who not in kept and claims[who].by != BY_MERGE]
    others.sort(key=lambda who: (claims[who].last_ms, who))
    return {who: claims.pop(who) for who in others[: max(0, len(claims) - CLAIMS_MAX)]}


def keep_first(claims: dict[str, Claim]) -> None:
    """Drop the latest claims to an id beyond the bound: the first user has it."""
    while len(claims) > CLAIMS_MAX:
        del claims[max(claims, key=lambda who: (claims[who].first_ms, who))]


def _united(states: Sequence[Identities], _parameters: Parameters) -> Identities:
    """The claims of all; whose id each of them is stays in its own row."""
    one = Identities()
    for state in states:
        for id_, claim in state.claimed.items():
            for at_ms in claim.times:
                note_claimed(one.claimed, id_, at_ms, claim.by)
    keep_latest(one.claimed)
    for state in states:
        one.is_visitor |= state.is_visitor
        one.is_user |= state.is_user
    return one


def _check(state: Identities, event: Event, parameters: Parameters) -> None:
    """Refuse a merge of a user with themselves, one user too many, or into another person's id."""
    if event.name != MERGED:
        return
    if not parameters.identity.enabled:
        raise Rejected(
            Reason.UNKNOWN_EVENT,
            "$.event",
            "ids are not united here",
            "set identity.enabled to true, and publish it again",
        )
    if not event.identified:
        raise Rejected(Reason.NO_IDENTITY, "$.userId", "who is merged is a user, not a visitor")
    if event.properties.from_user_id == event.customer:
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.properties.from_user_id",
            "nobody is merged with themselves",
            "name the user who is the same person in from_user_id, and who stays in userId",
        )
    if state.merges >= MERGED_MAX and event.properties.from_user_id not in state.claimed:
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.properties.from_user_id",
            f"{MERGED_MAX} users are merged into this one already",
            "split one of them first",
        )
    if state.person or any(claim.by == BY_MERGE for claim in state.claims.values()):
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.userId",
            "this customer is another person's id",
            "merge into that person, or split this customer from them first",
        )


def _ids(scene: Scene) -> float:
    return float(max(len(scene.row.ids), 1))


def is_visitor(scene: Scene) -> bool:
    """Whether it is a visitor's id, and no known customer's."""
    state = scene.row.read(IDENTITIES)
    return state.is_visitor and not state.is_user


def _identified(scene: Scene) -> float:
    if not scene.parameters.identity.enabled or not scene.row.latest_ms:
        return nan
    return float(not scene.of(is_visitor))


FACTS: dict[str, Fact] = {
    "ids": Fact(
        _ids,
        "known by {:.0f} ids",
        "under how many ids the customer is known",
        least=1.0,
        whole=True,
    ),
    "identified": Fact(
        _identified,
        "{}",
        "1 for a customer with a userId, 0 for a visitor",
        least=0.0,
        most=1.0,
        answers=("a visitor", "a known customer"),
        whole=True,
    ),
}


class IdView(Struct, frozen=True, rename="camel"):
    """Another id of the person than the one they are known by: its ``fingerprint``, since when it
    is theirs, and what linked it: event, alias or merged.
    """

    fingerprint: str
    since: str
    by: str


class IdentityView(Struct, frozen=True, rename="camel"):
    """``identified``: known by a userId, and no visitor. ``ids``: all other ids, in the order in
    which they became the person's. ``shared_since``: since when several users have used this
    visitor's id, so that its events belong to none of them.
    """

    identified: bool
    ids: tuple[IdView, ...]
    shared_since: str | None


def _view(scene: Scene) -> IdentityView | None:
    """None if identities are switched off (``identity.enabled``)."""
    if not scene.parameters.identity.enabled:
        return None
    state = scene.row.read(IDENTITIES)
    others = [(sub.since_ms, id_) for id_, sub in scene.row.ids.items() if id_ != scene.customer]
    return IdentityView(
        identified=not scene.of(is_visitor),
        ids=tuple(
            IdView(fingerprint_bytes(id_).hex(), iso(since_ms), _said_by(state, id_))
            for since_ms, id_ in sorted(others)
        ),
        shared_since=iso_or_none(state.shared_ms) if state.is_apart else None,
    )


def _said_by(state: Identities, id_: str) -> str:
    claim = state.claimed.get(id_)
    return claim.by if claim is not None else BY_EVENT


def _in_words(view: IdentityView | None, _as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    if not view.identified:
        yield Line("visitor", "has not said who they are")
    for one in view.ids:
        yield Line("id", f"{one.fingerprint} since {moment_in_words(one.since)}, by {one.by}")
    if view.shared_since is not None:
        yield Line("shared", f"by several users since {moment_in_words(view.shared_since)}")


SHARED = "shared"
_SHARED_IDS = Measure(
    "keepstream_identity_shared_ids",
    "Ids of visitors that several users have used, so that what is done with them is nobody's",
)


def _samples(found: Mapping[str, int], _parameters: Parameters) -> Iterable[Sample]:
    yield Sample(_SHARED_IDS, (), float(found.get(SHARED, 0)))


IDENTITIES: Part[Identities] = Part(
    name="identities",
    code="id",
    about="Under which ids a customer is known, and since when.",
    state=Identities,
    united=_united,
    events={
        MERGED: EventType(shape=CustomerMerged, topic="clickstream", is_passive=True),
        SPLIT: EventType(shape=CustomerSplit, topic="clickstream", is_passive=True),
        ERASE_REQUESTED: EventType(shape=EraseRequested, topic="clickstream", is_passive=True),
    },
    listens=frozenset({MERGED, SPLIT}),
    check=_check,
    # Version 1 had no owners in claims, version 2 no times between.
    version=3,
    older={1: msgpack.Decoder(Identities).decode, 2: msgpack.Decoder(Identities).decode},
    moments={
        IDENTITY_LINKED: "another id turned out to be the customer's",
        IDENTITY_SPLIT: "an id turned out not to be the customer's",
    },
    offers=(is_visitor,),
    facts=FACTS,
    sections=(ProfileSection("identity", IdentityView | None, _view, _in_words, place=650),),
    population=Told(
        keys=lambda _: (SHARED,),
        window_days=lambda _: 0,
        measures=(_SHARED_IDS,),
        samples=_samples,
    ),
)


def note_visitor(row: Row, other: Row) -> None:
    """Mark ``row`` as a visitor's if ``other`` is: an earlier release did not note it."""
    if not row.has(IDENTITIES):
        row.edit(IDENTITIES).is_visitor = other.read(IDENTITIES).is_visitor
