"""The log of a demonstration, replayed: it teaches what the workers have learnt.

The trainer of the replay begins with nothing. It is told no more than the newest snapshot was
learnt from, since what came later still waits for the next one.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from heapq import merge
from pathlib import Path

import msgspec

from agents.trials.demo.failure import DemoFailed
from config.parameters import Parameters
from config.settings import Settings
from models.events.rejection import Rejected
from models.events.wire import Line, decode_log_line
from models.learning.lessons import Lesson, Taught
from models.learning.snapshot import Snapshot, SnapshotError, decode_snapshot, prior_snapshot
from models.learning.trainer import Trainer, TrainerState
from models.learning.whole_days import Position
from models.partition import Partition, SnapshotSource
from models.partition_state import rehearsing_state
from models.plan import Plan, plan_for
from streams.customers_table import CustomerRows
from streams.log_export import export_log, read_snapshots

#: An upper bound of the bytes in which an export says where a record stood.
_POSITION_BYTES_MAX = 80
#: Partitions adopt the same models at about the same time.
_SNAPSHOTS_KEPT_MAX = 16


def learnt_again(
    settings: Settings, parameters: Parameters, learnt: Snapshot, directory: Path
) -> Snapshot:
    """Export the log into ``directory``, replay it there, and draw what it taught: the counterpart
    of ``learnt``. Raises ``DemoFailed`` when it cannot be replayed.
    """
    log = directory / "log.jsonl"
    with log.open("wb") as file:
        exported = asyncio.run(export_log(settings, file.write))
    models = asyncio.run(read_snapshots(settings, exported.announced))
    try:
        return taught_by(log, models, parameters, learnt, settings.partitions)
    except SnapshotError as error:
        raise DemoFailed(f"the log can't be replayed: {error}") from None


def taught_by(
    log: Path,
    models: Mapping[int, bytes],
    parameters: Parameters,
    learnt: Snapshot,
    partitions: int,
) -> Snapshot:
    """What a new trainer learns from a replay of an exported ``log``, as far as ``learnt`` goes."""
    ends = msgspec.json.decode(learnt.trainer, type=TrainerState).positions
    plan, announced = plan_for(parameters), _announced(models)
    # Side by side, as workers fold them: a trainer does not wait for a partition that is days
    # behind.
    told = [_told(log, int(number), end, plan, announced) for number, end in ends.items()]
    trainer = Trainer(parameters, partitions=partitions)
    for _, lesson in merge(*told, key=lambda one: one[0]):
        trainer.learn(lesson)
        while trainer.learn_next():
            # Decisions were made by the models of the log, so none need be drawn on the way.
            continue
    trainer.learn_all()
    return trainer.draw()


def _announced(models: Mapping[int, bytes]) -> SnapshotSource:
    @lru_cache(maxsize=_SNAPSHOTS_KEPT_MAX)
    def announced(version: int, sha256: str) -> Snapshot:
        if version not in models:
            raise SnapshotError(f"there is no model {version}")
        return decode_snapshot(models[version], sha256)

    return announced


def _told(
    log: Path, number: int, end: Position, plan: Plan, announced: SnapshotSource
) -> Iterator[tuple[int, Lesson]]:
    """The lessons of one partition up to position ``end``, each with the clock of its fold."""
    prior = prior_snapshot(plan.parameters)
    fold = Partition(number, CustomerRows(), prior, plan, announced, rehearsing_state())
    for line in _lines_of(log, number):
        assert line.position is not None
        if line.position.offset > end[0]:
            return
        try:
            applied = fold.apply(line.position.offset, line)
        except Rejected:
            # Workers pass over it, too.
            fold.skip(line.position.offset)
            continue
        for effect in applied.effects:
            if isinstance(effect, Taught) and (effect.offset, effect.index) <= end:
                yield fold.state.clock_ms, effect


def _lines_of(log: Path, number: int) -> Iterator[Line]:
    """The lines of one partition; those that are none of the log are left out."""
    # The position is what an export writes last.
    mark = b'"position":{"partition":%d,"offset":' % number
    with log.open("rb") as lines:
        for raw in lines:
            if mark not in raw[-_POSITION_BYTES_MAX:]:
                continue
            with suppress(Rejected):
                yield decode_log_line(raw)
