"""A receiver of traces by OTLP over HTTP, which decodes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class SpanSeen(NamedTuple):
    """A span as it was received; ids in hexadecimal digits."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str | int]


class TraceReceiver:
    """The spans that came to ``url`` so far."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        self.spans: list[SpanSeen] = []
        #: The raw bytes of all requests.
        self.content = b""

    def take(self, content: bytes) -> None:
        self.content += content
        request = ExportTraceServiceRequest.FromString(content)
        for of_resource in request.resource_spans:
            named = {one.key: one.value.string_value for one in of_resource.resource.attributes}
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    self.spans.append(
                        SpanSeen(
                            named["service.name"],
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            {
                                one.key: one.value.string_value or one.value.int_value
                                for one in span.attributes
                            },
                        )
                    )


@contextmanager
def trace_receiver() -> Iterator[TraceReceiver]:
    """A running receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                content = decompress(content)
            found.take(content)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = TraceReceiver(server.server_address[1])
        serving = Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield found
        server.shutdown()
        serving.join()
