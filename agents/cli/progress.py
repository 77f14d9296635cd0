"""Progress bars, on a terminal alone: a log file has no use for them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Tell = Callable[[int, str], None]


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Tell]:
    """Yield ``tell(done, note)``, which moves the bar to ``done`` of ``total`` (None: unknown)."""
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
        yield lambda done, note: bar.update(task, completed=done, note=note)


def size_of(path: str) -> int | None:
    """Bytes of a file as it lies there; None for standard input and anything without a size."""
    file = Path(path)
    return file.stat().st_size if path != "-" and file.is_file() else None


def _tell_nobody(done: int, note: str) -> None:
    pass
