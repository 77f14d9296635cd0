"""`keepstream customers list`: the customers who meet a condition, over all partitions."""

import csv
import sys
from collections.abc import Sequence
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import settings_from
from config.settings import variable_of

if TYPE_CHECKING:
    from models.customer_counts import Counted
    from models.customer_list import CustomerList

#: A worker aborts a list after 30 s.
TIMEOUT_S = 35.0
_INCOMPLETE, _UNAUTHORIZED = 503, 401


class Format(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def list_customers(  # noqa: PLR0913, PLR0917 - an argument for each option
    where: Annotated[
        str,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only customers who meet this condition, in the language of the rules; "
            "`keepstream facts` lists the names it may use.",
        ),
    ] = "",
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="NUMBER",
            help="Order by this, highest first: a fact or an expression of facts; -FACT for lowest "
            "first. Without it, order by id.",
        ),
    ] = "",
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many, at most 1000.")] = 50,
    show: Annotated[
        str,
        typer.Option("--show", metavar="FACT[,…]", help="More facts to show."),
    ] = "",
    cursor: Annotated[
        str,
        typer.Option(
            "--cursor", metavar="NEXT", help="Continue an earlier list, with its `next` value."
        ),
    ] = "",
    as_of: Annotated[
        str,
        typer.Option(
            "--as-of",
            metavar="MOMENT",
            help="As of this moment, such as 2026-03-01T10:00:00Z, if nothing more happens until "
            "then. Without it, as of each partition's clock.",
        ),
    ] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept a list in which partitions are missing.")
    ] = False,
    count: Annotated[
        str,
        typer.Option(
            "--count",
            metavar="FACT[,…]",
            help="Count the matches by facts with few values, such as segment; by two together "
            "with * between them. With --by, also show the total of that number.",
        ),
    ] = "",
    form: Annotated[
        Format, typer.Option("--format", help="A table, CSV, or the worker's answer as JSON.")
    ] = Format.TABLE,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Any worker. Without it, the one at KEEPSTREAM_WEB_ADVERTISED_URL, or at "
            "KEEPSTREAM_WEB_HOST and KEEPSTREAM_WEB_PORT.",
        ),
    ] = None,
) -> None:
    """List customers, as the workers know them now.

    Exit code 1: some partitions did not answer and are named; the customers of the others are
    listed. 2: no worker can be reached, or the query is invalid.
    """
    asked = {"where": where, "by": by, "top": str(top), "show": show}
    asked |= {"cursor": cursor, "as_of": as_of, "count": count}
    query = {name: value for name, value in asked.items() if value}
    if partial:
        query["partial"] = "true"
    settings = settings_from(web_advertised_url=url)
    content = answer_of(f"{settings.worker_url}/customers", query, settings.web_headers)
    found = decoded_list(content)
    print_list(found, content, form)
    for one in found.unanswered:
        complain(f"partition {one.partition} is missing: {one.why}")
    if found.unanswered and not partial:
        raise typer.Exit(EXIT_FOUND)


def answer_of(address: str, query: dict[str, str], shown: dict[str, str]) -> bytes:
    """The worker's answer. Raises `CommandError` with the worker's message when it gives none."""
    from urllib.error import HTTPError  # noqa: PLC0415 - not for --help
    from urllib.parse import urlencode  # noqa: PLC0415
    from urllib.request import Request, urlopen  # noqa: PLC0415

    # Settings allow only http and https addresses.
    request = Request(f"{address}?{urlencode(query)}", headers=shown)  # noqa: S310
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content
    except HTTPError as error:
        with error:
            content = error.read()
        if error.code == _INCOMPLETE:
            return content
        if error.code == _UNAUTHORIZED:
            variable = variable_of("web_token")
            raise CommandError(
                f"{address} wants another token: set {variable} or {variable}_FILE to the workers'"
            ) from None
        raise CommandError(_said(content) or f"{address} answered with {error.code}") from None
    except OSError as error:
        why = getattr(error, "reason", error)
        raise CommandError(
            f"no answer from a worker at {address} ({why}): start one, or give --url the address "
            f"of one, as its log says it"
        ) from None


