"""What the shop has improved, told to those who had reason to leave over it.

An improvement is nobody's event, and concerns many customers in all partitions. It travels as all
does that everybody must know: through the trainer, in the next snapshot, which the log names. Each
customer whom it concerns is found at their next check-in, which spreads them over a week.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from typing import Final

from msgspec import Struct

from config.duration import DAY_MS
from config.limits import PositiveInt
from config.parameters import Parameters, Section
from models.customer.churn_reason import EvidenceKind
from models.customer.consent import personalisation_refused
from models.customer.evidence import last_signal
from models.customer.part import Fact, Part, Told
from models.customer.row import State
from models.customer.scene import Scene
from models.events.event import Event, EventType
from models.learning.improvements import IMPROVEMENTS_NAME, Improvements
from models.measures import Measure, Sample

RELEASED: Final = "Improvement Released"
IMPROVED: Final = "improved"


class ImprovementParameters(Section, frozen=True):
    section = IMPROVEMENTS_NAME
    enabled: bool
    window_days: PositiveInt


class Improvement(Struct, frozen=True, omit_defaults=True, gc=False):
    """Something that customers leave over is better: price, product or service. It belongs to no
    customer, so it needs no userId.
    """

    topic: EvidenceKind


class Heard(State):
    """``released_ms``: of a topic's row, its latest improvement; ``told_ms``: of a customer's, the
    latest one that was told to them.
    """

    released_ms: int = 0
    told_ms: int = 0


def _record(state: Heard, event: Event, scene: Scene) -> None:
    state.released_ms = max(state.released_ms, event.occurred_at_ms)
    day = event.occurred_at_ms // DAY_MS
    IMPROVEMENTS.tell(scene, [(str(event.properties.topic), day, 1)])


def _look(scene: Scene) -> None:
    """Tell each improvement once to whoever had reason to leave over what was improved."""
    released_ms = scene.of(_released_for_them)
    if not released_ms or scene.of(personalisation_refused) is not None:
        return
    if released_ms > scene.row.read(IMPROVEMENTS).told_ms:
        scene.row.edit(IMPROVEMENTS).told_ms = released_ms
        scene.raise_moment(IMPROVED)


def _released_for_them(scene: Scene) -> int:
    """When what they had reason to leave over was improved, if it was since; else 0."""
    latest_ms = scene.snapshot.of(Improvements).latest_ms
    if not latest_ms:
        # Nearly every shop, nearly always.
        return 0
    signal = scene.of(last_signal)
    released_ms = latest_ms.get(signal.kind, 0)
    return released_ms if 0 < signal.heard_ms < released_ms <= scene.at_ms else 0


def _united(states: Sequence[Heard], _parameters: Parameters) -> Heard:
    """One person was told what any of their ids was."""
    one = Heard()
    for state in states:
        one.released_ms = max(one.released_ms, state.released_ms)
        one.told_ms = max(one.told_ms, state.told_ms)
    return one


def _improved_days(scene: Scene) -> float:
    released_ms = scene.of(_released_for_them)
    return (scene.at_ms - released_ms) / DAY_MS if released_ms else nan


_RELEASES = Measure(
    "keepstream_improvements", "Improvements released lately, by the reason to leave", ("reason",)
)


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    for kind in EvidenceKind:
        yield Sample(_RELEASES, (kind,), sums.get(kind, 0))


IMPROVEMENTS: Part[Heard] = Part(
    name=IMPROVEMENTS_NAME,
    code="im",
    about="What the shop has improved, told to those who had reason to leave over it.",
    state=Heard,
    united=_united,
    parameters=ImprovementParameters,
    has_own_file=True,
    events={
        RELEASED: EventType(
            shape=Improvement,
            topic="support",
            is_passive=True,
            nobody=lambda improvement: f"improvement:{improvement.topic}",
        )
    },
    listens=frozenset({RELEASED}),
    record=_record,
    look=_look,
    moments={IMPROVED: "what the customer had reason to leave over was improved since"},
    reads=(last_signal, personalisation_refused),
    facts={
        "improved": Fact(
            lambda s: float(s.of(_released_for_them) > 0),
            "{}",
            "1 if what they had reason to leave over was improved since, else 0",
            least=0.0,
            most=1.0,
            answers=("nothing was improved since", "what they left over was improved"),
            whole=True,
        ),
        "improved_days": Fact(
            _improved_days, "improved {:.0f} days ago", "days since that was improved", least=0.0
        ),
    },
    population=Told(
        keys=lambda _parameters: [str(kind) for kind in EvidenceKind],
        window_days=lambda parameters: parameters.of(ImprovementParameters).window_days,
        measures=(_RELEASES,),
        samples=_samples,
    ),
)
