"""The least there is: a client and a dictionary. With ``changelog``, also its state on a topic."""

import signal
import sys

from confluent_kafka import Consumer, Producer

from tests.benchmarks.peers.job import State, advance, customer_of, decode, encode, new_state
from tests.benchmarks.peers.places import Places

BATCH = 1_000


def main(*, has_changelog: bool) -> None:
    places = Places.told()
    consumer = Consumer(
        {
            "bootstrap.servers": places.brokers,
            "group.id": places.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": places.brokers, "acks": "all"})
    is_asked_to_end = []
    signal.signal(signal.SIGTERM, lambda *_: is_asked_to_end.append(True))
    consumer.subscribe([places.source])
    states: dict[str, State] = {}
    while not is_asked_to_end:
        messages = consumer.consume(BATCH, timeout=0.1)
        touched: dict[str, State] = {}
        for message in messages:
            event = decode(message.value())
            customer = customer_of(event)
            state = states.get(customer)
            if state is None:
                state = states[customer] = new_state()
            touched[customer] = state
            if (trigger := advance(state, event)) is not None:
                producer.produce(places.sink, encode(trigger), key=customer)
        if has_changelog:
            for customer, state in touched.items():
                producer.produce(places.changelog, encode(state), key=customer)
        if messages:
            producer.flush()
            consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main(has_changelog="changelog" in sys.argv[1:])
