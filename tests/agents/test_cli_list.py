"""`keepstream customers list`, against what a worker answers."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from typer.testing import CliRunner, Result

from agents.cli import app
from models.customer_counts import Counted
from models.customer_list import CustomerList, Listed, PartitionAsOf, Unanswered
from streams.embedded.ports import free_ports
from tests.house.repository import ROOT

NOON, ONE = "2026-03-01T12:00:00.000Z", "2026-03-01T13:00:00.000Z"
TWO = CustomerList(
    (
        Listed("ada, of \"B\"", 812.5, {"net_365d": 1_250.0, "segment": "champion"}),
        Listed("王", None, {"net_365d": 0.1 + 0.2, "segment": None}),
    ),
    7,
    "bmV4dA",
    (
        PartitionAsOf(0, NOON, 3, 1_200, 4),
        PartitionAsOf(1, ONE, 3, 1_100, 3),
        # Nobody is there yet, and its clock has not begun.
        PartitionAsOf(2, "1970-01-01T00:00:00.000Z", 0, 0, 0),
    ),
    (),
)  # fmt: skip
MISSING = msgspec.structs.replace(
    TWO, unanswered=(Unanswered(2, "no answer from http://w2:8080"),), next=None
)
NOBODY = CustomerList((), 0, None, (PartitionAsOf(0, NOON, 0, 12, 0),), ())


@contextmanager
def worker(
    answer: Any, status: int = 200, token: str | None = None
) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A worker that gives one answer: its address, and the queries that it received."""
    asked: list[dict[str, list[str]]] = []
    body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert "/customers" == urlsplit(self.path).path
            assert token == self.headers["Authorization"]
            asked.append(parse_qs(urlsplit(self.path).query))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listed(*options: str, answer: Any = TWO, status: int = 200) -> Result:
    with worker(answer, status) as (url, _):
        return CliRunner().invoke(app, ["customers", "list", "--url", url, *options])


def test_the_worker_is_asked_what_the_command_was() -> None:
    with worker(TWO) as (url, asked):
        options = ["--where", "orders > 1 and net_365d > 5", "--by", "-silent_days", "--top", "7"]
        more = ["--show", "segment,clv", "--cursor", "x-y_", "--as-of", NOON, "--partial"]
        result = CliRunner().invoke(app, ["customers", "list", "--url", url, *options, *more])
    assert 0 == result.exit_code, result.output
    expected = {
        "where": "orders > 1 and net_365d > 5",
        "by": "-silent_days",
        "top": "7",
        "show": "segment,clv",
        "cursor": "x-y_",
        "as_of": NOON,
        "partial": "true",
    }
    assert [{name: [value] for name, value in expected.items()}] == asked


def test_the_worker_is_where_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with worker(TWO) as (url, asked):
        monkeypatch.setenv("KEEPSTREAM_WEB_ADVERTISED_URL", f"{url}/")
        assert 0 == CliRunner().invoke(app, ["customers", "list"]).exit_code
        monkeypatch.delenv("KEEPSTREAM_WEB_ADVERTISED_URL")
        monkeypatch.setenv("KEEPSTREAM_WEB_PORT", url.rpartition(":")[2])
        for host in ("127.0.0.1", "0.0.0.0"):
            monkeypatch.setenv("KEEPSTREAM_WEB_HOST", host)
            assert 0 == CliRunner().invoke(app, ["customers", "list"]).exit_code
    assert [{"top": ["50"]}] * 3 == asked


def test_the_worker_is_shown_the_token_and_a_wrong_one_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEEPSTREAM_WEB_TOKEN", "0123456789-abcdef")
    with worker(TWO, token="Bearer 0123456789-abcdef") as (url, _):
        assert 0 == CliRunner().invoke(app, ["customers", "list", "--url", url]).exit_code
    with worker({}, 401, token="Bearer 0123456789-abcdef") as (url, _):
        refused = CliRunner().invoke(app, ["customers", "list", "--url", url])
    assert 2 == refused.exit_code
    assert "set KEEPSTREAM_WEB_TOKEN or KEEPSTREAM_WEB_TOKEN_FILE" in refused.output


def test_a_table_says_how_many_match_as_of_when_and_how_to_go_on() -> None:
    lines = [line.split() for line in listed().stdout.splitlines()]
    assert ["customer", "by", "net_365d", "segment"] == lines[0]
    assert ["ada,", "of", '"B"', "812.5", "1250", "champion"] == lines[1]
    assert ["王", "0.3"] == lines[2]
    text = " ".join(" ".join(line) for line in lines[3:])
    assert f"7 of 2,300 customers match, as of {NOON} to {ONE}" in text
    assert text.endswith("more: --cursor bmV4dA")


def test_a_table_rounds_what_csv_has_in_full() -> None:
    facts = {"net_365d": 1_250.004567, "churn_probability": 0.99463938712, "change": -12.345678}
    answer = msgspec.structs.replace(TWO, customers=(Listed("ada", 5490.797326, facts),))
    assert "ada 5490.8 1250 0.9946 -12.35" == " ".join(
        listed(answer=answer).stdout.splitlines()[1].split()
    )
    assert (
        "ada,5490.797326,1250.004567,0.9946393871,-12.345678"
        == (listed("--format", "csv", answer=answer).stdout.splitlines()[1])
    )


