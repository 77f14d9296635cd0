"""The traces of a process while it runs, if tracing is on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from streams.tracing import Traces

log = logging.getLogger(__name__)

#: How long to wait for the trace receiver's response.
EXPORT_TIMEOUT_S: Final = 4.0


@contextmanager
def tracing(settings: Settings, program: str) -> "Iterator[Traces | None]":
    """The traces of ``program``; None unless KEEPSTREAM_TRACES_URL is set.

    Raises `SettingsError` if it is set and OpenTelemetry is not installed.
    """
    if not settings.traces_url:
        yield None
        return
    try:
        # OpenTelemetry is an optional dependency, and slow to import.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        from streams.tracing import Traces  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "KEEPSTREAM_TRACES_URL is set and OpenTelemetry is not installed: run `make "
            "setup-traces`, or unset it"
        ) from None
    exporter = OTLPSpanExporter(settings.traces_url, timeout=EXPORT_TIMEOUT_S)
    traces = Traces(program, settings.traces_one_in, exporter)
    log.info("traces go to %s", settings.traces_url)
    try:
        yield traces
    finally:
        traces.close()
