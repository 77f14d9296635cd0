"""Quix Streams: a streaming dataframe with state; it keeps the changelog itself."""

from typing import Any

from quixstreams import Application
from quixstreams import State as QuixState

from tests.benchmarks.peers.job import Event, Trigger, advance, new_state
from tests.benchmarks.peers.places import COMMIT_S, Places


def scored(event: Event, state: QuixState) -> Trigger | None:
    churn: dict[str, Any] = state.get("churn") or new_state()
    trigger = advance(churn, event)
    state.set("churn", churn)
    return trigger


def main() -> None:
    places = Places.told()
    app = Application(
        broker_address=places.brokers,
        consumer_group=places.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_S,
        producer_extra_config={"acks": "all"},
        state_dir=places.directory,
    )
    events = app.dataframe(app.topic(places.source, value_deserializer="json"))
    triggers = events.apply(scored, stateful=True)
    triggers = triggers[triggers.apply(lambda trigger: trigger is not None)]
    triggers.to_topic(app.topic(places.sink, value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main()
