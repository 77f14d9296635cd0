"""CPU of the pure core, stage by stage, without a broker.

    python -m tests.benchmarks.stages [--customers 300] [--rounds 5] [--dense]

Folds a simulated shop's log and tells microseconds of CPU: an event (without what silence owed
before it), a decision point, a decision, a lesson; the round trip of a row that a page view
touches; and an event nobody listens to, with and without thirty parts more. ``--dense``: the same
log at fifty events a second of event time, so that no days go by. Of each figure the least of the
rounds counts: the machine has other things to do.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import process_time
from typing import Any

import orjson

from agents.trials.demo.shop import ShopConfig, simulate
from config.parameters import Parameters
from models import engine, partition
from models.admission import admit, decode_event
from models.customer.contacts import CONTACTS
from models.customer.engagement import ENGAGEMENT
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row, decode_row, encode_row
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.wire import iso
from models.learning.lessons import Lesson
from models.learning.snapshot import Snapshot, prior_snapshot
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.plan import Plan, plan_for
from streams.customers_table import CustomerRows

START_MS = 1_700_000_000_000
DENSE_STEP_MS = 20
EMPTY_PARTS = 30
REPEATS = 20_000


class Stopwatch:
    """CPU time by stage, and how often each came by."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.times: Counter[str] = Counter()

    def timed(self, stage: str, call: Callable[..., Any], *, only: Any = None) -> Any:
        """``call``, timed; ``only``: what its result must say to count."""

        def measured(*arguments: Any) -> Any:
            started = process_time()
            result = call(*arguments)
            if only is None or only(arguments, result):
                self.seconds[stage] += process_time() - started
                self.times[stage] += 1
            return result

        return measured

    def microseconds(self) -> dict[str, float]:
        return {stage: self.seconds[stage] / n * 1e6 for stage, n in self.times.items()}


def events_of(customers: int, parameters: Parameters, *, dense: bool) -> list[Event]:
    """The shop's events that are taken, in the order in which they were published."""
    shop = ShopConfig(seed=0, customers=customers, start_ms=START_MS, days=200)
    found: list[Event] = []
    for number, record in enumerate(simulate(shop)):
        value = record.value
        if dense:
            value = _at(value, START_MS + number * DENSE_STEP_MS)
        try:
            found.append(admit(value, parameters, message_id=f"m-{number}"))
        except Rejected:
            continue
    return found


def _at(value: bytes, at_ms: int) -> bytes:
    try:
        return orjson.dumps({**orjson.loads(value), "timestamp": iso(at_ms)})
    except (orjson.JSONDecodeError, TypeError):
        return value


@contextmanager
def watched(stopwatch: Stopwatch) -> Iterator[None]:
    """The engine with a stopwatch at each of its doors."""
    step, run_due, run_timers, decide = (
        engine.step,
        engine.run_due,
        engine.run_timers,
        engine.decide,
    )

    def due_then_step(row: Row, event: Event, context: Any, plan: Plan) -> Any:
        before = run_due(row, event.customer, event.occurred_at_ms, context, plan)
        fate, effects = stopwatch.timed("event", step)(row, event, context, plan)
        return fate, before + effects

    def is_decision_point(arguments: Any, _result: Any) -> bool:
        return bool(arguments[0].due("decision").handled_ms == arguments[2])

    engine.run_timers = partition.run_timers = stopwatch.timed(
        "decision point", run_timers, only=is_decision_point
    )
    engine.decide = stopwatch.timed("decision", decide, only=lambda _, result: bool(result))
    partition.step = due_then_step
    try:
        yield
    finally:
        engine.run_timers = partition.run_timers = run_timers
        engine.decide, partition.step = decide, step


def fold(events: list[Event], parameters: Parameters) -> tuple[dict[str, float], CustomerRows]:
    """Fold the events as a worker does; microseconds by stage, and the rows."""
    stopwatch, rows, trainer = Stopwatch(), CustomerRows(), Trainer(parameters)
    part = partition.Partition(
        0, rows, prior_snapshot(parameters), plan_for(parameters), _no_models
    )
    learn = stopwatch.timed("lesson", trainer.learn)

    def teach(effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Lesson):
                learn(effect)
                if trainer.is_due:
                    part.adopt(trainer.draw())

    latest_ms = offset = 0
    with watched(stopwatch):
        for event in events:
            latest_ms = max(latest_ms, event.occurred_at_ms)
            clock_ms = latest_ms - parameters.time.disorder
            if clock_ms >= part.state.clock_ms + 1_000:
                teach(part.advance_clock(offset, clock_ms))
                part.skip(offset)
                offset += 1
            teach(part.fold(offset, event).effects)
            offset += 1
            if not offset % 1_000:
                list(rows.drain())
    list(rows.drain())
    return stopwatch.microseconds(), rows


def _no_models(version: int, _sha256: str) -> Snapshot:
    raise AssertionError(f"nothing adopts model {version}")


def round_trip(rows: CustomerRows) -> float:
    """Microseconds to unpack a row, touch its engagement, and pack it again."""
    stored = [encode_row(row) for name in rows.customers() if (row := rows.get(name)) is not None]
    started = process_time()
    for content in stored:
        row = decode_row(content)
        row.edit(ENGAGEMENT)
        encode_row(row)
    return (process_time() - started) / len(stored) * 1e6


def unheard(parameters: Parameters, parts: tuple[Part[Any], ...]) -> float:
    """Microseconds of an event that nobody listens to, with these parts registered."""
    plan = plan_for(parameters, parts)
    context = plan.context(prior_snapshot(parameters))
    line = {
        "type": "track",
        "event": "Email Delivered",
        "userId": "ada",
        "timestamp": iso(START_MS),
    }
    events = [
        decode_event(orjson.dumps({**line, "messageId": f"m-{number}"}), message_id="")
        for number in range(REPEATS)
    ]
    row = Row()
    started = process_time()
    for event in events:
        engine.step(row, event, context, plan)
    return (process_time() - started) / len(events) * 1e6


def empty_parts() -> tuple[Part[Any], ...]:
    """Parts that keep nothing and hear nothing."""
    bare = replace(CONTACTS, events={}, listens=frozenset(), offers=(), sections=())
    return tuple(
        replace(bare, name=f"empty-{number}", code=f"e{number}") for number in range(EMPTY_PARTS)
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=300)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--dense", action="store_true")
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    chosen = options.parse_args()
    parameters = load_parameters(assignments=chosen.set)
    events = events_of(chosen.customers, parameters, dense=chosen.dense)
    least: dict[str, float] = {}
    for number in range(chosen.rounds):
        found, rows = fold(events, parameters)
        found["row round trip of a page view"] = round_trip(rows)
        found["event nobody listens to"] = unheard(parameters, PARTS)
        found["the same with 30 parts more"] = unheard(parameters, (*PARTS, *empty_parts()))
        least = {stage: min(us, least.get(stage, us)) for stage, us in found.items()}
        print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
    for stage, us in least.items():
        print(f"{us:9.2f} µs  {stage}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
