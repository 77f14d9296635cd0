"""A worker process for the tests of record batches.

Its configuration (JSON, the only argument) says what to do; its journal records what it did, one
line per step. Run as ``python -m tests.streams.batch_worker CONFIGURATION``.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Literal

import msgspec
from aiokafka import AIOKafkaProducer

from streams.batch_consumer import Batching
from streams.faust_app import KeepstreamApp, Membership, new_faust_app, run_worker
from streams.library_lines import quiet_libraries
from streams.record_batches import RecordBatch

POISON = b"poison"
GATE_CHECK_S = 0.02

Behaviour = Literal["copy", "hold", "linger", "fail", "release", "count", "return"]


class Configuration(msgspec.Struct, kw_only=True):
    """What a worker reads, and what its agents do with it.

    copy: write each record's position to ``output``, then ack.
    hold: wait for the file ``gate``, then copy.
    linger: copy, then wait for ``gate``, then ack.
    fail: copy, but raise at a record that says poison.
    release: end each batch without a commit; once ``gate`` exists, let it be committed.
    count: only ack.
    return: ack, and end after the first batch.
    """

    bootstrap_servers: str
    group_id: str
    agents: dict[str, Behaviour]
    output: str = ""
    journal: str
    gate: str = ""
    max_batch_records: int = 500
    drain_timeout_s: float = 8.0
    session_timeout_s: float = 6.0
    warn: bool = True


class Agents:
    """The agents of one worker, with what they share."""

    def __init__(self, configuration: Configuration, app: KeepstreamApp) -> None:
        self.configuration = configuration
        self.app = app
        self.gate = Path(configuration.gate)
        # Line-buffered, so that the journal can be read after a kill.
        self.journal = Path(configuration.journal).open(  # noqa: SIM115  closed by `close`
            "a", buffering=1, encoding="utf-8"
        )
        self.producer: AIOKafkaProducer | None = None

    def note(self, line: str) -> None:
        self.journal.write(f"{line}\n")

    async def pass_gate(self) -> None:
        while not self.gate.exists():  # noqa: ASYNC110  another process makes the file
            await asyncio.sleep(GATE_CHECK_S)

    async def copy(self, batch: RecordBatch) -> None:
        if self.producer is None:
            self.producer = AIOKafkaProducer(
                bootstrap_servers=self.configuration.bootstrap_servers,
                enable_idempotence=True,
                acks="all",
            )
            await self.producer.start()
        written = [
            await self.producer.send(
                self.configuration.output,
                f"{batch.topic}:{record.partition}:{record.offset}".encode(),
                partition=record.partition,
            )
            for record in batch
        ]
        await asyncio.gather(*written)

    async def act(self, batch: RecordBatch, behaviour: Behaviour) -> None:
        match behaviour:
            case "fail" if any(record.value == POISON for record in batch):
                self.note(f"raising {batch.topic}")
                raise RuntimeError("the agent met poison")
            case "release":
                batch.release()
                if self.gate.exists():
                    self.app.batch_consumer.ledger.mark_committable(
                        batch.positions, epoch=batch.epoch
                    )
                return
            case "count" | "return":
                pass
            case _:
                if behaviour == "hold":
                    self.note(f"holding {batch.topic} {len(batch)}")
                    await self.pass_gate()
                await self.copy(batch)
                if behaviour == "linger":
                    self.note(f"lingering {batch.topic} {len(batch)}")
                    await self.pass_gate()
        batch.ack()

    async def close(self, *_: object, **__: object) -> None:
        self.journal.close()
        if self.producer is not None:
            await self.producer.stop()

    def register(self) -> None:
        self.app.on_before_shutdown.connect(self.close)
        for topic, behaviour in self.configuration.agents.items():
            self._register(topic, behaviour)

    def _register(self, topic: str, behaviour: Behaviour) -> None:
        async def agent(stream) -> None:  # type: ignore[no-untyped-def]
            async for batch in stream:
                await self.act(batch, behaviour)
                self.note(f"done {topic} {len(batch)}")
                if behaviour == "return":
                    return

        self.app.agent(self.app.batch_topic(topic), name=f"take-{topic}")(agent)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    configuration = msgspec.json.decode(sys.argv[1], type=Configuration)
    quiet_libraries(logging.WARNING if configuration.warn else logging.INFO)
    app = new_faust_app(
        configuration.group_id,
        bootstrap_servers=configuration.bootstrap_servers,
        batching=Batching(
            max_batch_records=configuration.max_batch_records,
            drain_timeout_s=configuration.drain_timeout_s,
        ),
        membership=Membership(
            session_timeout_s=configuration.session_timeout_s, heartbeat_interval_s=1.0
        ),
    )
    Agents(configuration, app).register()
    return run_worker(app)


if __name__ == "__main__":
    sys.exit(main())
