"""What is traced and forwarded: the steps of one process, without a receiver."""

from collections.abc import Iterator, Sequence
from threading import Event

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agents.process_traces import tracing
from config.settings import Settings
from streams.outbox import Headers
from streams.trace_headers import TRACEPARENT, trace_id_in
from streams.tracing import SPANS_A_SECOND_MAX, Traces

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> Iterator[Traces]:
    found = Traces("worker", 1, exporter)
    yield found
    found.close()


def carrying(traceparent: str) -> Headers:
    return [("ce_id", b"x"), (TRACEPARENT, traceparent.encode())]


def test_a_step_goes_on_with_the_trace_that_a_record_carries(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    step = traces.follow("ingest", carrying(PARENT), {"partition": 3})
    assert step is not None
    after = traces.follow("profile", step.headers, {})
    assert after is not None
    assert [TRACE_ID] * 2 == [step.trace_id, after.trace_id]
    after.end()
    step.end("gone")
    traces.close()

    told = {span.name: span for span in exporter.get_finished_spans()}
    assert f"{told['profile'].parent.span_id:016x}" == step.traceparent.split("-")[2]
    assert {"partition": 3} == told["ingest"].attributes
    assert "gone" == told["ingest"].status.description
    assert "keepstream-worker" == told["ingest"].resource.attributes["service.name"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_id", b"x")],
        carrying(f"{PARENT[:-1]}0"),
        carrying(""),
        carrying("00-zz-zz-01"),
        carrying(f"00-{'0' * 32}-b7ad6b7169203331-01"),
        carrying("\u00e9" * 55),
        carrying(PARENT * 1_000),
    ],
    ids=["none", "others", "not recorded", "empty", "letters", "zeros", "bytes", "long"],
)
def test_what_carries_no_recorded_trace_begins_none(traces: Traces, headers: Headers) -> None:
    assert traces.follow("ingest", headers, {}) is None


@pytest.mark.parametrize("traceparent", [None, "", "nonsense", f"{PARENT[:-1]}0"])
def test_a_request_without_a_recorded_trace_begins_one(
    traces: Traces, traceparent: str | None
) -> None:
    step = traces.begin("collect", traceparent, {})
    assert step is not None
    assert TRACE_ID != step.trace_id


def test_a_step_that_never_ends_is_never_told(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    traces.begin("collect", None, {})
    traces.close()

    assert () == exporter.get_finished_spans()


def test_about_one_request_in_so_many_is_traced(exporter: InMemorySpanExporter) -> None:
    traces = Traces("collector", 50, exporter)
    begun = [traces.begin("collect", PARENT, {}) for _ in range(5_000)]
    traces.close()

    # 100 of 5,000 are expected; this far off once in many millions of runs.
    assert 40 < sum(step is not None for step in begun) < 180


def test_whoever_marks_every_record_gets_no_more_than_so_many_spans_a_second(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 5.0
    monkeypatch.setattr("streams.tracing.monotonic", lambda: now_s)
    steps = [traces.follow("ingest", carrying(PARENT), {}) for _ in range(SPANS_A_SECOND_MAX + 50)]
    assert SPANS_A_SECOND_MAX == len([step for step in steps if step is not None])

    now_s = 6.0
    assert traces.follow("ingest", carrying(PARENT), {}) is not None


class Unanswering(SpanExporter):
    """Like an exporter whose receiver accepts the request, and never answers."""

    def __init__(self) -> None:
        self.is_over = Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_over.wait()
        return SpanExportResult.FAILURE


def test_a_process_ends_though_the_receiver_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.tracing.CLOSE_S", 0.1)
    exporter = Unanswering()
    traces = Traces("worker", 1, exporter)
    step = traces.begin("collect", None, {})
    assert step is not None
    step.end()

    traces.close()

    # It has returned although this did not come.
    assert not exporter.is_over.is_set()
    exporter.is_over.set()


def test_there_are_no_traces_unless_they_are_asked_for() -> None:
    with tracing(Settings(), "worker") as found:
        assert found is None


def test_a_log_line_names_the_trace_that_a_record_carries() -> None:
    assert TRACE_ID == trace_id_in(carrying(PARENT))
    assert {None} == {trace_id_in(headers) for headers in ([], carrying(""), carrying("0-1-2-3"))}
