"""Traces of single events by OpenTelemetry: collector, ingest, profile, delivery.

The collector begins a trace for one request in so many, and whatever comes of its events carries
the trace on in the header `traceparent` (W3C Trace Context): never in a key or a value, so state
and decisions are the same with and without. No span has anything of a customer in it.

OpenTelemetry is optional: `agents.process_traces` imports this module only where traces are on.
"""

import random
from collections.abc import Mapping
from threading import Thread
from time import monotonic
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from config import VERSION
from streams.outbox import Headers
from streams.trace_headers import TRACEPARENT

#: Spans of one process a second: more is what somebody makes who marks every record as traced.
SPANS_A_SECOND_MAX: Final = 200
#: What waits to be sent; the oldest give way.
SPANS_WAITING_MAX: Final = 2_048
#: A process that ends waits no longer for the receiver.
CLOSE_S: Final = 3.0

Attributes = Mapping[str, str | int]


class TracedStep:
    """One step of a traced event: open until `end`; one that never ends is never told.

    ``trace_id``: 32 hexadecimal digits, for log lines. ``headers``: what records that come of this
    step carry.
    """

    __slots__ = ("_span", "headers", "trace_id", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        context = span.get_span_context()
        self._span = span
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-01"
        self.headers = ((TRACEPARENT, self.traceparent.encode()),)

    def note(self, attributes: Attributes) -> None:
        """Add what became known meanwhile."""
        self._span.set_attributes(dict(attributes))

    def end(self, failure: str = "") -> None:
        """It is done: its effects are durable. ``failure``: why it is not, in few words."""
        if failure:
            self._span.set_status(StatusCode.ERROR, failure)
        self._span.end()


class Traces:
    """The traces of one process; from any thread."""

    def __init__(self, program: str, one_in: int, exporter: SpanExporter) -> None:
        """``program``: worker, collector or deliver; ``one_in``: of so many requests that bring no
        trace of their own, or one, one is traced.
        """
        about = {"service.name": f"keepstream-{program}", "service.version": VERSION}
        # What is traced is chosen here, before anything is made for it.
        self._provider = TracerProvider(
            resource=Resource.create(about), sampler=ALWAYS_ON, shutdown_on_exit=False
        )
        processor = BatchSpanProcessor(exporter, max_queue_size=SPANS_WAITING_MAX)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("keepstream", VERSION)
        self._carried = TraceContextTextMapPropagator()
        self._one_in = one_in
        self._second = self._begun = 0

    def begin(
        self, name: str, traceparent: str | None, attributes: Attributes
    ) -> TracedStep | None:
        """The first step, of a request from outside. One in so many is traced, and goes on with the
        sender's trace if that is recorded; None for the others.
        """
        if random.randrange(self._one_in) or not self._has_room():
            return None
        parent = self._parent(traceparent) if traceparent else None
        return self._step(name, parent, SpanKind.SERVER, attributes)

    def follow(
        self, name: str, headers: Headers, attributes: Attributes, *, is_client: bool = False
    ) -> TracedStep | None:
        """The next step of what a record's headers carry; None if it is not traced. ``is_client``:
        it asks another system.
        """
        for header, value in headers:
            if header == TRACEPARENT:
                parent = self._parent(value.decode("ascii", "replace"))
                if parent is None or not self._has_room():
                    return None
                kind = SpanKind.CLIENT if is_client else SpanKind.CONSUMER
                return self._step(name, parent, kind, attributes)
        return None

    def close(self) -> None:
        """Send what waits, for `CLOSE_S` at most."""
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_S)

    def _parent(self, traceparent: str) -> Context | None:
        """The context that a header tells; None for one that is malformed, or not recorded."""
        context = self._carried.extract({TRACEPARENT: traceparent})
        told = trace.get_current_span(context).get_span_context()
        return context if told.is_valid and told.trace_flags.sampled else None

    def _step(
        self, name: str, parent: Context | None, kind: SpanKind, attributes: Attributes
    ) -> TracedStep:
        span = self._tracer.start_span(
            name, context=parent or Context(), kind=kind, attributes=dict(attributes)
        )
        return TracedStep(span)

    def _has_room(self) -> bool:
        second = int(monotonic())
        if second != self._second:
            self._second, self._begun = second, 0
        self._begun += 1
        return self._begun <= SPANS_A_SECOND_MAX
