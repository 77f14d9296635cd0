"""Replays the log of a demonstration, which must teach what the workers have learnt.

The replay's trainer starts from nothing. It gets only the lessons that the newest snapshot was
learnt from, since later ones still wait for the next snapshot.
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
from models.events.line import Line
from models.events.rejection import Rejected
from models.events.wire import decode_log_line
from models.learning.lessons import Lesson, Taught
from models.learning.snapshot import Snapshot, SnapshotError, decode_snapshot, prior_snapshot
from models.learning.trainer import Trainer, TrainerState
from models.learning.whole_days import Position
from models.partition import Partition, SnapshotSource
from models.partition_state import rehearsing_state
from models.plan import Plan, plan_for
from streams.customers_table import CustomerRows
from streams.log_export import export_log, read_snapshots

#: An upper bound, in bytes, of the position at the end of an exported line.
_POSITION_BYTES_MAX = 80
#: Enough, because partitions adopt the same models at about the same time.
_SNAPSHOTS_KEPT_MAX = 16


def learnt_again(
    settings: Settings, parameters: Parameters, learnt: Snapshot, directory: Path
) -> Snapshot:
    """Export the log into ``directory``, replay it there, and draw the snapshot that it teaches, to
    compare with ``learnt``. Raises ``DemoFailed`` if it can't be replayed.
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
    """What a new trainer learns from replaying an exported ``log``, up to the end of ``learnt``."""
    ends = msgspec.json.decode(learnt.trainer, type=TrainerState).positions
    plan, announced = plan_for(parameters), _announced(models)
    # Partitions are read side by side, as workers fold them: a trainer does not wait for a
    # partition that is days behind.
    told = [_told(log, int(number), end, plan, announced) for number, end in ends.items()]
    trainer = Trainer(parameters, partitions=partitions)
    for _, lesson in merge(*told, key=lambda one: one[0]):
        trainer.learn(lesson)
        while trainer.learn_next():
            # Decisions were made with the models of the log, so no snapshot is drawn on the way.
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
            # Workers skip it, too.
            fold.skip(line.position.offset)
            continue
        for effect in applied.effects:
            if isinstance(effect, Taught) and (effect.offset, effect.index) <= end:
                yield fold.state.clock_ms, effect


def _lines_of(log: Path, number: int) -> Iterator[Line]:
    """The lines of one partition, without those that are not of the log."""
    # An export writes the position at the end of a line.
    mark = b'"position":{"partition":%d,"offset":' % number
    with log.open("rb") as lines:
        for raw in lines:
            if mark not in raw[-_POSITION_BYTES_MAX:]:
                continue
            with suppress(Rejected):
                yield decode_log_line(raw)
