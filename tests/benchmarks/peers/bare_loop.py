"""The minimum: a client and a dictionary. With ``changelog``, its state is also on a topic."""

import sys
from typing import NoReturn

from confluent_kafka import Consumer, Producer

from tests.benchmarks.peers.job import State, advance, customer_of, decode, encode, new_state
from tests.benchmarks.peers.places import Places

BATCH = 1_000


def main(*, has_changelog: bool) -> NoReturn:
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
    consumer.subscribe([places.source])
    states: dict[str, State] = {}
    while True:
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


if __name__ == "__main__":
    main(has_changelog="changelog" in sys.argv[1:])
