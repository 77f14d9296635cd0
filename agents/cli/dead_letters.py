"""`keepstream dead-letters`: list refused events with their reasons, retry them, mend one."""

import os
import re
import shlex
import subprocess
from heapq import heappush, heappushpop
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agents.cli.errors import CommandError
from agents.cli.options import Assignments, BootstrapServers, kafka_settings, parameters_from
from config.parameters import Parameters
from config.settings import Settings, variable_of
from config.sources import sources_in
from models.events.dead_letter import WEBHOOK, DeadLetter
from models.events.rejection import Reason, Rejected
from models.events.times import iso

if TYPE_CHECKING:
    from streams.dead_letters import StoredLetter

app = typer.Typer(
    help="Look at dead letters, retry them, and mend one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ReasonOption = Annotated[
    Reason | None, typer.Option("--reason", help="Only those refused for this reason.")
]


@app.command("list", epilog="Example: keepstream dead-letters list --reason wrong_type")
def list_letters(
    reason: ReasonOption = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="How many; the newest are shown.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Also show the refused content; it may hold personal data."),
    ] = False,
    with_closed: Annotated[
        bool, typer.Option("--all", help="Include those that were put back.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """List refused events with their reasons, newest last, without those that were put back."""
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    settings = kafka_settings("dead-letters list", bootstrap_servers=bootstrap_servers)
    letters = asyncio.run(_newest(settings, reason, limit, with_closed=with_closed))
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
        typer.Option("--include-late", help="Late events too, after you raised time.lateness."),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Put refused events back on the raw topics they came from, and close their dead letters.

    Retry once the cause is fixed, for example after an upgrade that knows more events. Events that
    are still wrong become dead letters again. Webhooks are translated again, with the vendors of
    the file that KEEPSTREAM_COLLECTOR_SOURCES names.
    """
    import asyncio  # noqa: PLC0415 - too slow to import for --help

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


@app.command("mend", epilog="Example: keepstream dead-letters mend 2-17")
def mend(
    place: Annotated[
        str, typer.Argument(metavar="ID", help="The id that `list` shows: PARTITION-OFFSET.")
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="The corrected event, instead of an editor.",
            show_default=False,
        ),
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    assignments: Assignments = None,
) -> None:
    """Edit a copy of a refused event, put it back, and close its dead letter.

    Opens the editor that VISUAL or EDITOR names. An event that workers would refuse again is not
    sent, and the reason is shown: pass the parameters that the workers use. The refused bytes
    themselves stay unchanged.
    """
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.dead_letters import find_letter, mended, parcel_of, put_back  # noqa: PLC0415
    from streams.mending import on_one_line  # noqa: PLC0415

    settings = kafka_settings("dead-letters mend", bootstrap_servers=bootstrap_servers)
    parameters = parameters_from(settings, assignments)
    partition, offset = _place(place)
    stored = asyncio.run(find_letter(settings, partition, offset))
    if stored is None or stored.letter is None:
        raise CommandError(
            f"there is no dead letter {place}, or it was put back: `keepstream dead-letters list` "
            f"shows those that are open, with their ids"
        )
    if stored.letter.step == WEBHOOK:
        raise CommandError(
            f"{place} is what a vendor sent, not an event: mend how it is read, and `keepstream "
            f"dead-letters retry` reads it again"
        )
    content = file.read_bytes() if file is not None else _edited(stored.letter.content())
    if content is None:
        raise CommandError(f"nothing was changed, so {place} stays as it is")
    letter = mended(stored.letter, on_one_line(content))
    parcel = parcel_of(letter)
    _require_good(parcel.value, parameters)
    asyncio.run(put_back(settings, stored, parcel))
    typer.echo(f"{place} went back to {parcel.topic}, mended, and is closed")


def _place(text: str) -> tuple[int, int]:
    """The partition and the offset in an id."""
    if (found := re.fullmatch(r"(\d{1,6})-(\d{1,18})", text)) is None:
        raise CommandError(
            f"{text!r} is no id of a dead letter: it is PARTITION-OFFSET, as `keepstream "
            f"dead-letters list` shows it first"
        )
    return int(found[1]), int(found[2])


def _edited(content: bytes) -> bytes | None:
    """``content`` after the user edited it; None if it is unchanged."""
    from streams.mending import readable  # noqa: PLC0415 - Kafka

    shown = readable(content)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # In a directory that only this user can read: the event may hold personal data.
    with TemporaryDirectory() as directory:
        path = Path(directory, "event.json")
        path.write_text(shown)
        subprocess.run([*shlex.split(editor), str(path)], check=False)
        edited = path.read_text()
    return None if edited.strip() == shown.strip() else edited.encode()


def _require_good(raw: bytes, parameters: Parameters) -> None:
    """Raise `CommandError` for an event that ingest would refuse."""
    from streams.line_check import LineCheck  # noqa: PLC0415 - not for --help

    try:
        LineCheck(parameters, int(time() * 1_000))(raw)
    except Rejected as rejected:
        raise CommandError(
            f"it would be refused again, and was not sent: {rejected.reason} at {rejected.path}, "
            f"{rejected.detail}\n→ {rejected.fix}"
        ) from None


async def _newest(
    settings: Settings, reason: Reason | None, limit: int, *, with_closed: bool
) -> "list[StoredLetter]":
    """The newest dead letters, in the order in which they were written."""
    from streams.dead_letters import newest_letters, read_dead_letters  # noqa: PLC0415 - Kafka

    if reason is None:
        found = await newest_letters(settings, limit, with_closed=with_closed)
        return sorted(found)[-limit:]
    heap: list[StoredLetter] = []
    # The newest of one reason may be anywhere in the topic.
    async for stored in read_dead_letters(settings, with_closed=with_closed):
        if stored.letter is None or stored.letter.reason != reason:
            continue
        if len(heap) < limit:
            heappush(heap, stored)
        else:
            heappushpop(heap, stored)
    return sorted(heap)


def _id(stored: "StoredLetter") -> str:
    """The id that `mend` takes."""
    return f"{stored.partition}-{stored.offset}"


def _in_words(stored: "StoredLetter", *, raw: bool) -> str:
    when = iso(stored.stored_at_ms)
    letter = stored.letter
    if letter is None:
        return f"{when}  {_id(stored)}  not a dead letter"
    words = f"{when}  {_id(stored)}  {letter.reason}  {letter.path}  {letter.detail}"
    if letter.source is not None:
        source = letter.source
        words += f"  [{letter.step}, {source.topic}-{source.partition} at {source.offset}]"
    else:
        words += f"  [{letter.step}{f', from {letter.sender}' if letter.sender else ''}]"
    if letter.fix:
        words += f"\n    → {letter.fix}"
    return f"{words}\n    {_printable(letter.content())}" if raw else words


def _as_json(stored: "StoredLetter", *, raw: bool) -> str:
    shown: dict[str, Any] = {"storedAt": iso(stored.stored_at_ms), "id": _id(stored)}
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
