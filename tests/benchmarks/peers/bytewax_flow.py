"""Bytewax: a dataflow whose state is kept in its recovery store, SQLite: it has no changelog."""

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow

from tests.benchmarks.peers.job import (
    Event,
    State,
    Trigger,
    advance,
    customer_of,
    decode,
    encode,
    new_state,
)
from tests.benchmarks.peers.places import Places


def keyed(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, Event]:
    event = decode(message.value)
    return customer_of(event), event


def scored(state: State | None, event: Event) -> tuple[State, Trigger | None]:
    state = new_state() if state is None else state
    return state, advance(state, event)


def written(found: tuple[str, Trigger | None]) -> KafkaSinkMessage[bytes, bytes] | None:
    customer, trigger = found
    return None if trigger is None else KafkaSinkMessage(customer.encode(), encode(trigger))


places = Places.told()
flow = Dataflow("churn")
messages = op.input("events", flow, KafkaSource([places.brokers], [places.source]))
events = op.map("decode", messages, keyed)
triggers = op.stateful_map("score", events, scored)
out = op.filter_map("rises", triggers, written)
op.output("triggers", out, KafkaSink([places.brokers], places.sink, add_config={"acks": "all"}))
