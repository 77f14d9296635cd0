"""Files that are read again when they change, while the process runs.

What can't be used is told, and what was read before stays: a slip of the pen must not end a process
that works.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from streams.file_metrics import FileMetrics

log = logging.getLogger(__name__)

#: How often it is looked whether a file has changed. One is read when it has not changed for as
#: long again, so that none is read that is half written.
LOOK_S = 1.0

_Marks = tuple[tuple[int, ...] | None, ...]


class WatchedFiles:
    """Reads files again: ``read`` makes use of what they say, or raises something and changes
    nothing; one of ``refusals`` has a message for people. ``files``: those that count at the
    moment.
    """

    def __init__(
        self,
        files: Callable[[], Iterable[Path]],
        read: Callable[[], None],
        refusals: tuple[type[Exception], ...],
        metrics: FileMetrics,
    ) -> None:
        self._files = files
        self._read = read
        self._refusals = refusals
        self._metrics = metrics
        self._known = self._seen = self._marks()
        self._told = ""

    async def watch(self) -> None:
        """Look every `LOOK_S`, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Read the files if they have changed, and were as they are when this last looked."""
        seen, self._seen = self._seen, self._marks()
        # What was refused may be mended in a file that is not known to count.
        if self._seen != seen or (seen == self._known and not self._told):
            return
        self._known = seen
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - whatever it is, what works goes on
            self._refuse(error)
            return
        self._metrics.note(is_refused=False)
        self._told = ""
        # Other files may count from now on.
        self._known = self._seen = self._marks()

    def _refuse(self, error: Exception) -> None:
        self._metrics.note(is_refused=True)
        told, self._told = self._told, f"{type(error).__name__}: {error}"
        if self._told != told:
            # What nobody has expected comes with its traceback.
            is_expected = isinstance(error, self._refusals)
            log.error(
                "%s; what was read before holds until this is mended",
                error, exc_info=None if is_expected else error,
            )  # fmt: skip

    def _marks(self) -> _Marks:
        return tuple(map(_mark, self._files()))


def _mark(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None for one that can't be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
