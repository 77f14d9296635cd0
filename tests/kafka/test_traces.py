"""One event's trace, from the request that brought it to the endpoint that gets the decision: real
processes, and a receiver that speaks OTLP.
"""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.kafka.collector import CollectorProcess
from tests.kafka.deployment import Deployment
from tests.kafka.test_webhooks import Deliverer, declare
from tests.kafka.trace_receiver import SpanSeen, TraceReceiver, trace_receiver

#: Each of its steps is tried by itself in every run, in tests/agents and tests/streams.
pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(300)]

CUSTOMER = "somebody-in-particular"
#: What another system began, and asks us to go on with.
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with trace_receiver() as found:
        yield found


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    """The address of an endpoint, and the `traceparent` of each request to it."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.append(self.headers.get("traceparent", ""))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", told
        server.shutdown()
        serving.join()


def followed(spans: list[SpanSeen], parent_id: str) -> list[SpanSeen]:
    """The span after ``parent_id``, the one after that, and so on, as long as each has only one
    child.
    """
    after = [span for span in spans if span.parent_id == parent_id]
    return [after[0], *followed(spans, after[0].span_id)] if len(after) == 1 else []


def test_a_trace_goes_on_from_the_request_to_the_endpoint(
    deployment: Deployment, receiver: TraceReceiver, endpoint: tuple[str, list[str]]
) -> None:
    place, settings = deployment, deployment.settings
    traced = {"KEEPSTREAM_TRACES_URL": receiver.url, "KEEPSTREAM_TRACES_ONE_IN": "1"}
    url, told = endpoint
    declare(place, crm={"url": url, "kinds": ["low-satisfaction"]})
    worker = place.start_worker(**traced)
    deliverer = Deliverer(place, "deliver", **traced)
    collector = CollectorProcess(settings.bootstrap_servers, settings.topic_prefix, place.directory)
    try:
        collector.start(traced)
        place.wait("all are ready", lambda: worker.is_ready() and deliverer.is_ready())
        survey = {"kind": "nps", "score": 2}
        event = {"event": "Survey Responded", "userId": CUSTOMER, "messageId": "m-1"}
        quiet = {"type": "page", "userId": "another", "messageId": "m-2"}
        parent = f"00-{TRACE_ID}-{SPAN_ID}-01"
        for batch, headers in (
            ([{"type": "track", **event, "properties": survey}], {"traceparent": parent}),
            ([quiet], {"traceparent": parent[:-1] + "0"}),
        ):
            assert 200 == collector.post(batch, headers)[0]
        place.wait("its endpoint was told", lambda: bool(told))
        place.wait("nothing waits", place.is_drained)
        # Rows, decisions and lessons are what the log gives, which has headers now.
        place.run("audit")
    finally:
        # What waits to be sent is sent at the end.
        for process in (worker, deliverer):
            assert 0 == process.stop()
        assert 0 == collector.stop()

    ours = [span for span in receiver.spans if span.trace_id == TRACE_ID]
    chain = followed(ours, SPAN_ID)
    assert ["collect", "ingest", "profile"] == [span.name for span in chain]
    # Decisions are delivered to Redis, the trigger also to its endpoint.
    after = [span for span in ours if span.parent_id == chain[-1].span_id]
    assert {"deliver", "post"} == {span.name for span in after}
    [post] = [span for span in after if span.name == "post"]
    assert [f"00-{TRACE_ID}-{post.span_id}-01"] == told
    delivered = [span.attributes["decision"] for span in after if span.name == "deliver"]
    assert post.attributes["decision"] in delivered
    assert {"keepstream-worker", "keepstream-collector", "keepstream-deliver"} == {
        span.service for span in ours
    }
    # Whoever says that a trace is not recorded is not made to record it: it is a new one.
    assert 2 == len({span.trace_id for span in receiver.spans})
    assert CUSTOMER.encode() not in receiver.content
