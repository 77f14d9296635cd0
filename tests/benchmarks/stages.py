"""CPU of the pure core, stage by stage, without a broker.

    python -m tests.benchmarks.stages [--customers 300] [--rounds 5] [--dense]

Folds a simulated shop's log and tells microseconds of CPU: an event (without what silence owed
before it), a decision point, a decision, a lesson, a snapshot; a stored row's way through one page
view (unpacked, stepped, packed); and an event nobody listens to, with and without thirty parts
more.
``--dense``: the same log at fifty events a second of event time, so that no days go by.

Every round measures every stage, so that all of them have the same weather. The median of the
rounds counts; the least of them tells how much of it was other programs.
"""

import argparse
import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from time import process_time
from typing import Any

import orjson

from agents.trials.demo.shop import ShopConfig, simulate
from config.duration import MINUTE_MS
from config.parameters import Parameters
from models import engine, partition
from models.admission import admit, decode_event
from models.customer.contacts import CONTACTS
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row, decode_row, encode_row
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.times import iso
from models.learning.lessons import Lesson
from models.learning.snapshot import (
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    prior_snapshot,
)
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.plan import Plan, plan_for
from streams.customers_table import CustomerRows

START_MS = 1_700_000_000_000
DENSE_STEP_MS = 20
EMPTY_PARTS = 30
_UNHEARD, _WITH_MORE = "event nobody listens to", f"the same with {EMPTY_PARTS} parts more"
REPEATS = 40


class Stopwatch:
    """CPU time by stage, and how often each occurred."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.times: Counter[str] = Counter()

    def timed(self, stage: str, call: Callable[..., Any], *, only: Any = None) -> Any:
        """``call``, timed; ``only``: counts only calls with this result."""

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
    """The shop's accepted events, in the order in which they were published."""
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
    """The engine with a stopwatch at each of its entry points."""
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


def fold(events: list[Event], parameters: Parameters) -> tuple[Stopwatch, CustomerRows]:
    """Fold the events as a worker does; returns the times by stage, and the rows."""
    stopwatch, rows = Stopwatch(), CustomerRows()
    trainer = Trainer(parameters, partitions=1)
    part = partition.Partition(
        0, rows, prior_snapshot(parameters), plan_for(parameters), _no_models
    )
    learn = stopwatch.timed("lesson", trainer.learn_next, only=lambda _, result: bool(result))
    draw = stopwatch.timed("snapshot, drawn", trainer.draw)
    encode = stopwatch.timed("snapshot, encoded", encode_snapshot)
    decode = stopwatch.timed("snapshot, decoded", decode_snapshot)

    def teach(effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Lesson):
                trainer.learn(effect)
                while learn():
                    if trainer.is_due:
                        part.adopt(decode(*encode(draw())))

    latest_ms = offset = 0
    with watched(stopwatch):
        for event in events:
            latest_ms = max(latest_ms, event.occurred_at_ms)
            clock_ms = latest_ms - parameters.time.disorder
            if clock_ms >= part.state.clock_ms + 1_000:
                teach(part.advance_clock(offset, clock_ms).effects)
                part.skip(offset)
                offset += 1
            teach(part.fold(offset, event, moves_clock=False).effects)
            offset += 1
            if not offset % 1_000:
                list(rows.drain())
    list(rows.drain())
    return stopwatch, rows


def _no_models(version: int, _sha256: str) -> Snapshot:
    raise AssertionError(f"nothing adopts model {version}")


def round_trip(rows: CustomerRows, parameters: Parameters) -> float:
    """Microseconds to unpack a stored row, step it through one page view, and pack it again.

    Nearly every view continues a session; one that begins a session also computes a score.
    """
    plan = plan_for(parameters)
    found = {name: row for name in rows.customers() if (row := rows.get(name)) is not None}
    at_ms = max(row.latest_ms for row in found.values()) + 1
    context = plan.context(prior_snapshot(parameters), clock_ms=at_ms)
    stored = []
    for name, row in found.items():
        engine.run_due(row, name, at_ms + 1, context, plan)
        engine.step(row, _event("page", at_ms, f"first view of {name}"), context, plan)
        view = _event("page", at_ms + MINUTE_MS, f"second view of {name}")
        stored.append((encode_row(row), view))
    started = process_time()
    for content, view in stored:
        row = decode_row(content)
        engine.step(row, view, context, plan)
        encode_row(row)
    return (process_time() - started) / len(stored) * 1e6


def _event(name: str, at_ms: int, message: str) -> Event:
    line = {"type": "track", "event": name} if name != "page" else {"type": name}
    line |= {"userId": "ada", "timestamp": iso(at_ms), "messageId": message}
    return decode_event(orjson.dumps(line), message_id="")


def unheard(parameters: Parameters) -> tuple[float, float]:
    """Microseconds of an event to which no part listens, and of the same with thirty more parts.

    They take turns, a thousand events at a time: the difference is smaller than the noise of a
    second.
    """
    plans = [plan_for(parameters, parts) for parts in (PARTS, (*PARTS, *empty_parts()))]
    context = plans[0].context(prior_snapshot(parameters))
    events = [_event("Email Delivered", START_MS, f"m-{number}") for number in range(1_000)]
    seconds = [0.0, 0.0]
    for turn in range(REPEATS):
        row, which = Row(), turn % 2
        started = process_time()
        for event in events:
            engine.step(row, event, context, plans[which])
        seconds[which] += process_time() - started
    plain, more = (spent / (REPEATS // 2 * len(events)) * 1e6 for spent in seconds)
    return plain, more


def empty_parts() -> tuple[Part[Any], ...]:
    """Parts that keep nothing and listen to nothing."""
    bare = replace(CONTACTS, dense_since=0, events={}, listens=frozenset(), offers=(), sections=())
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
    rounds: list[dict[str, float]] = []
    for number in range(chosen.rounds):
        gc.collect()
        stopwatch, rows = fold(events, parameters)
        found = stopwatch.microseconds()
        found["row through a page view"] = round_trip(rows, parameters)
        found[_UNHEARD], found[_WITH_MORE] = unheard(parameters)
        rounds.append(found)
        print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
    print("   median    least  µs of CPU")
    for stage in rounds[0]:
        figures = [found[stage] for found in rounds]
        print(f"{median(figures):9.2f}{min(figures):9.2f}  {stage}")
    ratio = median(found[_WITH_MORE] / found[_UNHEARD] for found in rounds)
    print(
        f"{EMPTY_PARTS} parts more make an event that nobody listens to {ratio:.3f} times as dear"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
