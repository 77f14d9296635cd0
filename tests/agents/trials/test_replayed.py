"""A demonstration's log teaches a replay what it taught the workers; another log does not."""

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from agents.trials.demo.replayed import taught_by
from agents.trials.demo.shop import ShopConfig, simulate
from agents.trials.demo.summary import model_figures
from models.admission import admit_line
from models.events.rejection import Rejected
from models.events.wire import decode_line
from models.learning.lessons import Lesson
from models.learning.snapshot import Snapshot, decode_snapshot, encode_snapshot, prior_snapshot
from models.learning.trainer import Trainer
from models.partition import Partition
from models.partition_state import rehearsing_state
from models.plan import plan_for
from streams.kafka_clients import partition_for
from streams.log_export import header_lines, log_line
from streams.log_records import live_record, model_record
from tests.models.lines import PARAMETERS
from tests.properties.histories import LiveRows

PARTITIONS = 3
SHOP = ShopConfig(seed=4, customers=100, start_ms=1_700_000_000_000, days=110, malformed=0)


class Live:
    """Live partitions, and a trainer whose models they adopt when they are drawn."""

    def __init__(self) -> None:
        self.models: dict[int, bytes] = {}
        self.snapshot = prior_snapshot(PARAMETERS)
        self.logs: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        plan = plan_for(PARAMETERS)
        self._trainer = Trainer(PARAMETERS, partitions=PARTITIONS)
        self._folds = [
            Partition(number, LiveRows(), self.snapshot, plan, self._announced, rehearsing_state())
            for number in range(PARTITIONS)
        ]
        for fold in self._folds:
            self.append(fold, live_record(SHOP.start_ms))

    def take(self, raw: bytes) -> None:
        """Append an event as ingest would, and learn the lessons of its fold."""
        line = decode_line(raw)
        event = admit_line(line, PARAMETERS, message_id="unknown")
        fold = self._folds[partition_for(event.customer.encode(), PARTITIONS)]
        self.append(fold, orjson.dumps({**orjson.loads(raw), "logFormat": 3}))
        while self._trainer.learn_next():
            if self._trainer.is_due:
                self._announce()

    def append(self, fold: Partition, record: bytes) -> None:
        """Append a record to the log of a partition, and fold it."""
        log = self.logs[fold.number]
        log.append(record)
        for effect in fold.apply(len(log) - 1, decode_line(record)).effects:
            if isinstance(effect, Lesson):
                self._trainer.learn(effect)

    def _announce(self) -> None:
        self.snapshot = self._trainer.draw()
        content, sha256 = encode_snapshot(self.snapshot)
        self.models[self.snapshot.version] = content
        for fold in self._folds:
            self.append(fold, model_record(self.snapshot.version, sha256))

    def _announced(self, version: int, sha256: str) -> Snapshot:
        return decode_snapshot(self.models[version], sha256)


@pytest.fixture(scope="module")
def live() -> Live:
    """A shop's days as two workers might have folded them."""
    shop = Live()
    for record in simulate(SHOP):
        try:
            shop.take(record.value)
        except Rejected:
            continue
    return shop


def exported(logs: Sequence[Sequence[bytes]], path: Path) -> Path:
    """The log as `keepstream export` writes it."""
    with path.open("wb") as file:
        for number, log in enumerate(logs):
            lines = [log_line(record, number, offset) for offset, record in enumerate(log)]
            file.writelines(line + b"\n" for line in [*header_lines(number), *lines] if line)
    return path


def test_the_log_replayed_teaches_what_was_learnt_live(live: Live, tmp_path: Path) -> None:
    log = exported(live.logs, tmp_path / "log.jsonl")
    taught = taught_by(log, live.models, PARAMETERS, live.snapshot, PARTITIONS)

    model = model_figures(live.snapshot, taught)
    assert len(live.models) > 20
    assert model.examples > 100
    assert model.replayed is not None
    assert model.replayed.agrees
    assert model.auc is not None
    assert model.replayed.auc == pytest.approx(model.auc, abs=1e-9)


def test_a_log_that_lacks_a_customer_teaches_something_else(live: Live, tmp_path: Path) -> None:
    buyers = [orjson.loads(record) for record in live.logs[0]]
    gone = next(b["userId"] for b in buyers if b.get("event") == "Order Completed")
    # In the places of what is gone stand records that change nothing.
    cut = [b"{}" if gone.encode() in record else record for record in live.logs[0]]
    log = exported([cut, *live.logs[1:]], tmp_path / "log.jsonl")
    taught = taught_by(log, live.models, PARAMETERS, live.snapshot, PARTITIONS)

    replayed = model_figures(live.snapshot, taught).replayed
    assert replayed is not None
    assert not replayed.agrees
