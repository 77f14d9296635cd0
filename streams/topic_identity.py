"""Tells topics apart by the id that the broker gave each when it was created.

A topic that was deleted and created again, or another cluster's copy, has the same name, and its
offsets mean other records. Only its id shows that. aiokafka does not ask for it, so the request is
written out here, as in https://kafka.apache.org/protocol#The_Messages_Metadata.
"""

import asyncio
import base64
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

# The client has no types, so its classes count as untyped here.

TRIES = 20
RETRY_S = 0.25
#: How many characters of a topic's id stand in each event: 48 random bits.
GENERATION_LENGTH = 8
_METADATA = 3
_NO_ID = bytes(16)


def generation_of(topic_id: str) -> str | None:
    """What tells a topic's records from those of another topic with the same name; None for an
    unknown id.
    """
    return topic_id[:GENERATION_LENGTH] or None


async def topic_ids(client: AIOKafkaConsumer, names: Iterable[str]) -> dict[str, str]:
    """The ids of those of ``names`` that exist, as `kafka-topics --describe` prints them.

    Empty for a broker that knows no ids (before Kafka 3.1). Raises `KafkaError` when no broker
    answers.
    """
    asked, request = client._client, _MetadataRequest(list(names))
    for tries_left in reversed(range(TRIES)):
        try:
            answer = await asked.send(asked.get_random_node(), request)
            break
        except NotImplementedError:
            return {}
        except KafkaError:
            # Perhaps only one of several brokers is away.
            if not tries_left:
                raise
            await asyncio.sleep(RETRY_S)
    return {
        name: base64.urlsafe_b64encode(topic_id).rstrip(b"=").decode()
        for error, name, topic_id, *_ in answer.topics
        if not error and topic_id != _NO_ID
    }


class TopicReplaced(RuntimeError):
    """A topic was deleted and created again while a worker used it; the message says what to do."""


class TopicWatch:
    """Notices that a topic in use was replaced. The client itself would continue in the new topic
    at an offset of the old one.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def look(self, present: Mapping[str, str], read: Mapping[str, str]) -> None:
        """Compare the ``present`` ids of topics with those of the last look. ``read``: the ids for
        which positions were found, which are right after a rebalance. Raises `TopicReplaced`.
        """
        self._known.update(read)
        for name, topic_id in present.items():
            known = self._known.setdefault(name, topic_id)
            if known != topic_id:
                raise TopicReplaced(
                    f"{name} was deleted and created again (its id was {known}, and is {topic_id}) "
                    f"while this worker used it. Start the worker again: it reads what is new from "
                    f"its beginning, and says what to do if state belongs to what is gone"
                )


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest12(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = 12
    RESPONSE_TYPE: ClassVar[type[Response]] = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequest12]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequest12]) -> Any:
        topics: list[tuple[bytes, str, dict[int, bytes]]] = [
            (_NO_ID, name, {}) for name in self._names
        ]
        return request_struct_class(topics, False, False, {})
