"""What the metrics of all programs share: the registry, the text format, the process itself."""

from prometheus_client import (
    CollectorRegistry,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from config import VERSION
from config.compiled import flavour

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def new_registry() -> CollectorRegistry:
    """A registry with the release, the flavour of its core, and the CPU, memory and descriptors of
    this process.

    Counters have no `_created` series: nothing reads those, and they would double the number of
    series.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Info("keepstream_build", "Release, and whether its core is compiled", registry=registry)
    build.info({"version": VERSION, "core": flavour()})
    return registry


def exposed(registry: CollectorRegistry) -> bytes:
    """The metrics of a registry in Prometheus' text format."""
    return generate_latest(registry)
