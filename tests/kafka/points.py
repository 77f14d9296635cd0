"""A worker that gets a signal at a named point: ``python -m tests.kafka.points worker ...``.

FAULT in its environment says where, at which passage and which signal: ``after rows:2:SIGKILL``.
The hooks wrap methods from here; the product does not know about them. The table `METHODS` lists
the methods with points. Each kind of write has four points: before it, when some of it is durable,
when all of it is in flight, and after it.
"""

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from importlib import import_module
from typing import Any, NamedTuple

from config.topics import CUSTOMER_EVENTS, CUSTOMERS, MODEL_SNAPSHOTS
from tests.kafka.worker import PRESENT

VARIABLE = "FAULT"
#: What a test starts instead of the unmodified worker.
BREAKING = PRESENT._replace(module="tests.kafka.points")

Method = Callable[..., Any]
AsyncMethod = Callable[..., Coroutine[Any, Any, Any]]


class Hooked(NamedTuple):
    """A method with a point before each call, and one after it if ``has_after``."""

    module: str
    owner: str
    method: str
    counts: Callable[..., bool] = lambda *_, **__: True
    has_after: bool = True


def _is_of_the_log(batch: Any) -> bool:
    return bool(batch.topic.endswith(CUSTOMER_EVENTS))


#: Points around a call, by what the call does.
METHODS = {
    "the ack": Hooked("streams.record_batches", "RecordBatch", "ack", _is_of_the_log),
    "the positions": Hooked("agents.ingest", "IngestAgent", "_commit"),
    "the commit": Hooked("streams.batch_consumer", "BatchConsumer", "_commit"),
    "the revocation": Hooked(
        "streams.batch_consumer",
        "BatchConsumer",
        "on_partitions_revoked",
        lambda _, revoked: bool(revoked),
    ),
    "the seek": Hooked("streams.batch_consumer", "BatchConsumer", "perform_seek"),
    "the recovery": Hooked("streams.owned_partitions", "OwnedPartitions", "_recover"),
    "a recovered record": Hooked("streams.recovery", "ChangelogFold", "add", has_after=False),
    "a model": Hooked("streams.snapshot_store", "SnapshotStore", "fetch"),
    "the trainer": Hooked("agents.trainer", "TrainerAgent", "_restored"),
    "the delivery": Hooked(
        "streams.trigger_streams", "TriggerStreams", "append", lambda _, decisions: bool(decisions)
    ),
    "the profiles": Hooked(
        "streams.profile_views", "ProfileViews", "write_some", lambda views, *_: bool(views.waiting)
    ),
}
#: The kinds of writes, each by one flush of an outbox.
WRITES = ("effects", "rows", "events", "the snapshot", "the announcement")
MOMENTS = ("before", "amid", "with all in flight of", "after")
POINTS = (
    *(f"{moment} {written}" for written in WRITES for moment in MOMENTS),
    *(f"before {done}" for done in METHODS),
    *(f"after {done}" for done, hooked in METHODS.items() if hooked.has_after),
)


class Fault:
    """Sends this process its signal when it passes the point for the n-th time."""

    def __init__(self, told: str) -> None:
        self.point, passages, how = told.split(":")
        if self.point not in POINTS:
            raise ValueError(f"{self.point!r} is no point: {', '.join(POINTS)}")
        self._left = int(passages)
        self._signal = signal.Signals[how]

    def pass_by(self, point: str) -> None:
        if point != self.point:
            return
        self._left -= 1
        if not self._left:
            print(reached(point), file=sys.stderr, flush=True)  # noqa: T201
            os.kill(os.getpid(), self._signal)


def reached(point: str) -> str:
    """The line in the worker's log when it reaches the point."""
    return f"the fault comes {point}"


def install(fault: Fault) -> None:
    """Wrap the methods with points, in this process."""
    for done, hooked in METHODS.items():
        owner = getattr(import_module(hooked.module), hooked.owner)
        method = getattr(owner, hooked.method)
        wrap = _around_async if asyncio.iscoroutinefunction(method) else _around
        setattr(owner, hooked.method, wrap(method, done, hooked.counts, fault))
    _install_writes(fault)


def _around(method: Method, done: str, counts: Method, fault: Fault) -> Method:
    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        if not counts(*arguments, **options):
            return method(*arguments, **options)
        fault.pass_by(f"before {done}")
        result = method(*arguments, **options)
        fault.pass_by(f"after {done}")
        return result

    return call


def _around_async(method: AsyncMethod, done: str, counts: Method, fault: Fault) -> AsyncMethod:
    @functools.wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        if not counts(*arguments, **options):
            return await method(*arguments, **options)
        fault.pass_by(f"before {done}")
        result = await method(*arguments, **options)
        fault.pass_by(f"after {done}")
        return result

    return call


def _install_writes(fault: Fault) -> None:
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415 - only the worker needs these

    from agents.trainer import TrainerAgent  # noqa: PLC0415
    from streams.outbox import Outbox  # noqa: PLC0415

    written: ContextVar[str | None] = ContextVar("written", default=None)
    of_trainer: list[Outbox] = []
    flush, send, initialize = Outbox.flush, AIOKafkaProducer.send_batch, TrainerAgent.__init__

    def note(trainer: Any, snapshots: Any, outbox: Outbox, *arguments: Any) -> None:
        of_trainer.append(outbox)
        initialize(trainer, snapshots, outbox, *arguments)

    async def flush_with_points(outbox: Outbox) -> None:
        what = _written(outbox, is_trainer=outbox in of_trainer)
        if what is None:
            await flush(outbox)
            return
        fault.pass_by(f"before {what}")
        token = written.set(what)
        await flush(outbox)
        written.reset(token)
        fault.pass_by(f"after {what}")

    async def send_with_points(producer: Any, *arguments: Any, **options: Any) -> Any:
        durable = await send(producer, *arguments, **options)
        what = written.get()
        if fault.point == f"amid {what}":
            await asyncio.shield(durable)
        if what is not None:
            fault.pass_by(f"amid {what}")
            # Runs as soon as everything is handed over: the next turn of the loop would be too
            # late.
            asyncio.get_running_loop().call_soon(fault.pass_by, f"with all in flight of {what}")
        return durable

    Outbox.flush = flush_with_points  # type: ignore[method-assign]
    AIOKafkaProducer.send_batch = send_with_points
    TrainerAgent.__init__ = note  # type: ignore[assignment]


def _written(outbox: Any, *, is_trainer: bool) -> str | None:
    """What a flush is about to write, by its topics."""
    names = {name for name, _ in outbox._buffers}
    if not names:
        return None
    if MODEL_SNAPSHOTS in names:
        return "the snapshot"
    if is_trainer:
        return "the announcement"
    if CUSTOMERS in names:
        return "rows"
    return "events" if CUSTOMER_EVENTS in names else "effects"


if __name__ == "__main__":
    from agents.cli import main

    install(Fault(os.environ[VARIABLE]))
    main()
