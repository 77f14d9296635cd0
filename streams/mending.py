"""Edits an event by hand: how it is shown, and how it goes to a raw topic."""

import asyncio
from typing import NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from config.parameters import Parameters
from config.settings import Settings
from models.catalogue import topic_of
from models.events.foreign import UNREADABLE
from models.events.wire import decode_line
from streams.dead_letters import REQUEST_BYTES_MAX, SETTLE_S, Parcel, with_message_id
from streams.kafka_clients import BrokerUnreachable, new_producer, running
from streams.line_check import LineCheck


def readable(content: bytes) -> str:
    """JSON on several lines; anything else unchanged, with escapes for bytes that are no text."""
    try:
        return msgspec.json.format(content, indent=2).decode()
    except UNREADABLE:
        return content.decode("utf-8", "backslashreplace")


def on_one_line(content: bytes) -> bytes:
    """JSON on one line; anything else unchanged, to be refused later."""
    try:
        return msgspec.json.format(content, indent=-1)
    except UNREADABLE:
        return content.strip()


class Draft(NamedTuple):
    """An event written by hand. ``topic``: where it goes; "" for its usual topic. ``message_id``:
    the id to give it if it has none, so that it counts once however often it is sent.
    """

    content: bytes
    topic: str
    message_id: str


def parcel_of_draft(draft: Draft, parameters: Parameters, now_ms: int) -> Parcel:
    """The record that publishes the draft. Raises ``Rejected`` for what workers would refuse."""
    raw = on_one_line(draft.content)
    line = decode_line(raw)
    topic = draft.topic or topic_of(line.type, line.event)
    event = LineCheck(parameters, now_ms, message_id=draft.message_id)(raw, topic)
    if event.message_id == draft.message_id:
        raw = with_message_id(raw, draft.message_id)
    return Parcel(topic, event.customer.encode(), raw)


async def publish(settings: Settings, parcel: Parcel) -> None:
    """Put one record on its raw topic; returns when it is acknowledged. Raises
    `BrokerUnreachable`.
    """
    producer = new_producer(settings, max_request_size=REQUEST_BYTES_MAX)
    try:
        async with running(producer, settings), asyncio.timeout(SETTLE_S):
            await producer.send_and_wait(settings.topic(parcel.topic), parcel.value, key=parcel.key)
    except (KafkaError, TimeoutError) as error:
        raise BrokerUnreachable(
            f"{settings.bootstrap_servers} did not acknowledge the event "
            f"({type(error).__name__}): whether it is there is not known. Sent again with the "
            f"same messageId it counts once"
        ) from None
