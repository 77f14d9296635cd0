"""Real programs answer as docs/openapi.json says, whatever the request.

Schemathesis sends a running collector and a running worker requests that the document allows and
ones that it does not, and checks statuses, headers and bodies against the document. A failure
prints the request as a command.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.house.repository import ROOT
from tests.kafka.collector import KEY, CollectorProcess, collecting
from tests.kafka.deployment import PATIENT_MS, Deployment, orderly_shop
from tests.kafka.test_vendors import declare, headers_of
from tests.properties.test_webhooks import DOCUMENTED as WEBHOOKS
from tests.properties.test_webhooks import changed

pytestmark = pytest.mark.kafka

TOKEN = "a-token-of-the-web-port"
#: One address of each way to send is asked on each change; the others are taken in the same way.
OTHERS = r"^/(api/|beacon/|v1/(?!batch$|track$|projects/))"


def fuzz(url: str, directory: Path, *options: str, examples: int) -> None:
    """Send requests to the operations that ``options`` select, this many each besides edge
    cases.
    """
    command = [
        Path(sys.executable).with_name("schemathesis"), "run", ROOT / "docs/openapi.json",
        "--url", url, "--phases", "coverage,fuzzing", "--max-examples", str(examples),
        "--checks", "all", "--continue-on-failure", "--seed", "1", "--no-color",
        "--request-timeout", "60", *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=1_200, check=False
    )
    assert 0 == done.returncode, done.stdout[-20_000:] + done.stderr


@pytest.fixture(scope="module")
def collector(
    kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    directory = tmp_path_factory.mktemp("fuzzed-collector")
    variables = {"KEEPSTREAM_COLLECTOR_SOURCES": declare(directory)}
    with collecting(kafka.bootstrap_servers, f"{directory.name}.", directory, variables) as running:
        yield running


@pytest.fixture(scope="module")
def worker_url(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a worker with a few customers, and a token."""
    directory = tmp_path_factory.mktemp("fuzzed-worker")
    with Deployment(
        kafka.bootstrap_servers,
        valkey.url,
        f"{directory.name}.",
        directory,
        session_timeout_ms=PATIENT_MS,
    ) as deployment:
        deployment.publish(orderly_shop(5, days=5))
        worker = deployment.start_worker(KEEPSTREAM_WEB_TOKEN=TOKEN)
        deployment.wait("it is ready", worker.is_ready)
        yield f"http://127.0.0.1:{worker.port}"


def fuzz_collector(
    collector: CollectorProcess, directory: Path, *options: str, examples: int
) -> None:
    # Of a batch with bad events in it the good ones are taken, as a 200 says.
    strict = ("--exclude-checks", "negative_data_rejection")
    chosen = ("--include-tag", "collector", "--auth", f"{KEY}:", *strict, *options)
    fuzz(collector.url, directory, *chosen, examples=examples)
    assert collector.process.pid is not None
    assert "Traceback" not in collector.process.log_since_start()


def fuzz_worker(url: str, directory: Path, *, examples: int) -> None:
    tags = ("--include-tag", "worker", "--include-tag", "process")
    token = ("--header", f"Authorization: Bearer {TOKEN}")
    # A text may be no condition, as a 400 says.
    strict = ("--exclude-checks", "positive_data_acceptance")
    fuzz(url, directory, *tags, *token, *strict, examples=examples)


def test_a_collector_answers_as_its_document_says(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    fuzz_collector(collector, tmp_path, "--exclude-path-regex", OTHERS, examples=5)


def fuzz_webhooks(collector: CollectorProcess, *, examples: int) -> None:
    """Post webhooks that resemble documented ones, and others, signed or not, and check each answer
    against the document. Schemathesis can't sign.
    """
    told = json.loads((ROOT / "docs/openapi.json").read_text())
    answers = told["paths"]["/webhooks/{source}"]["post"]["responses"]
    statuses: set[int] = set()
    with closing(HTTPConnection("127.0.0.1", collector.port, timeout=30)) as client:

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def ask(data: st.DataObject) -> None:
            webhook = data.draw(st.sampled_from(WEBHOOKS))
            body = data.draw(
                st.binary(max_size=200)
                | changed(webhook["body"]).map(lambda value: json.dumps(value).encode())
            )
            name = data.draw(st.sampled_from([webhook["vendor"]] * 9 + ["nobody"]))
            topic = webhook["headers"].get("X-Shopify-Topic", "")
            headers = headers_of(webhook["vendor"], body, f"{topic} {len(body)}")
            is_signed = data.draw(st.integers(0, 9)) > 0
            client.request("POST", f"/webhooks/{name}", body, headers if is_signed else {})
            answer = client.getresponse()
            said = json.loads(answer.read())
            statuses.add(answer.status)
            content = answers[str(answer.status)]["content"]["application/json"]
            Draft202012Validator({**content["schema"], "components": told["components"]}).validate(
                said
            )
            assert (answer.status == 200) == (is_signed and name != "nobody"), said

        ask()
    assert {200, 401, 404} <= statuses
    assert "Traceback" not in collector.process.log_since_start()


def test_whatever_vendors_post_is_answered_as_the_document_says(
    collector: CollectorProcess,
) -> None:
    fuzz_webhooks(collector, examples=100)


@pytest.mark.nightly
def test_whatever_vendors_post_is_answered_as_the_document_says_for_long(
    collector: CollectorProcess,
) -> None:
    fuzz_webhooks(collector, examples=5_000)


@pytest.mark.nightly
def test_a_worker_answers_as_its_document_says(worker_url: str, tmp_path: Path) -> None:
    fuzz_worker(worker_url, tmp_path, examples=10)


@pytest.mark.nightly
@pytest.mark.timeout(1_500)
def test_a_collector_answers_as_its_document_says_for_long(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    fuzz_collector(collector, tmp_path, examples=200)


@pytest.mark.nightly
@pytest.mark.timeout(1_500)
def test_a_worker_answers_as_its_document_says_for_long(worker_url: str, tmp_path: Path) -> None:
    fuzz_worker(worker_url, tmp_path, examples=2_000)
