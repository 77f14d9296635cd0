"""A site's operations as a table, from which both its routes and docs/openapi.json are made."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from msgspec import Struct

Schema = Mapping[str, Any]
#: A type that is written as JSON, the name of a document of `keepstream schema`, or a schema.
Shape = type[Struct] | str | Schema
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

TEXT: Schema = {"type": "string"}


class Parameter(NamedTuple):
    """A parameter of a request; ``place``: path, query or header."""

    name: str
    place: str
    about: str
    schema: Schema = TEXT
    is_required: bool = False


class Reply(NamedTuple):
    """The meaning of a status, the content of its answer, and headers that only this one has."""

    about: str
    content: Shape | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


class Operation(NamedTuple):
    """One method at one path. ``path`` is in OpenAPI's notation, ``pattern`` in the router's if
    that differs. ``body``: the required body. ``is_open``: whether it needs neither token nor write
    key.
    """

    name: str
    method: str
    path: str
    about: str
    answers: Mapping[int, Reply]
    parameters: tuple[Parameter, ...] = ()
    body: Shape | None = None
    is_open: bool = False
    pattern: str = ""


def add_operations(application: web.Application, *answered: tuple[Operation, Answering]) -> None:
    """Route each operation to its handler; GET operations also answer HEAD."""
    for operation, answering in answered:
        methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
        for method in methods:
            application.router.add_route(method, operation.pattern or operation.path, answering)


def add_with_slash(
    application: web.Application, operation: Operation, answering: Answering
) -> None:
    """Like `add_operations`, for an address that may end with a slash."""
    add_operations(
        application,
        (operation, answering),
        (operation._replace(path=f"{operation.path}/"), answering),
    )
