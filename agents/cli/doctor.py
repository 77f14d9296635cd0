"""`keepstream doctor`: whether a deployment is alive, current and correct, in words."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agents.cli.errors import EXIT_FAILED, EXIT_FOUND
from agents.cli.options import (
    Assignments,
    BootstrapServers,
    RedisUrl,
    parameters_from,
    settings_from,
)
from agents.cli.progress import progress

if TYPE_CHECKING:
    from streams.findings import Finding
    from streams.vitals import DeploymentFacts

_STEPS = 4


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print findings and facts as one JSON object.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    redis_url: RedisUrl = None,
    deliverer: Annotated[
        str | None,
        typer.Option(
            "--deliverer",
            metavar="URL",
            help="The URL of a deliverer's web port, to ask it which endpoints fail.",
        ),
    ] = None,
    assignments: Assignments = None,
) -> None:
    """Check the broker, topics, workers, deliveries, endpoints, models, Redis, clocks and dead
    letters.

    Exit code 0: all is well; there may be notices. 1: there are problems, each with its fix. 2: no
    problem was seen, but something could not be checked: the broker, Redis, or everything, for
    example because a setting does not exist.
    """
    settings = settings_from(bootstrap_servers=bootstrap_servers, redis_url=redis_url)
    parameters = parameters_from(settings, assignments)
    from streams.diagnosis import diagnose  # noqa: PLC0415 - Kafka, when it is needed
    from streams.examination import examine  # noqa: PLC0415
    from streams.findings import Severity  # noqa: PLC0415
    from streams.kafka_clients import BrokerUnreachable  # noqa: PLC0415
    from streams.rights import require_rights  # noqa: PLC0415

    # An unreachable broker becomes a finding.
    with suppress(BrokerUnreachable):
        require_rights(settings, "doctor")
    with progress("doctor", _STEPS) as tell:
        done = 0

        def on_step(step: str) -> None:
            nonlocal done
            tell(done, step)
            done += 1

        facts = examine(settings, on_step, deliverer=deliverer)
    findings = diagnose(facts, parameters)
    levels = {finding.level for finding in findings}
    is_well = not levels & {Severity.PROBLEM, Severity.UNSEEN}
    if as_json:
        typer.echo(_as_json(facts, findings, is_well=is_well))
    else:
        _print(findings)
    if not is_well:
        raise typer.Exit(EXIT_FOUND if Severity.PROBLEM in levels else EXIT_FAILED)


def _print(findings: "list[Finding]") -> None:
    from rich.console import Console  # noqa: PLC0415 - only where a table is drawn
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    styles = {"ok": "green", "notice": "yellow", "unseen": "magenta", "problem": "bold red"}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        level = Text(str(finding.level), style=styles[finding.level])
        table.add_row(level, Text(finding.check), Text(finding.words))
        if finding.fix:
            table.add_row("", "", Text(f"→ {finding.fix}"))
    Console(highlight=False).print(table)
    counts = {level: sum(f.level == level for f in findings) for level in ("problem", "notice")}
    told = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items()]
    if unseen := sum(finding.level == "unseen" for finding in findings):
        told.append(f"{unseen} not seen")
    typer.echo(", ".join(told))


def _as_json(facts: "DeploymentFacts", findings: "list[Finding]", *, is_well: bool) -> str:
    from models.learning.churn_models import ChurnScoring  # noqa: PLC0415

    shown: dict[str, Any] = msgspec.structs.asdict(facts)
    if (snapshot := facts.snapshot) is not None:
        # Without the trainer's state, which is large and of use only to the trainer.
        shown["snapshot"] = {
            "version": snapshot.version,
            "created_at_ms": snapshot.created_at_ms,
            "quality": snapshot.of(ChurnScoring).quality,
        }
    answer = {"isWell": is_well, "findings": findings, "facts": shown}
    return msgspec.json.encode(answer).decode()
