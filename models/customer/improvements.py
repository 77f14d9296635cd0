"""Improvements of the shop, and the customers who had reason to leave over what was improved.

An improvement belongs to no customer, and concerns many in all partitions. It reaches them as all
shared knowledge does: through the trainer, in the next snapshot, which a record in the log names.
Each customer whom it concerns is found at their next check-in, which spreads them over a week.
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
    """Something that customers leave over has improved: price, product or service. It belongs to no
    customer, so it needs no userId.
    """

    topic: EvidenceKind


class Improved(State):
    """``released_ms``: in a topic's row, the time of its latest improvement; ``told_ms``: in a
    customer's row, that of the latest improvement whose moment was raised.
    """

    released_ms: int = 0
    told_ms: int = 0


def _record(state: Improved, event: Event, scene: Scene) -> None:
    state.released_ms = max(state.released_ms, event.occurred_at_ms)
    day = event.occurred_at_ms // DAY_MS
    IMPROVEMENTS.tell(scene, [(str(event.properties.topic), day, 1)])


def _look(scene: Scene) -> None:
    """Raise the moment, once for each improvement of what the customer had reason to leave over."""
    released_ms = scene.of(_released_for_them)
    if not released_ms or scene.of(personalisation_refused) is not None:
        return
    if released_ms > scene.row.read(IMPROVEMENTS).told_ms:
        scene.row.edit(IMPROVEMENTS).told_ms = released_ms
        scene.raise_moment(IMPROVED)


def _released_for_them(scene: Scene) -> int:
    """When what the customer had reason to leave over was improved, if that was later; else 0."""
    latest_ms = scene.snapshot.of(Improvements).latest_ms
    if not latest_ms:
        # So it is for nearly every shop, nearly always.
        return 0
    signal = scene.of(last_signal)
    released_ms = latest_ms.get(signal.kind, 0)
    return released_ms if 0 < signal.heard_ms < released_ms <= scene.at_ms else 0


def _united(states: Sequence[Improved], _parameters: Parameters) -> Improved:
    """The latest improvement that any of the person's ids knows of."""
    one = Improved()
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


IMPROVEMENTS: Part[Improved] = Part(
    name=IMPROVEMENTS_NAME,
    code="im",
    about="Improvements of the shop, and who had reason to leave over what was improved.",
    state=Improved,
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
