"""What real client libraries send to a real collector is on a real broker, exactly once."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy, which
from typing import Any
from urllib.parse import urlencode

import pytest

from config.topics import CLICKSTREAM, DEAD_LETTERS, TRANSACTIONS
from models.catalogue import topic_of
from models.events.times import milliseconds, moment_of
from streams.dead_letters import decode_letter, parcel_of
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.process import ServerProcess, wait_until
from streams.kafka_clients import partition_for
from tests.house.documents import blocks
from tests.kafka.client_libraries import LIBRARIES
from tests.kafka.collector import KEY, SOURCE, CollectorProcess, collecting
from tests.kafka.worker import ROOT

pytestmark = pytest.mark.kafka

CLIENTS = "tests.kafka.client_libraries"
ORDERS = 120
SENT_WITHIN_S = 120


@pytest.fixture(scope="module")
def collector(
    kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    directory = tmp_path_factory.mktemp("collector")
    with collecting(kafka.bootstrap_servers, f"{directory.name}.", directory) as running:
        yield running


def send_with(library: str, collector: CollectorProcess, count: int) -> None:
    subprocess.run(
        [sys.executable, "-m", CLIENTS, library, collector.url, KEY, str(count)],
        cwd=ROOT,
        check=True,
        timeout=SENT_WITHIN_S,
    )


def require_published(library: str, collector: CollectorProcess, *, identifies: int) -> None:
    """Every order that the library was told to send is there once, and so are the identifies."""
    prefix = collector.settings.topic_prefix
    mine = f"{library}-".encode()
    records = [r for r in collector.published() if (r.key or b"").startswith(mine)]
    topics = Counter(record.topic.removeprefix(prefix) for record in records)
    assert {TRANSACTIONS: ORDERS, CLICKSTREAM: identifies} == {CLICKSTREAM: 0, **topics}
    assert {f"{library}-{number}".encode() for number in range(ORDERS)} == {r.key for r in records}
    for record in records:
        event = json.loads(record.value)
        assert record.key.decode() == event["userId"]
        assert record.partition == partition_for(record.key, collector.settings.partitions)
        if event["type"] == "track":
            assert 5.0 == event["properties"]["revenue"]
            assert TRANSACTIONS == topic_of("track", event["event"])
        moment = moment_of(event["timestamp"])
        # On one machine there is no skew, and the broker's time is the record's.
        assert moment is not None
        assert abs(record.timestamp - milliseconds(moment)) < SENT_WITHIN_S * 1_000
    ids = [json.loads(record.value)["messageId"] for record in records]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_library_sends_is_published_once(library: str, collector: CollectorProcess) -> None:
    send_with(library, collector, ORDERS)

    require_published(library, collector, identifies=1)


def installed(name: str, folder: Path) -> Path:
    """A copy of the folder ``name``, with the libraries of its lock file."""
    for path in (ROOT / "tests/kafka" / name).iterdir():
        copy(path, folder)
    npm = which("npm")
    assert npm is not None, "install Node.js 20 or newer with npm"
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def node_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The libraries for Node.js."""
    return installed("node", tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of pages with the libraries for browsers; it differs from the collector's."""
    folder = installed("browser", tmp_path_factory.mktemp("browser"))
    handler = partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("library", "identifies"),
    [("node-segment", 0), ("node-rudderstack", 0), ("node-jitsu", ORDERS)],
)
def test_what_a_library_for_node_sends_is_published_once(
    library: str, identifies: int, collector: CollectorProcess, node_libraries: Path
) -> None:
    command = ["node", "send.mjs", library, collector.url, KEY, str(ORDERS)]
    subprocess.run(command, cwd=node_libraries, check=True, timeout=SENT_WITHIN_S)

    require_published(library, collector, identifies=identifies)


@pytest.mark.nightly
@pytest.mark.parametrize("library", ["segment", "rudderstack"])
def test_what_a_library_in_a_browser_sends_is_published_once(
    library: str, collector: CollectorProcess, pages: str, tmp_path: Path
) -> None:
    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    assert chromium is not None, "install Chromium"
    asked = urlencode({"url": collector.url, "key": KEY})
    browser = ServerProcess("browser", tmp_path)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    address = f"{pages}/{library}.html?{asked}"
    browser.start([chromium, *options, "--remote-debugging-port=0", address], {**os.environ})

    def found() -> list[dict[str, Any]]:
        events = [json.loads(record.value) for record in collector.published()]
        return [event for event in events if event.get("userId") == f"browser-{library}-0"]

    try:
        wait_until(lambda: len(found()) >= 3, "events came", SENT_WITHIN_S, [browser], every_s=1)
    finally:
        browser.kill()
    assert {"identify": 1, "page": 1, "track": 1} == Counter(event["type"] for event in found())


