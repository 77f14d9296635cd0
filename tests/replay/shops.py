"""Logs of simulated shops, and their replays."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, simulate
from config.parameters import Parameters
from models.answer import Score
from models.customer.profile import encode_profile
from models.decisions.trigger import (
    ActionWithdrawn,
    NextBestAction,
    Trigger,
    encode_decision,
)
from models.events.dead_letter import DeadLetter, encode_dead_letter
from models.replay import Replay
from tests.models.lines import PARAMETERS, START_MS, at, watermark

#: Enough faults that each kind is in the log.
SHOP = ShopConfig(
    seed=11,
    customers=60,
    start_ms=START_MS,
    days=60,
    shuffled=0.02,
    duplicates=0.02,
    late=0.005,
    malformed=0.01,
)
#: Parameters with which a small population is enough to learn from.
PARAMETERS_OF_A_SMALL_SHOP = replace(
    PARAMETERS, learning=replace(PARAMETERS.learning, minimum_examples=20)
)


class Outcome(NamedTuple):
    """The output of a replay, as the bytes of its files; ``triggers`` includes next best
    actions.
    """

    triggers: list[bytes]
    dead_letters: list[bytes]
    scores: list[bytes]
    customers: list[bytes]
    replay: Replay


def replayed(
    lines: Iterable[bytes], parameters: Parameters = PARAMETERS_OF_A_SMALL_SHOP
) -> Outcome:
    replay = Replay(parameters)
    outcome = Outcome([], [], [], [], replay)
    for number, content in enumerate(lines, 1):
        for output in replay.feed(content, number):
            match output:
                case Trigger() | NextBestAction() | ActionWithdrawn():
                    outcome.triggers.append(encode_decision(output))
                case DeadLetter():
                    outcome.dead_letters.append(encode_dead_letter(output))
                case Score():
                    outcome.scores.append(msgspec.json.encode(output))
    outcome.customers.extend(encode_profile(view) for view in replay.profiles())
    return outcome


def with_watermarks(config: ShopConfig) -> list[bytes]:
    """The shop's log with a watermark a day."""
    lines: list[bytes] = []
    day = 1
    for record in simulate(config):
        # Not before everything of that day has come, except events that are days late.
        while record.occurred_at_ms > at(days=day, hours=1):
            lines.append(watermark(at(days=day)))
            day += 1
        lines.append(record.value)
    return lines
