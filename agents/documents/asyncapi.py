"""All topics as AsyncAPI 3.0: who reads and writes them, keys, headers and schemas."""

from collections.abc import Mapping
from typing import Any, Final

from agents.documents.components import Components
from agents.documents.records import RecordKind, records
from config import VERSION, topics
from config.settings import Settings

Node = dict[str, Any]

_ABOUT = """Made by `make documents` of the types that are written: do not edit it.

Names of topics are without KEEPSTREAM_TOPIC_PREFIX. `receive` is what Keepstream reads of others,
and `send` what others may read; what is neither it keeps for itself. Each of the topics that it
receives takes any event: they are told where they usually are."""
_BYTES: Final[Node] = {"type": ["string", "null"], "format": "binary"}
#: The topic settings that AsyncAPI's Kafka binding has fields for, with their types.
_CONFIG: Final[Mapping[str, type]] = {
    "cleanup.policy": list,
    "retention.ms": int,
    "retention.bytes": int,
    "delete.retention.ms": int,
    "max.message.bytes": int,
}
#: The topics that other programs may write or read.
_ACTIONS: Final = {
    **dict.fromkeys(topics.RAW_TOPICS, "receive"),
    **dict.fromkeys(
        (
            topics.RETENTION_TRIGGERS,
            topics.NEXT_BEST_ACTIONS,
            topics.DECISION_LEDGER,
            topics.DEAD_LETTERS,
            topics.UNDELIVERED,
        ),
        "send",
    ),
}


def asyncapi() -> Node:
    """The whole document."""
    components = Components()
    defaults = Settings()
    declared = topics.topics(defaults.partitions, defaults.replication_factor, has_archive=True)
    kinds = records()
    messages: dict[str, Node] = {}
    channels = {}
    for topic in declared:
        named = {f"{topic.name}.{_slug(one.name)}": one for one in kinds[topic.name]}
        messages |= {name: _message(one, components) for name, one in named.items()}
        channels[topic.name] = _channel(topic, list(named))
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Keepstream", "version": VERSION, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": defaults.bootstrap_servers,
                "protocol": "kafka",
                "description": "KEEPSTREAM_BOOTSTRAP_SERVERS.",
            }
        },
        "channels": channels,
        "operations": {
            f"{action}-{name}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": _purpose(declared, name),
            }
            for name, action in _ACTIONS.items()
        },
        "components": {"messages": messages, "schemas": _draft_7(components.schemas())},
    }


def _purpose(declared: tuple[topics.Topic, ...], name: str) -> str:
    return next(topic.purpose for topic in declared if topic.name == name)


def _channel(topic: topics.Topic, messages: list[str]) -> Node:
    binding: Node = {
        "topic": topic.name,
        "partitions": topic.partitions,
        "replicas": topic.replication,
        "topicConfiguration": {
            name: value.split(",") if kind is list else int(value)
            for name, kind in _CONFIG.items()
            if (value := topic.config.get(name)) is not None
        },
        "bindingVersion": "0.5.0",
    }
    return {
        "address": topic.name,
        "description": topic.purpose,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": binding},
    }


def _message(kind: RecordKind, components: Components) -> Node:
    content = kind.content
    if content is None:
        payload: Node = {**_BYTES, "description": kind.about}
    elif isinstance(content, str):
        payload = components.of_document(content)
    else:
        payload = components.of_type(content)
    if kind.may_be_null:
        payload = {"anyOf": [payload, {"type": "null"}]}
    key = {"type": "string", "description": kind.key}
    return {
        "name": kind.name,
        **({"headers": kind.headers} if kind.headers is not None else {}),
        **({"contentType": "application/octet-stream"} if content is None else {}),
        "payload": payload,
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }


def _draft_7(part: Any) -> Any:
    """The schemas in AsyncAPI's dialect, JSON Schema draft 7, which writes tuples differently."""
    if isinstance(part, list):
        return [_draft_7(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    found = {name: _draft_7(inner) for name, inner in part.items()}
    if isinstance(found.get("prefixItems"), list):
        found["additionalItems"] = found.pop("items", True)
        found["items"] = found.pop("prefixItems")
    return found


def _slug(name: str) -> str:
    return "-".join(name.lower().split())