def _said(content: bytes) -> str:
    """The worker's message about a bad query; "" if the answer is not from a worker."""
    try:
        said = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        return ""
    return str(said.get("message", ""))


def decoded_list(content: bytes) -> "CustomerList":
    """The worker's answer as a list. Raises `CommandError` if it is not a list."""
    from models.customer_list import ANSWER  # noqa: PLC0415 - not for --help
    from models.events.foreign import UNREADABLE  # noqa: PLC0415

    try:
        return ANSWER.decode(content)
    except UNREADABLE:
        raise CommandError(
            "the answer is no list of customers: give --url the address of a worker of this release"
        ) from None


def print_list(found: "CustomerList", content: bytes, form: Format) -> None:
    """Print a list; ``content`` is the worker's answer that it was decoded from."""
    if form is Format.JSON:
        typer.echo(content)
    elif form is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["userId", "by", *_facts(found)])
        writer.writerows(_cells(found))
        # To stderr: the output is the list alone.
        if found.next:
            typer.echo(f"more: --cursor {found.next}", err=True)
    else:
        _print_table(found)


def _facts(found: "CustomerList") -> list[str]:
    return list(found.customers[0].facts) if found.customers else []


def _cells(found: "CustomerList") -> list[list[str]]:
    return [
        [one.user_id, _text(one.by), *map(_text, one.facts.values())] for one in found.customers
    ]


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.10g}"


def _rounded(value: float | str | None) -> str:
    """As a table shows it: cents of amounts, and four digits of shares."""
    if value is None or isinstance(value, str):
        return _text(value)
    return _text(round(value, 2 if abs(value) >= 1 else 4))


def _print_table(found: "CustomerList") -> None:
    from rich.console import Console  # noqa: PLC0415 - only where something is drawn
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    table.add_column("customer", style="bold", overflow="fold")
    names = _facts(found)
    has_number = any(one.by is not None for one in found.customers)
    for name in (*(["by"] if has_number else []), *names):
        table.add_column(name, justify="right")
    for one in found.customers:
        cells = [*([one.by] if has_number else []), *one.facts.values()]
        table.add_row(Text(one.user_id), *(Text(_rounded(cell)) for cell in cells))
    console = Console(highlight=False)
    for way, counted in groupby(found.counts, key=lambda one: one.by):
        console.print(_counts_table(way, list(counted)))
    # With --count alone, a list of bare ids would only be noise.
    is_listed = found.customers and (has_number or names or not found.counts)
    if is_listed:
        console.print(table)
    customers = sum(one.customers for one in found.partitions)
    console.print(f"{found.matched:,} of {customers:,} customers match{_as_of(found)}")
    if is_listed and found.next:
        console.print(f"more: --cursor {found.next}", soft_wrap=True)


def _counts_table(way: tuple[str, ...], counted: "Sequence[Counted]") -> Any:
    from rich.table import Table  # noqa: PLC0415 - only where something is drawn
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for name in way:
        table.add_column(name, style="bold")
    table.add_column("customers", justify="right")
    has_total = any(one.total for one in counted)
    if has_total:
        table.add_column("total", justify="right")
    for one in counted:
        cells = [*(_text(value) or "not known" for value in one.values), f"{one.customers:,}"]
        cells += [f"{one.total:,.2f}"] if has_total else []
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _as_of(found: "CustomerList") -> str:
    # Partitions without customers are left out: their clocks may not have started.
    moments = sorted(one.as_of for one in found.partitions if one.customers)
    if not moments:
        return ""
    first, last = moments[0], moments[-1]
    if first == last:
        return f", as of {first}"
    return f", as of {first} to {last}: each partition has its own clock"
