"""Files that are read again when they change, while the process runs.

An invalid file is logged, and the earlier content stays in force: a typing error must not end a
running process.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from streams.file_metrics import FileMetrics

log = logging.getLogger(__name__)

#: Seconds between checks for changes. A changed file is read once it stays unchanged for another
#: check, so that a half-written file is never read.
LOOK_S = 1.0

_Marks = tuple[tuple[int, ...] | None, ...]


class WatchedFiles:
    """Reads files again. ``read`` applies their content, or raises and changes nothing; errors of
    the types in ``refusals`` have a message for people. ``files``: the files to watch at present.
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
        """Check every `LOOK_S`, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Read the files if they have changed, and are the same as at the previous check."""
        seen, self._seen = self._seen, self._marks()
        # After a refusal, read again even without a change: the fix may be in a file that is not
        # watched yet.
        if self._seen != seen or (seen == self._known and not self._told):
            return
        self._known = seen
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - no error may stop the process
            self._refuse(error)
            return
        self._metrics.note(is_refused=False)
        self._told = ""
        # The new content may name other files.
        self._known = self._seen = self._marks()

    def _refuse(self, error: Exception) -> None:
        self._metrics.note(is_refused=True)
        told, self._told = self._told, f"{type(error).__name__}: {error}"
        if self._told != told:
            # Unexpected errors are logged with their traceback.
            is_expected = isinstance(error, self._refusals)
            log.error(
                "%s; what was read before holds until this is mended",
                error, exc_info=None if is_expected else error,
            )  # fmt: skip

    def _marks(self) -> _Marks:
        return tuple(map(_mark, self._files()))


def _mark(path: Path) -> tuple[int, ...] | None:
    """Changes when the file changes; None for a file that can't be examined."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
