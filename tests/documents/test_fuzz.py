"""Real programs answer as docs/openapi.json says, whatever they are asked.

Schemathesis asks a running collector and a running worker what the document allows and what it does
not, and judges statuses, headers and bodies by the document. A failure prints the request as a
command.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.house.repository import ROOT
from tests.kafka.collector import KEY, CollectorProcess, collecting
from tests.kafka.deployment import PATIENT_MS, Deployment, orderly_shop

pytestmark = pytest.mark.kafka

TOKEN = "a-token-of-the-web-port"
#: One address of each way to send is asked on each change; the others are taken in the same way.
OTHERS = r"^/(api/|beacon/|v1/(?!batch$|track$|projects/))"


def fuzz(url: str, directory: Path, *options: str, examples: int) -> None:
    """Ask the operations that ``options`` choose, so many times each besides the edge cases."""
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
    with collecting(kafka.bootstrap_servers, f"{directory.name}.", directory) as running:
        yield running


@pytest.fixture(scope="module")
def worker_url(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where a worker with a few customers is, and a token."""
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
