"""All HTTP interfaces as OpenAPI 3.1: those that the programs serve, and requests to endpoints."""

from collections.abc import Iterable, Mapping
from typing import Any

from agents.collector.operations import OF_THE_COLLECTOR
from agents.documents.components import Components
from agents.web.operation import Operation, Reply, Shape
from agents.web.operations import OF_A_WORKER, OF_EVERY_PROCESS
from config import VERSION
from config.settings import Settings
from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger
from models.events.erasure_record import ErasureNotice
from streams.webhooks.messages import BODY_BYTES_MAX, LEFT_OUT_FIRST

Node = dict[str, Any]

_ABOUT = """Made by `make documents` of the tables by which requests are routed: do not edit it.

`process` is the web port of every process (worker, collector, deliverer), `worker` has further
operations of a worker's web port, and `collector` receives events. Every address of the collector
may end with a slash, and answers `OPTIONS` for pages of any origin."""
_TAGS = {
    "process": "Health and metrics of a worker, a collector or a deliverer.",
    "worker": "Customers, from any worker.",
    "collector": "Events in Segment's format.",
}
_SECURITY: Node = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "KEEPSTREAM_WEB_TOKEN, if it is set.",
    },
    "writeKeyAsUser": {
        "type": "http",
        "scheme": "basic",
        "description": "The write key is the user; there is no password.",
    },
    "writeKeyHeader": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    "writeKeyQuery": {"type": "apiKey", "in": "query", "name": "writeKey"},
}
#: The credentials that a protected operation needs, by tag. A write key may also be in the body.
_ASKED: Mapping[str, list[Node]] = {
    "process": [{"token": []}, {}],
    "worker": [{"token": []}, {}],
    "collector": [{"writeKeyAsUser": []}, {"writeKeyHeader": []}, {"writeKeyQuery": []}],
}


def openapi() -> Node:
    """The whole document."""
    components = Components()
    defaults = Settings()
    at_worker = {"url": f"http://{defaults.web_host}:{defaults.web_port}"}
    at_collector = {"url": f"http://{defaults.collector_host}:{defaults.collector_port}"}
    paths: dict[str, Node] = {}
    for tag, operations, servers in (
        ("process", OF_EVERY_PROCESS, [at_worker]),
        ("worker", OF_A_WORKER, [at_worker]),
        ("collector", OF_THE_COLLECTOR, [at_collector]),
    ):
        for operation in operations:
            _add(paths, operation, tag, servers, components)
    webhooks = {
        kind.__name__: {"post": _webhook(kind, about, components)}
        for kind, about in (
            (Trigger, "A trigger fired for a customer."),
            (NextBestAction, "The next best action for a customer."),
            (ActionWithdrawn, "An earlier action must not be carried out any more."),
            (ErasureNotice, "A customer was erased, for endpoints with `erased`."),
        )
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keepstream", "version": VERSION, "description": _ABOUT},
        "servers": [at_worker],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": paths,
        "webhooks": webhooks,
        "components": {"schemas": components.schemas(), "securitySchemes": _SECURITY},
    }


def _add(
    paths: dict[str, Node],
    operation: Operation,
    tag: str,
    servers: list[Node],
    components: Components,
) -> None:
    item = paths.setdefault(operation.path, {"servers": []})
    item["servers"] += [server for server in servers if server not in item["servers"]]
    method = operation.method.lower()
    if method in item:
        # Two processes give the same answer.
        item[method]["tags"].append(tag)
    else:
        item[method] = _operation(operation, tag, components)


def _operation(operation: Operation, tag: str, components: Components) -> Node:
    parameters = [
        {
            "name": parameter.name,
            "in": parameter.place,
            "description": parameter.about,
            "required": parameter.is_required,
            "schema": dict(parameter.schema),
        }
        for parameter in operation.parameters
    ]
    body = {
        "required": True,
        "content": {"application/json": {"schema": _shape(operation.body, components)}},
    }
    return {
        "operationId": operation.name,
        "tags": [tag],
        "summary": operation.about,
        "security": [] if operation.is_open else _ASKED[tag],
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": body} if operation.body is not None else {}),
        "responses": {
            str(status): _answer(answer, components) for status, answer in operation.answers.items()
        },
    }


def _answer(answer: Reply, components: Components) -> Node:
    headers = {
        name: {"description": about, "required": True, "schema": {"type": "string"}}
        for name, about in answer.headers.items()
    }
    content = {answer.content_type: {"schema": _shape(answer.content, components)}}
    return {
        "description": answer.about,
        **({"headers": headers} if headers else {}),
        **({"content": content} if answer.content is not None else {}),
    }


def _shape(shape: Shape | None, components: Components) -> Node:
    if shape is None:
        return {}
    if isinstance(shape, str):
        return components.of_document(shape)
    if isinstance(shape, type):
        return components.of_type(shape)
    return dict(shape)


def _webhook(kind: type, about: str, components: Components) -> Node:
    data = components.of_type(kind)
    left_out = {
        "type": "object",
        "properties": {
            "leftOut": {
                "type": "array",
                "items": {"type": "string", "enum": list(LEFT_OUT_FIRST)},
                "description": f"What a body of {BODY_BYTES_MAX:,} bytes had no room for.",
            }
        },
    }
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "description": "That of the decision's CloudEvent."},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"anyOf": [data, left_out]},
        },
    }
    return {
        "operationId": f"post-{kind.__name__}",
        "summary": about,
        "parameters": list(_signed()),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "2XX": {"description": "Taken."},
            "408": {"description": "Tried again."},
            "410": {"description": "Nothing more is sent until the endpoint's entry changes."},
            "425": {"description": "Tried again."},
            "429": {"description": "Tried again, after Retry-After."},
            "4XX": {"description": "Set aside."},
            "5XX": {"description": "Tried again, after Retry-After."},
        },
    }


def _signed() -> Iterable[Node]:
    for name, about in (
        ("webhook-id", "The same on every try: drop ids that were seen."),
        ("webhook-timestamp", "When this try was signed, in seconds since 1970."),
        ("webhook-signature", "Of Standard Webhooks, one for each secret."),
    ):
        yield {
            "name": name,
            "in": "header",
            "description": about,
            "required": True,
            "schema": {"type": "string"},
        }
