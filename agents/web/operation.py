"""What a site answers, as a table: its routes are made of it, and so is docs/openapi.json."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from msgspec import Struct

Schema = Mapping[str, Any]
#: A type that is written as JSON, a document of `keepstream schema` by its name, or a schema.
Shape = type[Struct] | str | Schema
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

TEXT: Schema = {"type": "string"}


class Parameter(NamedTuple):
    """What a request may have in its ``place``: path, query or header."""

    name: str
    place: str
    about: str
    schema: Schema = TEXT
    is_required: bool = False


class Reply(NamedTuple):
    """What an answer with a status means, its content, and headers that only it has."""

    about: str
    content: Shape | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


class Operation(NamedTuple):
    """One method at one path. ``path`` is as OpenAPI writes it, ``pattern`` as the router has it
    where that differs. ``body``: what has to be sent. ``is_open``: whether it wants neither token
    nor write key.
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
    """Route each operation to what answers it; what is there to be read may be asked by HEAD."""
    for operation, answering in answered:
        methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
        for method in methods:
            application.router.add_route(method, operation.pattern or operation.path, answering)


def add_with_slash(
    application: web.Application, operation: Operation, answering: Answering
) -> None:
    """As `add_operations`, of an address that may have a slash at its end."""
    add_operations(
        application,
        (operation, answering),
        (operation._replace(path=f"{operation.path}/"), answering),
    )
