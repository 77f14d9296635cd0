"""Which segments a customer is a member of, and since when.

A segment is a condition with a name (`config.segments`). `models.decisions.segment_looks` evaluates
the conditions and changes this state. Conditions name facts of the parts before this one, so
nothing is recorded here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from config.limits import PositiveMs
from config.parameters import Parameters, Section
from config.segments import SEGMENT_ENTERED, SEGMENT_LEFT
from models.customer.edges import of_timer
from models.customer.fingerprint import fingerprint
from models.customer.motion import STILL
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Timer, Told
from models.customer.row import NO_IDS, State
from models.customer.scene import Context, Scene
from models.customer.words import moment_in_words
from models.events.times import iso
from models.measures import Measure, Sample

#: The moment of rules whose condition has just become true, by time or by an event.
TIME: Final = "time"
#: The prefix of the names under which the conditions of such rules are kept.
RULE_PREFIX: Final = "rule:"
#: The moments that a look at the segments raises.
OF_SEGMENTS: Final = frozenset({SEGMENT_ENTERED, SEGMENT_LEFT, TIME})
#: The timer of changes by time alone.
LOOK: Final = "segments"
#: Stands for a person whose ids were last looked at by different files.
OF_SEVERAL: Final = -1
_NAME: Final = "segments"


class SegmentParameters(Section, frozen=True):
    """``spread``: the time over which the announcements of existing members are spread."""

    section = _NAME
    enabled: bool
    spread: PositiveMs


class SegmentStanding(State):
    """A membership ``since_ms``, by this version of the segment; 0 for none yet. ``turning_ms``:
    since when the condition says otherwise. ``announce_ms``: when the membership of an existing
    member is announced; 0 if it was, or need not be.
    """

    version: int
    since_ms: int = 0
    turning_ms: int = 0
    announce_ms: int = 0

    def is_settled(self, version: int) -> bool:
        """Whether it is a membership by this version, with nothing left to announce."""
        return (
            self.since_ms > 0
            and self.version == version
            and not self.turning_ms
            and not self.announce_ms
        )


class Memberships(State):
    """``declared``: the segments by which the customer was last looked at (`told_by`), 0 for never.
    ``standings`` by name; the conditions of rules are under names that begin with `RULE_PREFIX`.
    ``is_unprofiled``: whether the customer refused personalisation then, so that some facts were
    hidden; it is not updated while no segment needs any of these.
    """

    declared: int = 0
    standings: dict[str, SegmentStanding] = field(default_factory=dict)
    is_unprofiled: bool = False

    def names(self) -> list[str]:
        """The segments that the customer is in."""
        return [name for name, standing in self.standings.items() if standing.since_ms]


def present_ms(scene: Scene) -> int:
    """The latest time that the customer's row has reached; a late event is earlier."""
    row = scene.row
    return max(scene.at_ms, row.latest_ms, row.due(LOOK).handled_ms)


def told_ms(customer: str, now_ms: int, parameters: Parameters) -> int:
    """When an existing member is announced."""
    return now_ms + 1 + fingerprint(customer) % parameters.of(SegmentParameters).spread


def member_of(scene: Scene) -> list[str]:
    """The names of the segments, as declared now, that the customer is in at this moment. A
    customer who was not looked at since they were declared is looked at here.
    """
    if scene.member_of is None:
        state, segments = scene.row.read(SEGMENTS), scene.context.segments
        if segments is None or state.declared == told_by(segments.declared, scene.context):
            scene.member_of = state.names()
        else:
            scene.member_of = segments.names_at(scene)
    return scene.member_of


def told_by(declared: int, context: Context) -> int:
    """The number that a row keeps once its customer was looked at by the segments of this checksum.
    It is another one each time segments are switched on, because events that came while they were
    off were not followed.
    """
    return declared ^ context.begun_ms.get(SEGMENTS.code, 0)


def declared_since_ms(context: Context) -> int:
    """Since when the present segments are in force; 0 if not known."""
    return max(context.declared_ms, context.begun_ms.get(SEGMENTS.code, 0))


def declared(names: Sequence[str]) -> list[str]:
    """The segments among these names, without the conditions of rules."""
    return sorted([name for name in names if not name.startswith(RULE_PREFIX)])


def watched_name(rule: str) -> str:
    """The name under which the condition of a rule is watched."""
    return f"{RULE_PREFIX}{rule}"


def sums_of(state: Memberships) -> Iterator[Sum]:
    """One customer's share of the sums: the members of each segment."""
    for name in declared(state.names()):
        yield name, 0, 1


