"""The job in Faust's own idiom: an agent, and a table with its changelog."""

import os
import sys

import faust

from tests.benchmarks.peers.job import Meter, new, step

BOOTSTRAP, TOPIC, EVENTS, DIRECTORY = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
PARTITIONS = 4

app = faust.App(
    f"{TOPIC}-faust",
    broker=f"kafka://{BOOTSTRAP}",
    store="memory://",
    datadir=DIRECTORY,
    topic_partitions=PARTITIONS,
    web_enabled=False,
)
events = app.topic(TOPIC, key_type=str, value_serializer="json", partitions=PARTITIONS)
out = app.topic(f"{TOPIC}-out", key_type=str, value_serializer="json", partitions=PARTITIONS)
customers = app.Table("customers", partitions=PARTITIONS)
meter = Meter(EVENTS)


@app.agent(events)
async def churn(stream):  # type: ignore[no-untyped-def]
    async for key, event in stream.items():
        is_over = meter.count()
        state = customers.get(key) or new()
        told = step(state, key, event)
        customers[key] = state
        if told is not None:
            await out.send(key=key, value=told)
        if is_over:
            await app.producer.flush()
            meter.tell()
            os._exit(0)


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "error", "--without-web"]
    app.main()
