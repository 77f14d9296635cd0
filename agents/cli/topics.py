"""`keepstream topics`: create topics, check those that exist, delete them."""

from typing import Annotated

import typer

from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import BootstrapServers, kafka_settings

app = typer.Typer(
    help="Create, check and delete the topics of a deployment.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("create", epilog="Example: KEEPSTREAM_PARTITIONS=8 keepstream topics create")
def create(bootstrap_servers: BootstrapServers = None) -> None:
    """Create the missing topics, and leave existing ones as they are."""
    from streams.topics import create_topics  # noqa: PLC0415 - Kafka is imported when needed

    for topic in create_topics(
        kafka_settings("topics create", bootstrap_servers=bootstrap_servers)
    ):
        typer.echo(f"{topic.outcome:8} {topic.name}")


@app.command("check", epilog="Example: keepstream topics check --bootstrap-servers kafka:9092")
def check(bootstrap_servers: BootstrapServers = None) -> None:
    """Check that every topic exists, with the right partitions and settings.

    Exit code 0: all is well. 1: something is wrong, listed with what to do. 2: the broker can't be
    reached.
    """
    from streams.topics import check_topics, declared  # noqa: PLC0415 - as above

    settings = kafka_settings("topics check", bootstrap_servers=bootstrap_servers)
    problems = check_topics(settings)
    wrong = {problem.topic for problem in problems}
    for topic in declared(settings):
        if topic.name not in wrong:
            typer.echo(f"ok       {topic.name}")
    for problem in problems:
        complain(f"wrong    {problem}")
    if problems:
        raise typer.Exit(EXIT_FOUND)


@app.command("delete", epilog="Example: keepstream topics delete --mine")
def delete(
    mine: Annotated[
        bool,
        typer.Option("--mine", help="They are yours, and nothing in them is needed any more."),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Delete every topic of this deployment, with all its records, and the offsets of its groups.

    The records are gone for good, the log included: export it first. Stop workers, deliverers and
    collectors first. Other topics on the broker are not touched.
    """
    from streams.starting_over import delete_topics  # noqa: PLC0415 - Kafka is imported when needed
    from streams.topics import declared  # noqa: PLC0415 - as above

    settings = kafka_settings("topics delete", bootstrap_servers=bootstrap_servers)
    if not mine:
        names = ", ".join(topic.name for topic in declared(settings))
        raise CommandError(
            f"this would delete the topics {names} at {settings.bootstrap_servers}, with all that "
            f"is in them: if they are yours to delete, say --mine"
        )
    deleted = delete_topics(settings)
    for name in deleted:
        typer.echo(f"deleted  {name}")
    if not deleted:
        typer.echo("there were none")
