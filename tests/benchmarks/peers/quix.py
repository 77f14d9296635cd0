"""The job in the idiom of Quix Streams: a stateful function over a data frame, with its changelog.

Runs where Quix Streams is installed, which is no environment of Keepstream's.
"""

import sys
from typing import Any

from quixstreams import Application

from tests.benchmarks.peers.job import Event, Meter, new, step


def run(bootstrap: str, topic: str, events: int, directory: str) -> None:
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{topic}-quix",
        auto_offset_reset="earliest",
        state_dir=directory,
        loglevel="ERROR",
    )
    meter = Meter(events)

    def churn(event: Event, key: Any, _at: int, _headers: Any, state: Any) -> Event | None:
        meter.count()
        known = state.get("customer") or new()
        told = step(known, str(key), event)
        state.set("customer", known)
        return told

    frame = app.dataframe(app.topic(topic, key_deserializer="str"))
    frame = frame.apply(churn, stateful=True, metadata=True).filter(lambda told: told is not None)
    frame.to_topic(app.topic(f"{topic}-out", key_serializer="str"))
    app.run(count=events)
    meter.tell()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
