"""Traces of single events by OpenTelemetry: collector, ingest, profile, delivery.

The collector starts a trace for one request in so many. All records that its events cause carry the
trace in the header `traceparent` (W3C Trace Context), never in a key or a value, so state and
decisions are the same with and without traces. No span contains customer data.

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

#: Spans a second in one process; only a sender that marks every record as traced makes more.
SPANS_A_SECOND_MAX: Final = 200
#: Spans that may wait to be sent; when there are more, the oldest are dropped.
SPANS_WAITING_MAX: Final = 2_048
#: How long a process that ends waits for the receiver.
CLOSE_S: Final = 3.0

Attributes = Mapping[str, str | int]


class TracedStep:
    """One step of a traced event, open until `end`; a step that never ends is never sent.

    ``trace_id``: 32 hexadecimal digits, for log lines. ``headers``: the headers for records that
    this step causes.
    """

    __slots__ = ("_span", "headers", "trace_id", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        context = span.get_span_context()
        self._span = span
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-01"
        self.headers = ((TRACEPARENT, self.traceparent.encode()),)

    def note(self, attributes: Attributes) -> None:
        """Add attributes that became known meanwhile."""
        self._span.set_attributes(dict(attributes))

    def end(self, failure: str = "") -> None:
        """The step's effects are durable; or ``failure`` says in few words why not."""
        if failure:
            self._span.set_status(StatusCode.ERROR, failure)
        self._span.end()


class Traces:
    """The traces of one process; usable from any thread."""

    def __init__(self, program: str, one_in: int, exporter: SpanExporter) -> None:
        """``program``: worker, collector or deliver. ``one_in``: one of so many requests is traced,
        with the sender's trace or a new one.
        """
        about = {"service.name": f"keepstream-{program}", "service.version": VERSION}
        # Sampling happens here in this module, before any span is made.
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
        """The first step, for a request from outside. One in so many is traced, and continues the
        sender's trace if that is recorded; None for the others.
        """
        if random.randrange(self._one_in) or not self._has_room():
            return None
        parent = self._parent(traceparent) if traceparent else None
        return self._step(name, parent, SpanKind.SERVER, attributes)

    def follow(
        self, name: str, headers: Headers, attributes: Attributes, *, is_client: bool = False
    ) -> TracedStep | None:
        """The next step of the trace in a record's headers; None if it has none. ``is_client``: the
        step calls another system.
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
        """Send waiting spans, for at most `CLOSE_S`."""
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_S)

    def _parent(self, traceparent: str) -> Context | None:
        """The context in a header; None if it is malformed or its trace is not recorded."""
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
