"""`keepstream export`: the live log as a file that `keepstream replay` accepts."""

import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.errors import complain
from agents.cli.options import BootstrapServers, kafka_settings
from agents.cli.progress import progress
from config.settings import Settings
from config.topics import CUSTOMER_ARCHIVE, MODEL_SNAPSHOTS

if TYPE_CHECKING:
    from streams.log_export import Export, Write


def export(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="LOG",
            help="Where to write the log; compressed if it ends in .gz; - is standard output.",
            dir_okay=False,
            allow_dash=True,
        ),
    ],
    models: Annotated[
        Path | None,
        typer.Option(
            "--models",
            metavar="DIR",
            help="Also write the model snapshots here, which a replay of the log needs.",
            file_okay=False,
        ),
    ] = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Write the current customer-events as a log: events, clock and model records.

    Replaying it with the same parameters gives the same state and triggers as the workers gave.
    """
    settings = kafka_settings("export", bootstrap_servers=bootstrap_servers)
    with written_file(out) as write:
        exported = _export_log(settings, write)
        # Models first, so that a log never exists without its models.
        written = 0 if models is None else _export_models(settings, models, exported.announced)
    _tell_outcome(exported, written, has_models=models is not None)


@contextmanager
def written_file(out: Path) -> "Iterator[Write]":
    """Write to ``out``, which appears only when it is complete."""
    if str(out) == "-":
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as cleanup:
        unfinished = NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}-", delete=False)  # noqa: SIM115 - closed below, renamed or removed
        cleanup.callback(Path(unfinished.name).unlink, missing_ok=True)
        cleanup.enter_context(unfinished)
        file: Any = unfinished
        if out.suffix == ".gz":
            # No name and no time in the header, so that the same log gives the same file.
            file = gzip.GzipFile("", "wb", 6, unfinished, mtime=0)
        with file:
            yield file.write
        unfinished.close()
        Path(unfinished.name).chmod(0o666 & ~_umask())
        Path(unfinished.name).replace(out)


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _export_log(settings: Settings, write: "Write") -> "Export":
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.log_export import export_log  # noqa: PLC0415 - Kafka is imported when needed

    with progress("export", None) as tell:

        def on_progress(done: int, total: int) -> None:
            tell(done, f"{done:,} of {total:,} records", total)

        return asyncio.run(export_log(settings, write, on_progress))


def _export_models(settings: Settings, directory: Path, announced: dict[int, str]) -> int:
    import asyncio  # noqa: PLC0415 - as above

    from streams.log_export import read_snapshots  # noqa: PLC0415 - as above

    snapshots = asyncio.run(read_snapshots(settings, announced))
    directory.mkdir(parents=True, exist_ok=True)
    for version, content in snapshots.items():
        unfinished = directory / f".{version}.json"
        unfinished.write_bytes(content)
        unfinished.replace(directory / f"{version}.json")
    return len(snapshots)


def _tell_outcome(exported: "Export", models: int, *, has_models: bool) -> None:
    snapshots = f", {models:,} model snapshots" if has_models else ""
    typer.echo(
        f"{exported.records:,} records of {exported.partitions} partitions exported{snapshots}",
        err=True,
    )
    if exported.skipped:
        complain(f"{exported.skipped:,} records are no JSON objects and were left out")
    if exported.unknown:
        complain(
            f"{len(exported.unknown):,} records announce models that {MODEL_SNAPSHOTS} does not "
            f"have (version {exported.unknown[0]} first) and were left out, as workers pass over "
            f"them; if it lost them since, a replay of this log decides by older models"
        )
    if exported.to_come:
        complain(
            f"{exported.to_come:,} records are of a time to come and were left out, as "
            f"workers refuse them: see who else writes to customer-events"
        )
    _tell_archive(exported)
    for partition, begin in exported.begins.items():
        complain(
            f"partition {partition} begins at offset {begin:,}: the events before it are gone, so "
            f"a replay starts from less than the workers know"
        )
    if exported.announced and not has_models:
        complain(
            "the log adopts models: to replay it, export again with --models DIR, "
            "and give that to `keepstream replay --models DIR`"
        )


def _tell_archive(exported: "Export") -> None:
    if exported.gone:
        customers = "customer" if exported.erased == 1 else "customers"
        typer.echo(
            f"{exported.gone:,} records of {exported.erased:,} erased {customers} were left out",
            err=True,
        )
    if exported.foreign:
        complain(
            f"{exported.foreign:,} records of {CUSTOMER_ARCHIVE} are not ours, or damaged, and "
            f"were left out: see who else writes there"
        )
    if exported.missing:
        complain(
            f"{exported.missing:,} records are neither in customer-events nor in the archive, so a "
            f"replay starts from less than the workers know"
        )
