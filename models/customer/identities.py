"""Who a customer is known as: the ids that are said to be theirs, and whose id this one is.

Claims and links are told between rows (`models.links`); here is what a row keeps of them.
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
#: What links ids: an event that names both, an alias, an act of a person or a back office.
BY_EVENT, BY_ALIAS, BY_MERGE = "event", "alias", "merged"
#: Ids that a user claims, or users that claim an id.
CLAIMS_MAX: Final = 32
#: Times of a claim that are kept between its first and its last, the latest ones. A split that is
#: heard of only after more of them than these is taken for one just before the first of these.
CLAIM_TIMES_MAX: Final = 8
#: Users that are merged into one.
MERGED_MAX: Final = 8


class CustomerMerged(Struct, frozen=True, omit_defaults=True, gc=False):
    """Another user is the same person as the event's, who is the one to stay."""

    customers: ClassVar[frozenset[str]] = frozenset({"from_user_id"})

    from_user_id: Text
    because: Text | None = None


class EraseRequested(Struct, frozen=True, omit_defaults=True, gc=False):
    """The person is to be erased, with all their ids. ``mode``: DELETE_ONLY, as without one
    (what comes later is of a new person), SUPPRESS_WITH_DELETE (nothing may come of them again) or
    UNSUPPRESS (something may, of this id).
    """

    in_any_case: ClassVar[bool] = True

    mode: Literal["DELETE_ONLY", "SUPPRESS_WITH_DELETE", "UNSUPPRESS"] | None = None
    because: Text | None = None


class CustomerSplit(Struct, frozen=True, omit_defaults=True, gc=False):
    """An id is not this customer's, of all that was before."""

    customers: ClassVar[frozenset[str]] = frozenset({"id"})

    id: Text
    because: Text | None = None


class Claim(State):
    """An id is said to be a user's, ``first_ms`` and last; ``is_sent_home``: it is its own,
    because the user has too many, until they want it back. ``owner``: of a user who claims an id,
    the person into whom they are merged, "" for nobody.

    The user knows when else they said so, ``between``: how long before the last time, ascending;
    and ``acted_ms``, when an act of merging was the last. The id is told the first time alone.
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
        """When the user said so, as far as that is kept, in order."""
        return sorted({self.first_ms, *(self.last_ms - ago for ago in self.between), self.last_ms})

    def keep(self, times: Iterable[int]) -> None:
        """Have these ``times`` between the first and the last, the latest of them."""
        ago = sorted({self.last_ms - at_ms for at_ms in times if self.first_ms < at_ms})
        self.between = [one for one in ago if one > 0][:CLAIM_TIMES_MAX]

    def void(self, until_ms: int) -> bool:
        """Let go of what was said up to ``until_ms``; whether anything is left."""
        left = [at_ms for at_ms in self.times if at_ms > until_ms]
        if not left:
            return False
        self.first_ms = left[0]
        self.keep(left)
        if self.by == BY_MERGE and 0 < self.acted_ms <= until_ms:
            self.by = BY_EVENT
        return True

    def void_act(self) -> bool:
        """Let go of the last act of merging, which was refused; whether anything else is left."""
        left = [at_ms for at_ms in self.times if at_ms != self.acted_ms]
        if not left or not self.acted_ms:
            return False
        self.first_ms, self.last_ms = left[0], left[-1]
        self.keep(left)
        self.by, self.acted_ms = BY_EVENT, 0
        return True


class Identities(State):
    """``claimed``: the ids that this user is said to have. Of an id: whether it has done something
    as a visitor (``is_visitor``) and as a user; ``claims`` by the users who say that it is theirs;
    ``person``: whose it is, ``since_ms``; ``is_leaving``: its row is to come back from there.
    Several claim it since ``shared_ms``; ``is_apart``: the row is of what was done since then, what
    it has come to as a whole is among the row's ids. Claims up to ``split_ms`` are void.
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
        """Whether the row is another person's, who decides: it is only kept to be had back."""
        return bool(self.person) and not self.is_apart

    @property
    def merges(self) -> int:
        """How many other users are, or are to be, one with this one."""
        return sum(claim.by == BY_MERGE for claim in self.claimed.values())


def note_claim(claims: dict[str, Claim], who: str, at_ms: int, by: str, *, owner: str = "") -> bool:
    """Note a claim as of ``at_ms``; whether it says more than is known: an earlier time, or that
    it is an act of merging. Whoever claims is ``owner``'s by now.
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
    """`note_claim` of the user, who knows when else they claimed the id."""
    times = claimed[id_].times if id_ in claimed else []
    is_news = note_claim(claimed, id_, at_ms, by)
    claim = claimed[id_]
    claim.keep([*times, at_ms])
    if by == BY_MERGE:
        claim.acted_ms = max(at_ms, claim.acted_ms)
    return is_news


def keep_latest(claims: dict[str, Claim], kept: Collection[str] = ()) -> dict[str, Claim]:
    """Of too many claims of a user let go of the oldest, but of ``kept`` ones and of users who are
    merged; return these.
    """
    others = [who for who in claims if who not in kept and claims[who].by != BY_MERGE]
    others.sort(key=lambda who: (claims[who].last_ms, who))
    return {who: claims.pop(who) for who in others[: max(0, len(claims) - CLAIMS_MAX)]}


def keep_first(claims: dict[str, Claim]) -> None:
    """Of too many users that claim an id let go of the last: the first one has it."""
    while len(claims) > CLAIMS_MAX:
        del claims[max(claims, key=lambda who: (claims[who].first_ms, who))]


def _united(states: Sequence[Identities], _parameters: Parameters) -> Identities:
    """The ids of all; whose id each of them is stays with its own row."""
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
    """Refuse to merge somebody with themselves, or into somebody who is another's by now."""
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
    """Whether it is a visitor's id that is no known customer's."""
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
    """An id of a person besides the one that they are known by: its ``fingerprint``, since when it
    is theirs, and what said so: event, alias or merged.
    """

    fingerprint: str
    since: str
    by: str


class IdentityView(Struct, frozen=True, rename="camel"):
    """``identified``: known by a userId, and no visitor. ``ids``: all other ids, in the order in
    which they became the person's. ``shared_since``: of a visitor's id that several users have
    used, since when what is done with it is nobody's but its own.
    """

    identified: bool
    ids: tuple[IdView, ...]
    shared_since: str | None


def _view(scene: Scene) -> IdentityView | None:
    """None if ids are not united here."""
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
    # Without the owners of those who claim an id; and without the times between.
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
    """Have ``row`` be a visitor's if ``other`` is: an earlier release did not note it."""
    if not row.has(IDENTITIES):
        row.edit(IDENTITIES).is_visitor = other.read(IDENTITIES).is_visitor
