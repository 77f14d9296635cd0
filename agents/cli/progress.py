"""Progress bars, shown only on a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol


class Tell(Protocol):
    """Move the bar to ``done``, and set ``total`` if it was not known before."""

    def __call__(self, done: int, note: str, total: int | None = None) -> None: ...


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Tell]:
    """Yield the function that moves a bar towards ``total`` (None: unknown)."""
    if not sys.stderr.isatty():
        yield _tell_nobody
        return
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total, note="")

        def tell(done: int, note: str, total: int | None = None) -> None:
            bar.update(task, completed=done, note=note, total=total)

        yield tell


def size_of(path: str) -> int | None:
    """A file's size in bytes; None for standard input and anything else without a size."""
    file = Path(path)
    return file.stat().st_size if path != "-" and file.is_file() else None


def _tell_nobody(done: int, note: str, total: int | None = None) -> None:
    pass
