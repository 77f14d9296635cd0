"""A lesson that would break a learner, or freeze the trainer, is not accepted."""

import json
from base64 import b64encode
from struct import pack
from typing import Any

import msgspec
import pytest

from models.events.foreign import Foreign
from models.learning.feature_names import NAMES
from models.learning.lesson_checks import AHEAD_MAX_MS, learnable_lesson, require_past
from models.learning.scorers import SCORERS
from models.learning.spend_models import NAMES as SEEN
from tests.models.lines import at

FEATURES = b64encode(pack(f"<{len(NAMES)}f", *(0.5,) * len(NAMES))).decode()
NOT_A_NUMBER = b64encode(pack(f"<{len(NAMES)}f", *(float("nan"),) * len(NAMES))).decode()


def said(served: int, odds: float = 0.5) -> str:
    return b64encode(pack(f"<{len(SCORERS)}fb", *(odds,) * len(SCORERS), served)).decode()


EXAMPLE: dict[str, Any] = {
    "type": "example",
    "partition": 1,
    "offset": 7,
    "timestampMs": at(),
    "horizonDays": 28.0,
    "kind": "check-in",
    "churned": False,
    "features": FEATURES,
    "said": said(0),
    "forecast": [100.0, None, 50.0, [0.5] * len(SEEN)],
}
OBSERVATION: dict[str, Any] = {
    "type": "observation",
    "timestampMs": at(),
    "recencyDays": 3.0,
    "frequency": 2,
    "monetaryMinor": 500,
    "gapDays": None,
    "enters": [1, 2, 3],
}
TALLY: dict[str, Any] = {
    "type": "tally",
    "timestampMs": at(),
    "part": "loyalty",
    "windowDays": 28,
    "sums": [["earned", 20_000, 5]],
}
SOUND = (EXAMPLE, OBSERVATION, TALLY)


@pytest.mark.parametrize("sound", SOUND)
def test_a_sound_lesson_is_learnt(sound: dict[str, Any]) -> None:
    lesson = learnable_lesson(msgspec.json.encode(sound))
    require_past(lesson, at() - AHEAD_MAX_MS)


@pytest.mark.parametrize(
    ("sound", "changed"),
    [
        (EXAMPLE, {"said": said(len(SCORERS))}),
        (EXAMPLE, {"said": said(-1)}),
        (EXAMPLE, {"said": said(0, float("inf"))}),
        (EXAMPLE, {"said": "AAAA"}),
        (EXAMPLE, {"said": "no base64"}),
        (EXAMPLE, {"features": ""}),
        (EXAMPLE, {"features": "AAAA"}),
        (EXAMPLE, {"features": NOT_A_NUMBER}),
        (EXAMPLE, {"kind": "check in"}),
        (EXAMPLE, {"kind": ""}),
        (EXAMPLE, {"weight": 0}),
        (EXAMPLE, {"weight": 10**300}),
        (EXAMPLE, {"horizonDays": 0.0}),
        (EXAMPLE, {"spentMinor": 10**30}),
        (EXAMPLE, {"forecast": [100.0, None, 0.0, [0.5] * len(SEEN)]}),
        (EXAMPLE, {"forecast": [100.0, None, 50.0, [0.5]]}),
        (EXAMPLE, {"forecast": [100.0, None, 50.0, [1e300] * len(SEEN)]}),
        (EXAMPLE, {"partition": -1}),
        (EXAMPLE, {"offset": 2**63}),
        (EXAMPLE, {"timestampMs": 0}),
        (EXAMPLE, {"timestampMs": 10**15}),
        (OBSERVATION, {"enters": [1, 2, -3]}),
        (OBSERVATION, {"leaves": [10**9, 2, 3]}),
        (OBSERVATION, {"frequency": -1}),
        (OBSERVATION, {"monetaryMinor": 10**40}),
        (OBSERVATION, {"gapDays": 1e300}),
        (OBSERVATION, {"gapResiduals": [1e300]}),
        (OBSERVATION, {"features": NOT_A_NUMBER}),
        (OBSERVATION, {"spendEnters": [1, 2, 10**30]}),
        (TALLY, {"sums": [["earned", 10**12, 5]]}),
        (TALLY, {"sums": [["earned", 20_000, 10**30]]}),
        (TALLY, {"windowDays": -1}),
        (TALLY, {"part": ""}),
    ],
)
def test_a_lesson_beyond_what_can_be_is_none(
    sound: dict[str, Any], changed: dict[str, Any]
) -> None:
    with pytest.raises(Foreign, match="not a lesson"):
        learnable_lesson(json.dumps({**sound, **changed}).encode())


def test_another_release_s_features_cost_an_observation_nothing() -> None:
    """It counts its customer; only drift does without it."""
    learnable_lesson(msgspec.json.encode({**OBSERVATION, "features": "AAAA"}))


def test_a_lesson_of_a_time_to_come_is_none() -> None:
    lesson = learnable_lesson(msgspec.json.encode(OBSERVATION))
    with pytest.raises(Foreign, match="still to come"):
        require_past(lesson, at() - AHEAD_MAX_MS - 1)
