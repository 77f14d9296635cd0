"""What a process tells of the files that it reads again when they change."""

from time import time

from prometheus_client import CollectorRegistry, Gauge


class FileMetrics:
    """When the files of a process were read, and whether what they say by now can't be used."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read_at = Gauge(
            "keepstream_files_read_timestamp_seconds",
            "When the files that are read again as they change were last of use, as a Unix time",
            registry=registry,
        )
        self._refused = Gauge(
            "keepstream_files_refused",
            "1 while these files say what can't be used, so that what they said before holds",
            registry=registry,
        )
        self._read_at.set(time())

    def note(self, *, is_refused: bool) -> None:
        """Say how reading went."""
        self._refused.set(is_refused)
        if not is_refused:
            self._read_at.set(time())
