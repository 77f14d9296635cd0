"""`keepstream dead-letters`: list refused events with their reasons, and retry them."""

from heapq import heappush, heappushpop
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agents.cli.options import BootstrapServers, kafka_settings
from config.settings import Settings, variable_of
from config.sources import sources_in
from models.events.dead_letter import DeadLetter
from models.events.rejection import Reason
from models.events.times import iso

if TYPE_CHECKING:
    from streams.dead_letters import StoredLetter

app = typer.Typer(
    help="Look at dead letters, and retry them.", no_args_is_help=True, rich_markup_mode=None
)

ReasonOption = Annotated[
    Reason | None, typer.Option("--reason", help="Only those refused for this reason.")
]


@app.command("list", epilog="Example: keepstream dead-letters list --reason wrong_type")
def list_letters(
    reason: ReasonOption = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="How many, the newest ones.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Show the refused content too; it may hold personal data."),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """List what was refused and why, newest last."""
    import asyncio  # noqa: PLC0415 - takes long to import, for help

    settings = kafka_settings("dead-letters list", bootstrap_servers=bootstrap_servers)
    letters = asyncio.run(_newest(settings, reason, limit))
    if not letters and not as_json:
        typer.echo("no dead letters" + (f" with reason {reason}" if reason else ""))
    for stored in letters:
        typer.echo(_as_json(stored, raw=raw) if as_json else _in_words(stored, raw=raw))


@app.command("retry", epilog="Example: keepstream dead-letters retry --reason unknown_event")
def retry(
    reason: ReasonOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be retried, and send nothing.")
    ] = False,
    include_late: Annotated[
        bool,
        typer.Option("--include-late", help="Late events too, after time.lateness was raised."),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Put refused events back on the raw topics they came from.

    Retry when the cause is fixed, for example after an upgrade that knows more events. Events that
    are still wrong become dead letters again; an event that is retried twice counts once. Webhooks
    are read again, by the vendors of the file that KEEPSTREAM_COLLECTOR_SOURCES names.
    """
    import asyncio  # noqa: PLC0415 - takes long to import, for help

    from streams.collector.mappings import mappings_in  # noqa: PLC0415 - JMESPath
    from streams.collector.webhook_letters import WebhookReader  # noqa: PLC0415 - Kafka
    from streams.dead_letters import is_retried, retry_dead_letters  # noqa: PLC0415

    late = 0

    def is_wanted(letter: DeadLetter) -> bool:
        nonlocal late
        if reason not in (None, letter.reason):
            return False
        if is_retried(letter, include_late=include_late):
            return True
        late += 1
        return False

    settings = kafka_settings("dead-letters retry", bootstrap_servers=bootstrap_servers)
    sources = settings.collector_sources
    reader = WebhookReader(mappings_in(sources_in(Path(sources))) if sources else {})
    counts = asyncio.run(retry_dead_letters(settings, is_wanted, reader, dry_run=dry_run))
    verb = "would go back" if dry_run else "went back"
    typer.echo(f"{counts.total():,} dead letters {verb}")
    for (topic, why), count in sorted(counts.items()):
        typer.echo(f"  {count:,} to {topic}, refused as {why}")
    if late:
        typer.echo(
            f"{late:,} too late stay: they would be too late again; to have them in, start the "
            f"workers with a longer time.lateness, then retry with --include-late"
        )
    for source, count in sorted(reader.unknown.items()):
        typer.echo(
            f"{count:,} webhooks of {source} stay: set {variable_of('collector_sources')} to the "
            f"file that declares [webhooks.{source}]"
        )
    if reader.unread:
        typer.echo(
            f"{reader.unread:,} webhooks stay: they are still not understood; `keepstream webhooks "
            f"check` shows why"
        )


async def _newest(settings: Settings, reason: Reason | None, limit: int) -> "list[StoredLetter]":
    """The newest dead letters, in the order in which they were written."""
    from streams.dead_letters import read_dead_letters  # noqa: PLC0415 - Kafka

    heap: list[StoredLetter] = []
    # With a reason, read all: the newest ones may be anywhere.
    async for stored in read_dead_letters(settings, newest=None if reason else limit):
        if reason is not None and (stored.letter is None or stored.letter.reason != reason):
            continue
        if len(heap) < limit:
            heappush(heap, stored)
        else:
            heappushpop(heap, stored)
    return sorted(heap)


def _in_words(stored: "StoredLetter", *, raw: bool) -> str:
    when = iso(stored.stored_at_ms)
    letter = stored.letter
    if letter is None:
        return f"{when}  not a dead letter, at {stored.partition}-{stored.offset} of the topic"
    words = f"{when}  {letter.reason}  {letter.path}  {letter.detail}"
    if letter.source is not None:
        source = letter.source
        words += f"  [{letter.step}, {source.topic}-{source.partition} at {source.offset}]"
    else:
        words += f"  [{letter.step}{f', from {letter.sender}' if letter.sender else ''}]"
    if letter.fix:
        words += f"\n    → {letter.fix}"
    return f"{words}\n    {_printable(letter.content())}" if raw else words


def _as_json(stored: "StoredLetter", *, raw: bool) -> str:
    shown: dict[str, Any] = {"storedAt": iso(stored.stored_at_ms)}
    if stored.letter is not None:
        shown |= msgspec.to_builtins(stored.letter)
        shown.pop("line")
        if not raw:
            shown.pop("raw")
    return msgspec.json.encode(shown).decode()


def _printable(content: bytes) -> str:
    """The content as text that can't move the cursor or change the terminal."""
    text = content.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
