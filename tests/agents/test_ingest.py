"""Ingest waits for a topic that lags behind the others, but not for ever, and says so.

Time is virtual: waiting takes a number of seconds on a clock that the test moves.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from faust.types import TP
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import agents.ingest
from agents.ingest import GIVE_UP_S, LOOK_S, PATIENCE_S, IngestAgent
from config.duration import DAY_MS, MINUTE_MS
from config.settings import load_settings
from config.topics import CLICKSTREAM, CUSTOMER_EVENTS, TRANSACTIONS
from streams.batch_consumer import LogEnd
from streams.outbox import Headers
from streams.pacing import PATIENCE_S as PACE_PATIENCE_S
from streams.pacing import PartitionStanding
from streams.record_batches import BatchLedger
from streams.trace_headers import TRACEPARENT
from streams.tracing import Traces
from tests.models.lines import PARAMETERS, at, line
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.worker import NOBODY
from tests.streams.test_record_batches import FakeRecord

SETTINGS = load_settings({}, partitions=1)
CLICKS, ORDERS = TP(CLICKSTREAM, 0), TP(TRANSACTIONS, 0)
#: The broker tells all the time where its logs end.
ANSWERED_MS = at() + 1_000 * DAY_MS


class Shop:
    """An ingest agent, what a broker says is still to come, and when each event was passed on."""

    def __init__(
        self,
        loop: VirtualLoop,
        standings: dict[int, PartitionStanding],
        traces: Traces | None = None,
    ) -> None:
        self.loop = loop
        self.ledger = BatchLedger(on_end=lambda _: None)
        self.unserved: set[TP] = set()
        self.passed_s: list[float] = []
        self.clocks = 0
        self.carried: list[Headers] = []
        outbox: Any = self
        self._agent = IngestAgent(
            outbox, SETTINGS, PARAMETERS, NOBODY, lambda: False, lambda: standings, traces
        )
        self._offsets = {CLICKS: 0, ORDERS: 0}
        self.ledger.begin_epoch()
        self.ledger.seek(self._offsets)
        self._task = loop.create_task(self._agent.pass_on(self))  # type: ignore[arg-type]

    def ends(self, _topics: object) -> dict[TP, LogEnd]:
        return {tp: LogEnd(tp in self.unserved, ANSWERED_MS) for tp in (CLICKS, ORDERS)}

    def add(
        self,
        _topic: str,
        _partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        self.carried.append(headers)
        if key is None:
            self.clocks += 1
        else:
            self.passed_s.append(self.loop.time())

    async def flush(self) -> None:
        await asyncio.sleep(0)

    def give(self, tp: TP, at_ms: int, *, then_s: float, headers: Headers = ()) -> list[float]:
        """Let the agent take one event, and advance time; returns when other events were passed
        on.
        """
        began_s, before = self.loop.time(), len(self.passed_s)
        self.loop.run_until_complete(self._take(tp, at_ms, headers))
        self.loop.run_until_complete(asyncio.sleep(then_s))
        return [passed_s - began_s for passed_s in self.passed_s[before:]]

    async def _take(self, tp: TP, at_ms: int, headers: Headers) -> None:
        offset = self._offsets[tp]
        self._offsets[tp] += 1
        name = "page" if tp == CLICKS else "Order Completed"
        value = line(name, at_ms, message=f"{tp.topic}-{offset}")
        record = FakeRecord(offset, 0, tp.topic, at_ms, 0, None, value, headers)
        await self._agent.take(tp.topic, self.ledger.admit(tp.topic, {0: [record]}))


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    monkeypatch.setattr(agents.ingest, "monotonic", loop.time)
    yield loop
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


def test_a_topic_that_nobody_serves_is_waited_for_once(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restart its position is unknown, so no leeway makes anything late."""
    shop = Shop(loop, {})
    shop.unserved = {ORDERS}
    for number in range(3):
        waited = shop.give(CLICKS, at(minutes=number), then_s=GIVE_UP_S + 1)
        if number == 0:
            assert len(waited) == 1
            assert GIVE_UP_S - LOOK_S <= waited[0] <= GIVE_UP_S + 2 * LOOK_S
        else:
            assert [0.0] == waited
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert 1 == len(told)
    assert told[0].startswith(f"{ORDERS.topic}-0 has given nothing for {GIVE_UP_S:.0f} s")


@pytest.mark.parametrize("is_back", ["with records", "without"])
def test_a_topic_that_is_served_again_is_waited_for_again(loop: VirtualLoop, is_back: str) -> None:
    shop = Shop(loop, {})
    shop.unserved = {ORDERS}
    assert 1 == len(shop.give(CLICKS, at(), then_s=GIVE_UP_S + 1))
    if is_back == "with records":
        shop.give(ORDERS, at(), then_s=0)
    else:
        shop.unserved = set()
        shop.give(CLICKS, at(), then_s=0)

    shop.unserved = {ORDERS}
    assert [] == shop.give(CLICKS, at() + 30 * DAY_MS, then_s=PATIENCE_S - 1)


def test_a_trainer_that_does_not_get_on_is_waited_for_once_and_told(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at the end of each day of history."""
    learnt_ms = at() - 20 * DAY_MS
    shop = Shop(loop, {0: PartitionStanding(at() + 100 * DAY_MS, learnt_ms)})
    for day in range(10):
        at_ms = at() + day * DAY_MS + MINUTE_MS
        waited = shop.give(CLICKS, at_ms, then_s=PACE_PATIENCE_S + 1)
        if day == 0:
            assert len(waited) == 1
            assert waited[0] >= PACE_PATIENCE_S - LOOK_S
        else:
            assert [0.0] == waited
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert 1 == len(told)
    assert "without waiting for the trainer: nothing was learnt of partitions 0" in told[0]


def test_a_trace_goes_on_with_its_own_event_and_ends_when_that_is_durable(
    loop: VirtualLoop,
) -> None:
    exporter = InMemorySpanExporter()
    traces = Traces("worker", 1, exporter)
    shop = Shop(loop, {}, traces)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = [(TRACEPARENT, f"00-{trace_id}-b7ad6b7169203331-01".encode())]
    for number, carried in enumerate(([], headers, [])):
        shop.give(CLICKS, at(minutes=number), then_s=GIVE_UP_S, headers=carried)
    traces.close()

    [span] = exporter.get_finished_spans()
    goes_on = f"00-{trace_id}-{span.context.span_id:016x}-01".encode()
    assert [(), ((TRACEPARENT, goes_on),), ()] == shop.carried
    assert {"topic": CLICKSTREAM, "partition": 0, "offset": 1, "to": CUSTOMER_EVENTS} == dict(
        span.attributes
    )
