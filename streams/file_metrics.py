"""Metrics of the files that a process reads again when they change."""

from time import time

from prometheus_client import CollectorRegistry, Gauge


class FileMetrics:
    """When a process last read its files, and whether their present content can't be used."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read_at = Gauge(
            "keepstream_files_read_timestamp_seconds",
            "When the files that are read again on a change were last usable, as a Unix time",
            registry=registry,
        )
        self._refused = Gauge(
            "keepstream_files_refused",
            "1 while these files can't be used, so that their previous content is in force",
            registry=registry,
        )
        self._read_at.set(time())

    def note(self, *, is_refused: bool) -> None:
        """Set the outcome of reading."""
        self._refused.set(is_refused)
        if not is_refused:
            self._read_at.set(time())