def test_without_a_number_there_is_no_column_of_it() -> None:
    by_id = msgspec.structs.replace(TWO, customers=TWO.customers[1:])
    assert "customer net_365d segment" == " ".join(
        listed(answer=by_id).stdout.splitlines()[0].split()
    )


def test_a_list_of_nobody_is_no_error() -> None:
    result = listed(answer=NOBODY)
    assert (0, f"0 of 12 customers match, as of {NOON}\n") == (result.exit_code, result.stdout)


def test_csv_is_the_list_alone() -> None:
    result = listed("--format", "csv")
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert ["userId", "by", "net_365d", "segment"] == rows[0]
    assert [['ada, of "B"', "812.5", "1250", "champion"], ["王", "", "0.3", ""]] == rows[1:]
    assert "more: --cursor bmV4dA\n" == result.stderr


def test_json_is_what_the_worker_says() -> None:
    result = listed("--format", "json")
    assert json.loads(msgspec.json.encode(TWO)) == json.loads(result.stdout)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_partitions_that_are_missing_are_named(form: str) -> None:
    result = listed("--format", form, answer=MISSING, status=503)
    assert 1 == result.exit_code
    assert "partition 2 is missing: no answer from http://w2:8080\n" == result.stderr
    assert "ada" in result.stdout

    will_do = listed("--format", form, "--partial", answer=MISSING)
    assert 0 == will_do.exit_code
    assert (result.stdout, result.stderr) == (will_do.stdout, will_do.stderr)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"message": "by: there is no fact 'clw'; did you mean clv?"}, 400, "did you mean clv?"),
        (b"<html>", 400, "answered with 400"),
        (b"404: Not Found", 404, "answered with 404"),
        (b"<html>", 200, "is no list of customers"),
        (b"{}", 503, "is no list of customers"),
    ],
)
def test_what_is_no_answer_is_one_line_and_exit_code_2(
    answer: Any, status: int, words: str
) -> None:
    result = listed(answer=answer, status=status)
    assert (2, "") == (result.exit_code, result.stdout)
    assert 1 == len(result.stderr.splitlines())
    assert words in result.stderr


def test_a_worker_that_is_not_there_is_one_line_and_exit_code_2() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    result = CliRunner().invoke(app, ["customers", "list", "--url", url])
    assert (2, 1) == (result.exit_code, len(result.stderr.splitlines()))
    assert f"no answer from a worker at {url}" in result.stderr


def test_what_is_no_address_is_refused() -> None:
    result = CliRunner().invoke(app, ["customers", "list", "--url", "worker:8080"])
    assert 2 == result.exit_code
    assert "http://worker-1.internal:8080" in result.stderr


def test_a_list_needs_neither_kafka_nor_redis_nor_faust() -> None:
    program = """
import sys
from agents.cli import app
try:
    app(["customers", "list", "--url", sys.argv[1]])
except SystemExit as done:
    assert not done.code, done.code
heavy = {"faust", "mode", "kafka", "aiokafka", "redis", "prometheus_client", "aiohttp"}
sys.exit(", ".join(heavy & set(sys.modules)) or 0)
"""
    with worker(TWO) as (url, _):
        command = [sys.executable, "-c", program, url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_counts_are_tables_before_the_list() -> None:
    counts = (
        Counted(("segment",), ("lost",), 1_200, 5_000.5),
        Counted(("segment",), (None,), 3, 0.0),
        Counted(("rfm_recency", "rfm_frequency"), (5.0, 1.0), 7, 0.0),
    )
    with worker(msgspec.structs.replace(TWO, counts=counts)) as (url, asked):
        options = ["--count", "segment,rfm_recency*rfm_frequency"]
        result = CliRunner().invoke(app, ["customers", "list", "--url", url, *options])

    assert ["segment,rfm_recency*rfm_frequency"] == asked[0]["count"]
    words = [line.split() for line in result.output.splitlines()]
    assert ["segment", "customers", "total"] in words
    assert ["lost", "1,200", "5,000.50"] in words
    assert ["not", "known", "3", "0.00"] in words
    assert TWO.customers[0].user_id in result.output
    # Without a number there is no total.
    assert ["rfm_recency", "rfm_frequency", "customers"] in words
    assert ["5", "1", "7"] in words


def test_whoever_asks_for_counts_alone_gets_no_list_of_bare_ids() -> None:
    bare = tuple(msgspec.structs.replace(one, by=None, facts={}) for one in TWO.customers)
    counts = (Counted(("region",), (None,), 2, 0.0),)
    answer = msgspec.structs.replace(TWO, counts=counts, customers=bare, next="c-2")
    with worker(answer) as (url, _):
        asked = ["customers", "list", "--url", url, "--count", "region"]
        result = CliRunner().invoke(app, asked)

    assert 0 == result.exit_code
    assert [] == [one.user_id for one in bare if one.user_id in result.output]
    assert "customers match" in result.output
    assert "--cursor" not in result.output