def test_a_bad_event_is_a_dead_letter_that_can_be_mended_by_hand(
    collector: CollectorProcess,
) -> None:
    bad = {"type": "track", "event": "Order Completed", "userId": "bad-1", "properties": {}}
    status, answer = collector.post([bad])

    assert (200, 0, 1) == (status, answer["accepted"], answer["refused"])
    [letter] = [decode_letter(record.value) for record in collector.published([DEAD_LETTERS])]
    assert letter is not None
    assert ("collector", SOURCE, "required_missing") == (letter.step, letter.sender, letter.reason)
    parcel = parcel_of(letter)
    assert (TRANSACTIONS, b"bad-1") == (parcel.topic, parcel.key)
    # Retried twice, it counts once.
    assert json.loads(parcel.value)["messageId"] == json.loads(parcel_of(letter).value)["messageId"]


def test_the_event_by_hand_is_taken_as_the_page_shows_it(collector: CollectorProcess) -> None:
    page = blocks((ROOT / "docs/collector.md").read_text())
    [command] = [b.text for b in page if b.text.startswith("curl ")]
    [answer] = [b.text for b in page if '"accepted"' in b.text]
    command = command.replace("http://127.0.0.1:8088", collector.url)

    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "KEY": KEY}, capture_output=True, check=True
    )
    assert json.loads(answer) == json.loads(done.stdout)


def test_metrics_tell_what_came(collector: CollectorProcess) -> None:
    assert 200 == collector.post([{"type": "page", "userId": "m", "messageId": "m"}])[0]

    status, text = collector.get(collector.web_port, "/metrics")
    assert 200 == status
    assert b'keepstream_collector_events_total{fate="accepted",source="shop"}' in text
    assert 404 == collector.get(collector.port, "/metrics")[0]


def test_what_was_answered_is_published_when_it_stops_under_load(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    taken: set[str] = set()
    refusals: Counter[int] = Counter()

    def send(sender: int, collector: CollectorProcess) -> None:
        for number in range(100_000):
            ids = [f"s{sender}-{number}-{place}" for place in range(20)]
            batch = [{"type": "page", "userId": one, "messageId": one} for one in ids]
            try:
                status, _ = collector.post(batch)
            except (OSError, HTTPException):
                return
            if status != 200:
                refusals[status] += 1
                return
            taken.update(ids)

    with collecting(kafka.bootstrap_servers, f"{tmp_path.name}.", tmp_path) as collector:
        threads = [threading.Thread(target=send, args=(n, collector)) for n in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(taken) > 2_000, "events are taken", 60, [collector.process])
        assert 0 == collector.stop()
        for thread in threads:
            thread.join()
        ids = Counter(json.loads(r.value)["messageId"] for r in collector.published([CLICKSTREAM]))

    assert [] == sorted(taken - ids.keys())
    assert {1} == set(ids.values())
    assert refusals.keys() <= {503}


@pytest.mark.nightly
@pytest.mark.parametrize("library", ["segment", "rudderstack"])
def test_libraries_outlive_an_outage_of_kafka(library: str, tmp_path: Path) -> None:
    """The collector asks them to retry, they do, and each event is there, however often it was
    sent.
    """
    with (
        EmbeddedKafka(tmp_path / "kafka") as kafka,
        collecting(kafka.bootstrap_servers, "", tmp_path) as collector,
    ):
        kafka.kill()
        sending = threading.Thread(target=send_with, args=(library, collector, ORDERS))
        sending.start()
        wait_until(lambda: not collector.is_ready(), "Kafka is missed", 60, [collector.process])
        assert 503 == collector.post([{"type": "page", "userId": "p", "messageId": "p"}])[0]
        kafka.start()
        sending.join()
        wait_until(collector.is_ready, "Kafka is back", 120, [collector.process])
        found = {json.loads(r.value)["userId"] for r in collector.published([TRANSACTIONS])}

    assert {f"{library}-{number}" for number in range(ORDERS)} == found
