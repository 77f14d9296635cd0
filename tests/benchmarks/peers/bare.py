"""The job as a loop by hand: no changelog, so that whoever dies begins anew."""

import asyncio
import sys

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.benchmarks.peers.job import Meter, State, new, step


async def run(bootstrap: str, topic: str, events: int) -> None:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id="bare", auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    customers: dict[bytes, State] = {}
    meter, is_over = Meter(events), False
    async with producer, consumer:
        while not is_over:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    is_over = meter.count()
                    state = customers.setdefault(record.key, new())
                    told = step(state, record.key.decode(), orjson.loads(record.value))
                    if told is not None:
                        await producer.send(f"{topic}-out", orjson.dumps(told), key=record.key)
            await producer.flush()
            await consumer.commit()
        meter.tell()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
