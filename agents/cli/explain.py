"""`keepstream explain`: the reasons for a decision, and whether its numbers add up."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import BootstrapServers, as_in_events, kafka_settings
from agents.cli.progress import progress
from config.settings import Settings
from models.events.foreign import Foreign

if TYPE_CHECKING:
    from streams.decision_ledger import Found, Question


def explain(
    decision_id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="The id of a trigger, an action or a withdrawal.",
            show_default=False,
        ),
    ] = None,
    customer: Annotated[
        str | None,
        typer.Option(
            "--customer",
            metavar="ID",
            help="The latest decisions for a customer.",
            callback=as_in_events,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="TRIGGERS",
            help="Read the triggers.jsonl of a replay instead of Kafka.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one line for each moment.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Say why something was decided and why the alternatives were not, and recompute every
    priority.

    Exit code 1: there is no such decision, or a priority differs by more than 1e-9 from what its
    factors give. 2: Kafka can't be reached, or FILE can't be read.
    """
    from models.decisions.audit import faults  # noqa: PLC0415 - not for --help
    from streams.decision_ledger import Question  # noqa: PLC0415 - as above

    if (decision_id is None) == (customer is None):
        both = ", not both" if customer else ""
        raise CommandError(
            f"give the id of a decision, or --customer and the id of a customer{both}"
        )
    wanted = Question(decision_id.strip().lower() if decision_id else None, customer)
    found = _in_file(file, wanted) if file is not None else _in_ledger(wanted, bootstrap_servers)
    if not found:
        complain(_not_found(wanted, file))
        raise typer.Exit(EXIT_FOUND)
    wrong: list[str] = []
    for place, moment in enumerate(found):
        own = list(faults(moment.action)) if moment.action is not None else []
        _tell(moment, own, as_json=as_json, is_first=not place)
        wrong += own
    for fault in wrong:
        complain(f"does not add up: {fault}")
    if wrong:
        raise typer.Exit(EXIT_FOUND)


def _not_found(wanted: "Question", file: Path | None) -> str:
    where = str(file) if file is not None else "the decision ledger, which is kept for 90 days"
    if wanted.customer is not None:
        return f"no decision for customer {wanted.customer!r} in {where}: ids are case-sensitive"
    return (
        f"no decision {wanted.decision!r} in {where}: an id is the `id` of a trigger or of a next "
        f"best action, 32 signs of 0-9 and a-f"
    )


def _tell(moment: "Found", wrong: list[str], *, as_json: bool, is_first: bool) -> None:
    from agents.words.decisions import moment_in_words  # noqa: PLC0415 - not for --help

    if as_json:
        typer.echo(json.dumps(_as_json(moment, wrong), ensure_ascii=False))
        return
    if not is_first:
        typer.echo("")
    for line in moment_in_words(*moment):
        typer.echo(line)


def _as_json(found: "Found", wrong: list[str]) -> dict[str, Any]:
    from models.decisions.audit import ranked, recomputed  # noqa: PLC0415 - not for --help

    action = found.action
    again = {o.action: recomputed(o.priority) for o in ranked(action)} if action else {}
    return {
        "triggers": msgspec.to_builtins(found.triggers),
        "decision": msgspec.to_builtins(action),
        "withdrawal": msgspec.to_builtins(found.withdrawal),
        "recomputed": again,
        "faults": wrong,
    }


def _in_file(file: Path, wanted: "Question") -> "list[Found]":
    from streams.decision_ledger import find_in_lines  # noqa: PLC0415 - not for --help

    try:
        with file.open("rb") as lines:
            return find_in_lines(lines, wanted)
    except Foreign as error:
        raise CommandError(
            f"{file} has a line that is no decision ({error}): give the triggers.jsonl that "
            f"`keepstream replay --out DIR` writes"
        ) from None


def _in_ledger(wanted: "Question", bootstrap_servers: str | None) -> "list[Found]":
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.decision_ledger import find_in_ledger  # noqa: PLC0415 - as above

    settings: Settings = kafka_settings("explain", bootstrap_servers=bootstrap_servers)
    with progress("explain", None) as tell:

        def on_progress(done: int, total: int) -> None:
            tell(done, f"{done:,} of {total:,} records", total)

        return asyncio.run(find_in_ledger(settings, wanted, on_progress))
