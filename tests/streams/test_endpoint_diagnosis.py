"""The doctor's findings on endpoints."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from streams.endpoint_diagnosis import WAITING_MANY, endpoint_findings
from streams.endpoint_examination import deliverer_standing
from streams.findings import Severity
from streams.vitals import DeploymentFacts, EndpointFact, Store
from streams.webhooks.metrics import WebhookMetrics


def told(*endpoints: EndpointFact, error: str | None = None) -> list[tuple[Severity, str, str]]:
    facts = DeploymentFacts(1, Store("redis://h"), endpoints=endpoints, deliverer_error=error)
    return [(one.level, one.words, one.fix) for one in endpoint_findings(facts)]


@pytest.mark.parametrize(
    ("endpoint", "level", "words", "fix"),
    [
        (EndpointFact("crm", 5, 1, 0), Severity.OK, "crm: nothing was set aside", ""),
        (EndpointFact("crm", 5, 1, 0, is_open=False), Severity.OK, "crm: nothing", ""),
        (EndpointFact("crm", 5, 1, 0, is_open=True), Severity.PROBLEM, "crm fails", "_failures_"),
        (
            EndpointFact("crm", 5, 1, 0, is_open=True, is_disabled=True),
            Severity.PROBLEM,
            "crm answered that it is gone (410)",
            "mend its url",
        ),
        (EndpointFact("crm", 5, 0, 0), Severity.PROBLEM, "nobody delivers to crm: 5", "deliver`"),
        (EndpointFact("crm", WAITING_MANY, 1, 0), Severity.NOTICE, "1,000 records", "concurrency"),
        (EndpointFact("crm", 0, 1, 3), Severity.NOTICE, "3 messages for crm", "undelivered list"),
    ],
)
def test_how_an_endpoint_stands(
    endpoint: EndpointFact, level: Severity, words: str, fix: str
) -> None:
    [(found, said, mends)] = told(endpoint)

    assert level is found
    assert words in said
    assert fix in mends


def test_of_a_deployment_without_endpoints_there_is_nothing_to_say() -> None:
    assert [] == told()


def test_those_that_are_well_are_named_together() -> None:
    [(level, words, _)] = told(EndpointFact("crm", 0, 1, 0), EndpointFact("mail", 2, 2, 0))

    assert (Severity.OK, True) == (level, words.startswith("crm, mail: "))


def test_a_deliverer_that_does_not_answer_is_told_and_is_no_problem_by_itself() -> None:
    [(level, words, fix)] = told(error="refused")

    assert Severity.UNSEEN is level
    assert "(refused)" in words
    assert "--deliverer" in fix


@pytest.fixture
def deliverer() -> Iterator[str]:
    """The address of a server with a deliverer's metrics."""
    metrics = WebhookMetrics(["crm", "mail"])
    metrics.set_standing("crm", is_open=True, is_disabled=False, pending=1, lag=2)

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(metrics.exposition())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_deliverer_says_which_circuits_are_open(deliverer: str) -> None:
    crm = {"is_open": True, "is_disabled": False}
    mail = {"is_open": False, "is_disabled": False}
    assert {"crm": crm, "mail": mail} == deliverer_standing(deliverer)
    with pytest.raises(ValueError, match="no address of a web server"):
        deliverer_standing("file:///etc/hostname")
