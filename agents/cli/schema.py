"""`keepstream schema`: JSON Schemas of events and outputs; OpenAPI and AsyncAPI documents."""

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import CommandError

if TYPE_CHECKING:
    from models.schemas import Document

#: The kind of document that contains all the others.
_WHOLE = "document"


def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="An event such as 'Order Completed', an output such as retention-trigger, openapi "
            "or asyncapi.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Write every schema to its own file.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where --all writes them.", file_okay=False),
    ] = None,
) -> None:
    """Print the JSON Schema of NAME; without NAME, list the schemas.

    There are schemas of events as they are published, of the control lines in a log, and of all
    outputs; the HTTP interfaces as OpenAPI 3.1; and all topics as AsyncAPI 3.0.
    """
    if every != (out is not None) or (every and name is not None):
        raise CommandError("write every schema with --all --out DIR, or print the one of NAME")
    if out is not None:
        _write_all(out)
    elif name is None:
        _list()
    else:
        typer.echo(_text(_found(name)), nl=False)


def _list() -> None:
    from rich.console import Console  # noqa: PLC0415 - only where a table is drawn
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    found = _documents()
    # A truncated name can't be copied.
    table.add_column("name", min_width=max(len(document.name) for document in found))
    table.add_column("kind")
    table.add_column("about")
    for document in found:
        table.add_row(Text(document.name), Text(document.kind), Text(document.about))
    Console().print(table)


def _found(name: str) -> "Document":
    from models.schemas import slug  # noqa: PLC0415 - as above

    by_slug = {slug(document.name): document for document in _documents()}
    document = by_slug.get(slug(name))
    if document is None:
        close = difflib.get_close_matches(slug(name), by_slug, n=1, cutoff=0.7)
        fix = f"did you mean {by_slug[close[0]].name!r}?" if close else "`keepstream schema` lists"
        raise CommandError(f"there is no schema {name!r}; {fix}{'' if close else ' all'}")
    return document


def _write_all(directory: Path) -> None:
    from models.schemas import documents, slug  # noqa: PLC0415 - as above

    directory.mkdir(parents=True, exist_ok=True)
    found = documents()
    for document in found:
        (directory / f"{slug(document.name)}.json").write_text(_text(document), "utf-8")
    typer.echo(f"{len(found)} schemas written to {directory}")


def _documents() -> "list[Document]":
    from models.schemas import Document, documents  # noqa: PLC0415 - not for --help

    return [
        *documents(),
        Document("openapi", _WHOLE, "all there is over HTTP, as OpenAPI 3.1", dict),
        Document("asyncapi", _WHOLE, "all topics, as AsyncAPI 3.0", dict),
    ]


def _text(document: "Document") -> str:
    if document.kind == _WHOLE:
        from agents.documents import document_text  # noqa: PLC0415 - they import the programs' modules

        return document_text(document.name)
    from models.schemas import document_schema  # noqa: PLC0415 - as above

    return json.dumps(document_schema(document), indent=2, ensure_ascii=False) + "\n"
