"""The `keepstream` command: one module for each group of commands.

Faust, Kafka and Redis are slow to import, so only the commands that need them import them. Help and
`replay` start at once, and `replay` also runs where none of them is installed.
"""

from typing import Annotated

import typer

from agents.cli import (
    archive,
    audit,
    collector,
    configuration,
    console,
    customers,
    dead_letters,
    deliver,
    demo,
    doctor,
    erase,
    evaluate,
    explain,
    export,
    init,
    lift,
    live,
    publish,
    real,
    rebuild,
    replay,
    rules,
    schema,
    segments,
    topics,
    undelivered,
    up,
    webhooks,
    worker,
)
from agents.cli.errors import ExplainingGroup, ListingGroup
from config import VERSION
from config.compiled import flavour

app = typer.Typer(
    cls=ExplainingGroup,
    help="A real-time stream engine that keeps customers.",
    no_args_is_help=True,
    # A traceback that shows local variables would show passwords and customers.
    pretty_exceptions_enable=False,
    add_completion=False,
    # Help in boxes takes three times as long to appear.
    rich_markup_mode=None,
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"keepstream {VERSION} ({flavour()})")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_tell_version,
            is_eager=True,
            help="Show the release and whether its core is compiled, and exit.",
        ),
    ] = False,
) -> None:
    """A real-time stream engine that keeps customers."""


app.command("up", epilog="Example: keepstream up --workers 2 --demo")(up.up)
app.command("init", epilog="Example: keepstream init my-shop")(init.init)
app.command("demo", epilog="Example: keepstream demo --summary figures.json")(demo.demo)
app.command("demo-real", epilog="Example: keepstream demo-real --summary figures.json")(
    real.demo_real
)
app.command("evaluate", epilog="Example: keepstream evaluate --data cdnow --seed 3")(
    evaluate.evaluate
)
app.command("worker", epilog="Example: keepstream worker --bootstrap-servers kafka:9092")(
    worker.worker
)
app.command("deliver", epilog="Example: keepstream deliver --endpoints endpoints.yaml --check")(
    deliver.deliver
)
app.command("live", epilog="Example: keepstream live --bootstrap-servers kafka:9092")(live.live)
app.command("publish", epilog="Example: keepstream publish yesterday.jsonl.gz")(publish.publish)
app.add_typer(collector.app, name="collector", cls=ListingGroup)
app.add_typer(webhooks.app, name="webhooks", cls=ListingGroup)
app.add_typer(console.app, name="console", cls=ListingGroup)
app.add_typer(archive.app, name="archive", cls=ListingGroup)
app.add_typer(topics.app, name="topics", cls=ListingGroup)
app.add_typer(customers.app, name="customers", cls=ListingGroup)
app.add_typer(dead_letters.app, name="dead-letters", cls=ListingGroup)
app.add_typer(undelivered.app, name="undelivered", cls=ListingGroup)
app.add_typer(erase.app, name="erase")
app.command("export", epilog="Example: keepstream export --out log.jsonl.gz --models models")(
    export.export
)
app.command("rebuild", epilog="Example: keepstream rebuild --dry-run")(rebuild.rebuild)
app.command(
    "replay",
    epilog="Example: keepstream replay log.jsonl.gz --out what-if --models models "
    "--set cart.idle=2h",
)(replay.replay)
app.command("doctor", epilog="Example: keepstream doctor --bootstrap-servers kafka:9092")(
    doctor.doctor
)
app.command("audit", epilog="Example: keepstream audit --bootstrap-servers kafka:9092")(audit.audit)
app.command("explain", epilog="Example: keepstream explain 6c5d446a2f6173f2816cda7c23212f4a")(
    explain.explain
)
app.command("lift", epilog="Example: keepstream lift --file out/summary.json")(lift.lift)
app.command("schema", epilog="Example: keepstream schema 'Order Completed'")(schema.schema)
app.command("facts", epilog="Example: keepstream facts")(rules.facts)
app.add_typer(rules.app, name="rules", cls=ListingGroup)
app.add_typer(segments.app, name="segments", cls=ListingGroup)
app.command("settings", epilog="Example: KEEPSTREAM_PARTITIONS=8 keepstream settings")(
    configuration.settings
)
app.command(
    "parameters", epilog="Example: keepstream parameters --set time.lateness=24h > my.toml"
)(configuration.parameters)


def main() -> None:
    """Run the command line and exit."""
    app(prog_name="keepstream")
