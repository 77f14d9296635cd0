"""Plain Faust: an agent over a topic, a table with its changelog, and a topic of triggers."""

import sys

import faust

from tests.benchmarks.peers.job import advance, new_state
from tests.benchmarks.peers.places import COMMIT_S, Places

places = Places.told()
app = faust.App(
    places.group,
    broker=f"kafka://{places.brokers}",
    store="memory://",
    datadir=places.directory,
    topic_partitions=4,
    broker_commit_interval=COMMIT_S,
    producer_acks=-1,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
events = app.topic(places.source, key_type=str, key_serializer="raw", value_serializer="json")
sink = app.topic(places.sink, key_serializer="raw", value_serializer="json")
churn = app.Table("churn", default=new_state, partitions=4)


@app.agent(events)
async def score(stream: faust.Stream[dict[str, object]]) -> None:
    async for customer, event in stream.items():
        state = churn[customer]
        trigger = advance(state, event)
        churn[customer] = state
        if trigger is not None:
            await sink.send(key=customer, value=trigger)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel=warn"]
    app.main()
