"""`keepstream audit`: whether a deployment's state and outputs follow from its log."""

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from agents.cli.errors import EXIT_FOUND, complain
from agents.cli.options import Assignments, BootstrapServers, kafka_settings, parameters_from
from agents.cli.progress import progress

if TYPE_CHECKING:
    from config.parameters import Parameters
    from config.settings import Settings
    from streams.auditing.report import Audit


def audit(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    assignments: Assignments = None,
) -> None:
    """Fold the log again and compare: raw topics, log, customers' rows, decisions, lessons, the
    model snapshots, and Redis.

    It reads everything and changes nothing; workers may keep running. Data that is too large for
    memory goes to a temporary directory (TMPDIR). Pass the parameters that the workers use.

    Exit code 0: nothing differs. 1: something differs, or records that must be kept forever are
    missing. 2: it can't run.
    """
    settings = kafka_settings("audit", bootstrap_servers=bootstrap_servers)
    parameters = parameters_from(settings, assignments)
    with TemporaryDirectory(prefix="keepstream-audit-") as directory:
        outcome = _audited(settings, parameters, directory)
    if as_json:
        answer = {"isExact": outcome.is_exact, **msgspec.to_builtins(outcome)}
        typer.echo(msgspec.json.encode(answer).decode())
    else:
        _print(outcome)
    if not outcome.is_exact:
        raise typer.Exit(EXIT_FOUND)


def _audited(settings: "Settings", parameters: "Parameters", directory: str) -> "Audit":
    import asyncio  # noqa: PLC0415 - too slow to import for --help
    from pathlib import Path  # noqa: PLC0415

    from streams.auditing.audit import audit as run_audit  # noqa: PLC0415 - Kafka, when needed

    with progress("audit", None) as tell:

        def on_progress(done: int, total: int, topic: str) -> None:
            tell(done, f"{done:,} of {total:,} records, {topic}", total)

        return asyncio.run(run_audit(settings, parameters, Path(directory), on_progress))


def _print(outcome: "Audit") -> None:
    checked = ", ".join(f"{count:,} {what}" for what, count in in_words(outcome.checked).items())
    typer.echo(f"compared: {checked}")
    for difference in outcome.differences:
        complain(f"{difference.check}: {difference.words} ({difference.count:,})")
        for example in difference.examples:
            typer.echo(f"    {example}")
        if difference.count > len(difference.examples):
            typer.echo("    …")
    for words in outcome.broken:
        complain(f"can't be compared: {words}")
    for words in outcome.unchecked:
        typer.echo(f"not compared: {words}")
    for found in outcome.incomplete:
        typer.echo(str(found))
    typer.echo("nothing differs" if outcome.is_exact else _ADVICE)


_ADVICE = (
    "the deployment differs from its log. Rules, parameters or a release that changed since the "
    "log began explain differences by themselves; see docs/operating.md"
)
_WORDS = {
    "rawRecords": "raw records",
    "logRecords": "records of the log",
    "customers": "customers",
    "retention-triggers": "triggers",
    "next-best-actions": "actions",
    "labelled-examples": "lessons",
    "snapshots": "snapshots",
    "profiles": "profiles in Redis",
    "delivered": "decisions in Redis",
}


def in_words(checked: dict[str, int]) -> dict[str, int]:
    """The number of things compared, with labels for people, in the order of the flow."""
    return {words: checked.get(name, 0) for name, words in _WORDS.items()}
