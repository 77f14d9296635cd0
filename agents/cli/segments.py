"""`keepstream segments`: list segments and members, and show what another file would change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import msgspec
import typer

from agents.cli.customer_list import Format, answer_of, decoded_list, print_list
from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import settings_from
from config.rules import RuleError

if TYPE_CHECKING:
    from config.parameters import Parameters
    from config.settings import Settings

app = typer.Typer(
    help="Segments: named conditions, and the customers who meet them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Any worker. Without it, the one at KEEPSTREAM_WEB_ADVERTISED_URL, or at "
        "KEEPSTREAM_WEB_HOST and KEEPSTREAM_WEB_PORT.",
    ),
]


@app.callback()
def _group() -> None:
    """Segments: named conditions, and the customers who meet them."""


@app.command("list", epilog="Example: keepstream segments list")
def list_segments(url: Url = None) -> None:
    """List the segments that the workers use, with how many customers are in each, and how many of
    them entered within a week.

    Exit code 2: no worker can be reached, or partitions did not answer.
    """
    from agents.web.operations import SegmentList  # noqa: PLC0415 - not for --help
    from models.events.foreign import UNREADABLE  # noqa: PLC0415

    settings = settings_from(web_advertised_url=url)
    content = answer_of(f"{settings.worker_url}/segments", {}, settings.web_headers)
    try:
        found = msgspec.json.decode(content, type=SegmentList)
    except UNREADABLE:
        raise CommandError(
            "the answer is no list of segments: give --url the address of a worker of this release"
        ) from None
    width = max((len(one.name) for one in found.segments), default=0)
    for one in found.segments:
        exact = "" if one.is_exact else f"  (up to {found.check_in_days:g} days late)"
        came = f"+{one.entered_week:,} in 7 days"
        typer.echo(f"{one.name:{width}}  {one.members:>9,}  {came:>17}  {one.when}{exact}")


@app.command("show", epilog="Example: keepstream segments show vip-slipping --by net_365d")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The segment.")],
    by: Annotated[
        str, typer.Option("--by", metavar="NUMBER", help="Order by this, highest first.")
    ] = "",
    facts: Annotated[str, typer.Option("--show", metavar="FACT[,…]", help="Facts to show.")] = "",
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many, at most 1000.")] = 50,
    cursor: Annotated[
        str, typer.Option("--cursor", metavar="NEXT", help="Continue an earlier list.")
    ] = "",
    form: Annotated[
        Format, typer.Option("--format", help="A table, CSV, or the worker's answer as JSON.")
    ] = Format.TABLE,
    url: Url = None,
) -> None:
    """List the members of a segment, as the workers know them now.

    Exit code 1: partitions did not answer. 2: no worker can be reached, or the query is invalid.
    """
    asked = {"by": by, "show": facts, "top": str(top), "cursor": cursor}
    settings = settings_from(web_advertised_url=url)
    address = f"{settings.worker_url}/segments/{quote(name, safe='')}"
    query = {key: value for key, value in asked.items() if value}
    content = answer_of(address, query, settings.web_headers)
    found = decoded_list(content)
    print_list(found, content, form)
    for one in found.unanswered:
        complain(f"partition {one.partition} is missing: {one.why}")
    if found.unanswered:
        raise typer.Exit(EXIT_FOUND)


@app.command("diff", epilog="Example: keepstream segments diff my-segments.yaml")
def diff(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new segments.")],
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the workers how many would move.")
    ] = False,
    url: Url = None,
) -> None:
    """Say what another file of segments would change, and how many customers would move.

    Exit code 1: something would change. 2: the file can't be used, or no worker can be reached.
    """
    from agents.words.segments import changes_in_words  # noqa: PLC0415 - not for --help
    from models.decisions.policy import compile_policy  # noqa: PLC0415
    from models.parameters import load_parameters  # noqa: PLC0415

    settings = settings_from(web_advertised_url=url)
    own = Path(settings.parameters) if settings.parameters else None
    before = load_parameters(own)
    after = load_parameters(own, [f"rules.segments={msgspec.json.encode(str(file)).decode()}"])
    try:
        for warning in compile_policy(after).warnings:
            if warning.startswith(str(file)):
                typer.secho(f"warning: {warning}", fg="yellow", err=True)
    except RuleError as error:
        raise CommandError(str(error)) from None
    lines = list(changes_in_words(before.segments, after.segments))
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo("nothing changes")
        return
    if not offline:
        for line in _moves(before, after, settings):
            typer.echo(line)
    raise typer.Exit(EXIT_FOUND)


def _moves(before: "Parameters", after: "Parameters", settings: "Settings") -> list[str]:
    """How many customers each change moves, as the workers know them now."""
    from models.decisions.segment_checks import unknown_segment  # noqa: PLC0415

    old = {rule.name: rule.when for rule in before.segments.segments}
    told = []
    for rule in after.segments.segments:
        was = old.get(rule.name)
        if was == rule.when:
            continue
        if unknown_segment(rule.when, before) is not None:
            told.append(f"{rule.name}: not counted, for it asks for a segment that is new itself")
            continue
        enters = rule.when if was is None else f"({rule.when}) and not ({was})"
        enter = _count(enters, before, settings)
        leave = 0 if was is None else _count(f"({was}) and not ({rule.when})", before, settings)
        told.append(f"{rule.name}: {enter:,} would enter, {leave:,} would leave")
    return told


def _count(condition: str, parameters: "Parameters", settings: "Settings") -> int:
    from models.customer.registry import FACTS  # noqa: PLC0415 - not for --help
    from models.decisions.policy import domains_of  # noqa: PLC0415
    from models.decisions.possible import outlook  # noqa: PLC0415

    if not outlook(condition, domains_of(FACTS, parameters)).is_possible:
        return 0
    query = {"where": condition, "top": "1"}
    content = answer_of(f"{settings.worker_url}/customers", query, settings.web_headers)
    found = decoded_list(content)
    if found.unanswered:
        one = found.unanswered[0]
        raise CommandError(f"partition {one.partition} is missing: {one.why}")
    return found.matched