def _united(states: Sequence[Memberships], _parameters: Parameters) -> Memberships:
    """The segments of any of the ids, until the person is looked at: what is true of an id need not
    be of the person, nor the other way round.
    """
    one = Memberships()
    known = {state.declared for state in states if state.declared}
    one.declared = known.pop() if len(known) == 1 else OF_SEVERAL if known else 0
    # Otherwise the next look finds out that more is hidden now.
    one.is_unprofiled = bool(states) and all(state.is_unprofiled for state in states)
    for name in sorted({name for state in states for name in state.standings}):
        found = [state.standings[name] for state in states if name in state.standings]
        begun = [standing.since_ms for standing in found if standing.since_ms]
        turning = [standing.turning_ms for standing in found if standing.turning_ms]
        told = [standing.announce_ms for standing in found]
        one.standings[name] = SegmentStanding(
            max(standing.version for standing in found),
            min(begun, default=0),
            min(turning, default=0),
            max(told) if all(told) else 0,
        )
    return one


def _reunited(scene: Scene, before: Memberships, other: Memberships, sign: int) -> None:
    SEGMENTS.tell_anew(scene, before, other, sign, sums_of)
    if scene.row.ids is not NO_IDS:
        # After the rest of the person is united, too. An id that is its own again was looked at by
        # itself all the time.
        scene.row.set_due(LOOK, present_ms(scene) + 1)


def _look(_scene: Scene) -> None:
    """Nothing to do: the engine looks at segments after every step, and this timer makes one."""


def _turned(moment: str, scene: Scene) -> str:
    return scene.segment if (moment, scene.segment) in scene.turned else ""


def _declared_names(parameters: Parameters) -> list[str]:
    return [segment.name for segment in parameters.segments.segments]


FACTS = {
    "segments": Fact(
        lambda s: " ".join(declared(member_of(s))),
        "in {}",
        'names of the segments that the customer is in, asked as "vip-slipping" in segments',
        str,
        moves=STILL,
        is_list=True,
    ),
    "segment_entered": Fact(
        lambda s: _turned(SEGMENT_ENTERED, s),
        "now in {}",
        "the segment that was entered",
        str,
        moment=SEGMENT_ENTERED,
        values=_declared_names,
    ),
    "segment_left": Fact(
        lambda s: _turned(SEGMENT_LEFT, s),
        "no longer in {}",
        "the segment that was left",
        str,
        moment=SEGMENT_LEFT,
        values=_declared_names,
    ),
}


class MembershipView(Struct, frozen=True, rename="camel"):
    """``since``: when the membership began, or was first seen; ``version``: the segment's, at that
    time.
    """

    name: str
    since: str
    version: int


def _view(scene: Scene) -> tuple[MembershipView, ...] | None:
    """None if the part is switched off."""
    if not SEGMENTS.is_on(scene.parameters):
        return None
    standings = scene.row.read(SEGMENTS).standings
    return tuple(
        MembershipView(name, iso(standings[name].since_ms), standings[name].version)
        if name in standings and standings[name].since_ms
        # By a file newer than the last look.
        else MembershipView(name, iso(scene.at_ms), _version(name, scene.parameters))
        for name in declared(member_of(scene))
    )


def _version(name: str, parameters: Parameters) -> int:
    return next(one.version for one in parameters.segments.segments if one.name == name)


def _in_words(
    view: tuple[MembershipView, ...] | None, _as_of: str, _currency: str
) -> Iterator[Line]:
    for one in view or ():
        yield Line("in", f"{one.name}, since {moment_in_words(one.since)}")


MEMBERS = Measure(
    "keepstream_segment_members", "Customers who are in a segment of segments.yaml", ("segment",)
)


def _samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    for name in _declared_names(parameters):
        yield Sample(MEMBERS, (name,), float(sums.get(name, 0)))


SEGMENTS: Part[Memberships] = Part(
    name=_NAME,
    code="sg",
    about="Named conditions that hold of the customer, entered and left at their very time.",
    state=Memberships,
    united=_united,
    reunited=_reunited,
    parameters=SegmentParameters,
    has_own_file=True,
    timers=(Timer(LOOK, _look),),
    moments={
        SEGMENT_ENTERED: "the customer has become a member of a segment",
        SEGMENT_LEFT: "the customer is no longer a member of a segment",
        TIME: "the rule's own condition has become true, by an event or by time alone",
    },
    facts=FACTS,
    sections=(
        ProfileSection(
            _NAME,
            tuple[MembershipView, ...] | None,
            _view,
            _in_words,
            place=120,
            edge=of_timer(LOOK),
        ),
    ),
    population=Told(
        keys=_declared_names,
        window_days=lambda _: 0,
        measures=(MEMBERS,),
        samples=_samples,
    ),
)
