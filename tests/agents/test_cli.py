"""The command line without a broker: replay, parameters, and errors in words."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from agents.cli import app
from agents.cli.errors import FIXES, explanation
from agents.trials.demo.shop import ShopConfig, simulate
from agents.words.parameters import parameters_as_toml
from config.settings import describe
from models.events.gone import Gone, encode_gone
from models.graves import Grave, encode_grave
from models.learning.population import Population
from models.learning.snapshot import Snapshot, encode_snapshot, prior_snapshot
from models.parameters import load_parameters
from models.replay import Replay
from streams.embedded.ports import free_ports
from streams.graves import CustomerGraves
from streams.log_export import header_lines, log_line
from streams.log_records import clock_record, live_record, model_record

ROOT = Path(__file__).parents[2]
START_MS = 1_735_689_600_000
SHOP = ShopConfig(seed=5, customers=60, start_ms=START_MS, days=90, late=0.01, malformed=0.01)
OUTCOME = ["customers.jsonl", "dead-letters.jsonl", "summary.json", "triggers.jsonl"]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KEEPSTREAM_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def shop_lines() -> list[bytes]:
    """A small shop's records, one a line; those that can't be one line are left out."""
    return [record.value for record in simulate(SHOP) if b"\n" not in record.value]


def invoke(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


def replay(directory: Path, lines: list[bytes], *options: str | Path) -> Result:
    log = directory / "log.jsonl"
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    return invoke("replay", log, "--out", directory / "out", *options)


def outcome(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((directory / "out").iterdir())}


def records(content: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in content.splitlines()]


def track(event: str, at: str, message_id: str, **properties: Any) -> bytes:
    return msgspec.json.encode(
        {
            "type": "track",
            "event": event,
            "messageId": message_id,
            "userId": "c1",
            "timestamp": at,
            "properties": properties,
        }
    )


def test_the_same_log_gives_the_same_bytes(tmp_path: Path, shop_lines: list[bytes]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        # Two processes, because what differs between runs may well be the same within one.
        log = tmp_path / name / "log.jsonl"
        log.write_bytes(b"\n".join(shop_lines))
        subprocess.run(
            [sys.executable, "-m", "agents.cli", "replay", log, "--out", tmp_path / name / "out"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": name.encode().hex()},
        )
    first = outcome(tmp_path / "a")
    assert OUTCOME == list(first)
    assert first == outcome(tmp_path / "b")
    summary = msgspec.json.decode(first["summary.json"])
    assert len(shop_lines) == summary["events"]["read"]
    decided = sum(summary["triggers"].values()) + summary["nothing"]
    assert len(records(first["triggers.jsonl"])) == decided > 20
    refused = summary["events"]["deadLettered"] + summary["events"]["late"]
    assert len(records(first["dead-letters.jsonl"])) == refused > 20
    assert len(records(first["customers.jsonl"])) == summary["customers"] > 50


def test_a_shorter_log_gives_the_beginning_of_the_triggers(
    tmp_path: Path, shop_lines: list[bytes]
) -> None:
    assert 0 == replay(tmp_path, shop_lines).exit_code
    whole = outcome(tmp_path)["triggers.jsonl"]
    lengths = set()
    for share in (0.1, 0.4, 0.7, 0.95):
        assert 0 == replay(tmp_path, shop_lines[: int(len(shop_lines) * share)]).exit_code
        part = outcome(tmp_path)["triggers.jsonl"]
        assert whole.startswith(part)
        lengths.add(len(part))
    assert 4 == len(lengths)


@pytest.mark.parametrize("source", ["gzip", "stdin"])
def test_a_log_may_be_compressed_or_come_from_standard_input(
    tmp_path: Path, shop_lines: list[bytes], source: str
) -> None:
    assert 0 == replay(tmp_path, shop_lines).exit_code
    expected = outcome(tmp_path)
    content = b"\n".join(shop_lines)
    if source == "gzip":
        # By its first bytes: the name says nothing.
        (tmp_path / "log").write_bytes(gzip.compress(content))
        result = invoke("replay", tmp_path / "log", "--out", tmp_path / "out")
    else:
        result = invoke("replay", "-", "--out", tmp_path / "out", stdin=content)
    assert 0 == result.exit_code, result.output
    assert expected == outcome(tmp_path)


def test_every_score_line_is_answered_once(tmp_path: Path) -> None:
    lines = [
        track("Product Viewed", "2025-01-01T10:00:00Z", "m1", product_id="p"),
        b'{"type":"score","messageId":"s1","userId":"c1","timestamp":"2025-01-02T00:00:00Z"}',
        b"",
        b'{"type":"score","userId":"c2","timestamp":"2025-01-03T00:00:00Z","horizonDays":7}',
        b'{"type":"score","timestamp":"2025-01-03T00:00:00Z"}',
    ]
    assert 0 == replay(tmp_path, lines).exit_code
    files = outcome(tmp_path)
    scores = records(files["scores.jsonl"])
    # Blank lines are counted, so that a number means the same in every tool.
    assert ["s1", "line-4"] == [score["messageId"] for score in scores]
    assert ["prior", "prior"] == [score["source"] for score in scores]
    assert [28.0, 7.0] == [score["horizonDays"] for score in scores]
    assert [5] == [letter["line"] for letter in records(files["dead-letters.jsonl"])]
    assert 2 == msgspec.json.decode(files["summary.json"])["scores"]


def orders(count: int, *, wrong: int = 0, start: str = "2026-03-01") -> list[bytes]:
    """Orders of one customer, a minute apart; the last ``wrong`` name another currency."""
    return [
        track(
            "Order Completed",
            f"{start}T10:{n:02d}:00Z",
            f"m{n}",
            order_id=f"o{n}",
            revenue=5,
            **({"currency": "XXX"} if n >= count - wrong else {}),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "wrong", "code"), [(50, 10, 0), (50, 11, 3), (49, 40, 0), (59, 59, 3)]
)
def test_a_replay_of_which_much_is_refused_says_so_after_its_outcome_is_written(
    tmp_path: Path, count: int, wrong: int, code: int
) -> None:
    result = replay(tmp_path, orders(count, wrong=wrong))
    assert code == result.exit_code, result.output
    files = outcome(tmp_path)
    assert OUTCOME == list(files)
    [cause] = msgspec.json.decode(files["summary.json"])["refusals"]
    assert (wrong, "$.properties.currency") == (cause["count"], cause["path"])
    loud = [line for line in result.stderr.splitlines() if "are refused" in line]
    assert (code == 3) == bool(loud)
    # Less is told, too, with its fix and where all of it is.
    quiet = [line for line in result.stderr.splitlines() if line.startswith("refused: ")]
    assert (code == 0) == bool(quiet) == ("dead-letters.jsonl" in result.stderr)
    for line in quiet:
        assert line.startswith(f"refused: {wrong} for out_of_range at $.properties.currency")
        assert line.endswith(f" → {cause['fix']}")
    for line in loud:
        assert f"{wrong} of {count} events" in line
        assert f"$.properties.currency: {cause['detail']} → {cause['fix']}" in line


def test_late_events_and_those_of_nobody_are_refused_as_loudly(tmp_path: Path) -> None:
    late = [track("Product Viewed", "2025-01-01T00:00:00Z", f"l{n}") for n in range(20)]
    nobody = [b'{"type":"page","timestamp":"2026-03-01T10:30:00Z"}'] * 20
    result = replay(tmp_path, [*orders(30), *late, *nobody])
    assert 3 == result.exit_code, result.output
    assert "20 of 70 events (29%) are refused: too_late at $.timestamp" in result.stderr
    assert "20 of 70 events (29%) are refused: no_identity at $.userId" in result.stderr


def test_a_name_that_is_nearly_known_is_told_with_its_first_line(tmp_path: Path) -> None:
    slip = track("Order Complete", "2026-03-01T11:00:00Z", "slip", order_id="s", revenue=5)
    result = replay(tmp_path, [*orders(3), slip, slip.replace(b"slip", b"slip2")])
    assert 0 == result.exit_code
    words = "2 events named 'Order Complete': did you mean Order Completed? (first in line 4)"
    assert words in result.stderr
    [found] = msgspec.json.decode(outcome(tmp_path)["summary.json"])["misnamed"]
    assert {"name": "Order Complete", "meant": "Order Completed", "count": 2, "firstLine": 4} == (
        found
    )


def test_one_row_from_the_future_costs_nobody_else_anything(tmp_path: Path) -> None:
    """Not even where its arrival is not known: no event is read before it happened."""
    future = track("Product Viewed", "2938-05-01T00:00:00Z", "f", product_id="p")
    assert 0 == replay(tmp_path, orders(5)).exit_code
    expected = outcome(tmp_path)["customers.jsonl"]
    assert 0 == replay(tmp_path, [future, *orders(5)]).exit_code
    assert expected == outcome(tmp_path)["customers.jsonl"]
    [letter] = records(outcome(tmp_path)["dead-letters.jsonl"])
    assert ("out_of_range", "$.timestamp", "later than now") == (
        letter["reason"],
        letter["path"],
        letter["detail"],
    )
    # It costs nobody anything where nothing is late for a hundred years.
    near = future.replace(b"2938", b"2060")
    assert 0 == replay(tmp_path, [near, *orders(5)], "--set", "time.lateness=36500d").exit_code
    assert b"" == outcome(tmp_path)["dead-letters.jsonl"]


def test_an_empty_log_is_said_to_be_empty(tmp_path: Path) -> None:
    result = replay(tmp_path, [b"", b"  "])
    assert 0 == result.exit_code
    assert f"{tmp_path / 'log.jsonl'} is empty" in result.stdout


def test_what_is_no_log_is_an_error_in_words(tmp_path: Path) -> None:
    result = replay(tmp_path, [b"id,day,amount", *[b"7,2026-03-01,5"] * 9])
    assert 2 == result.exit_code
    assert "looks like CSV" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_log_of_the_future_is_a_simulation_and_this_is_said(tmp_path: Path) -> None:
    result = replay(tmp_path, orders(60, start="2938-05-01"))
    assert 0 == result.exit_code, result.output
    assert "simulation" in result.stderr
    assert 60 == msgspec.json.decode(outcome(tmp_path)["summary.json"])["events"]["applied"]


def test_scores_of_an_earlier_replay_do_not_stay(tmp_path: Path) -> None:
    score = b'{"type":"score","userId":"c1","timestamp":"2025-01-02T00:00:00Z"}'
    assert 0 == replay(tmp_path, [score]).exit_code
    assert "scores.jsonl" in outcome(tmp_path)
    assert 0 == replay(tmp_path, []).exit_code
    assert OUTCOME == list(outcome(tmp_path))


def test_a_replay_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    view = track("Product Viewed", "2025-01-01T10:00:00Z", "m1", product_id="p")
    assert 0 == replay(tmp_path, [view]).exit_code
    before = outcome(tmp_path)
    model = b'{"type":"model","version":3,"sha256":"00"}'
    result = replay(tmp_path, [view, view, model])
    assert 2 == result.exit_code
    assert "--models" in result.stderr
    assert before == outcome(tmp_path)


def test_a_parameter_changes_what_would_have_fired(tmp_path: Path) -> None:
    lines = [
        track("Product Added", "2025-01-01T10:00:00Z", "m1", product_id="p", price=10, quantity=1),
        b'{"type":"watermark","timestamp":"2025-01-01T12:30:00Z"}',
    ]
    for after, fired in (("2h", ["cart-abandoned", "next-best-action"]), ("3h", [])):
        assert 0 == replay(tmp_path, lines, "--set", f"cart.idle={after}").exit_code
        decisions = records(outcome(tmp_path)["triggers.jsonl"])
        assert fired == [decision["kind"] for decision in decisions]


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("time.disordr=60s", "did you mean time.disorder?"),
        ("time.disorder=soon", "expected a duration"),
        ("time.disorder", "write it as name=value"),
    ],
)
def test_an_unknown_or_unusable_parameter_is_refused(
    tmp_path: Path, assignment: str, words: str
) -> None:
    result = replay(tmp_path, [], "--set", assignment)
    assert 2 == result.exit_code
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def model() -> tuple[Snapshot, bytes, str]:
    snapshot = prior_snapshot(load_parameters())
    learnt = msgspec.structs.replace(snapshot.of(Population), gap_days=5.0)
    snapshot = snapshot.replace(learnt, version=1)
    return snapshot, *encode_snapshot(snapshot)


def adopting(digest: str) -> list[bytes]:
    def placed(offset: int, line: bytes) -> bytes:
        placed_line = log_line(line, 2, offset)
        assert placed_line is not None
        return placed_line

    order = track("Order Completed", "2025-01-01T10:00:00Z", "m1", order_id="o", revenue=20)
    # 2025-02-01T00:00:00Z
    clock = clock_record(1_738_368_000_000)
    adopt = model_record(1, digest)
    records = (live_record(1_735_689_600_000), adopt, order, clock)
    return [*header_lines(2), *map(placed, range(len(records)), records)]


def test_a_log_s_models_come_from_their_folder(
    tmp_path: Path, model: tuple[Snapshot, bytes, str]
) -> None:
    _, content, digest = model
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "1.json").write_bytes(content)
    result = replay(tmp_path, adopting(digest), "--models", tmp_path / "models")
    assert 0 == result.exit_code, result.output
    trigger, action = records(outcome(tmp_path)["triggers.jsonl"])
    assert ("next-best-action", "care-note") == (action["kind"], action["action"])
    assert ("purchase-overdue", 1) == (trigger["kind"], trigger["modelVersion"])
    # The 90th percentile of gaps about the snapshot's five days; by the shipped thirty, in May.
    assert "2025-01-22T17:31:39.883Z" == trigger["timestamp"]


@pytest.mark.parametrize("fault", ["missing", "altered", "another version"])
def test_a_model_that_is_not_the_announced_one_is_refused(
    tmp_path: Path, model: tuple[Snapshot, bytes, str], fault: str
) -> None:
    snapshot, content, digest = model
    (tmp_path / "models").mkdir()
    if fault == "altered":
        (tmp_path / "models" / "1.json").write_bytes(content.replace(b"5.0", b"6.0"))
    elif fault == "another version":
        content, digest = encode_snapshot(snapshot.replace(version=2))
        (tmp_path / "models" / "1.json").write_bytes(content)
    result = replay(tmp_path, adopting(digest), "--models", tmp_path / "models")
    assert 2 == result.exit_code
    assert "1.json" in result.stderr
    assert "keepstream export --models" in result.stderr
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize(("salt", "fates"), [("pepper", (1, 1)), ("another", (2, 0))])
def test_nobody_comes_back_in_a_replay_of_what_an_archive_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, salt: str, fates: tuple[int, int]
) -> None:
    """Erased customers are only known by a fingerprint there, which another salt does not match."""
    graves = CustomerGraves("pepper")
    grave = Grave(at_ms=1_772_409_600_000, applied=0, erased=0)
    gone = Gone(4, fingerprint=graves.fingerprints.of("c1"), grave=encode_grave(grave))
    later = [
        track("Order Completed", f"2026-03-0{n}T00:00:00Z", f"m{n}", order_id=f"o{n}", revenue=9)
        for n in (1, 3)
    ]
    monkeypatch.setenv("KEEPSTREAM_ERASURE_SALT", salt)
    told = [log_line(one, 0, at) for at, one in enumerate([encode_gone(gone), *later])]
    result = replay(tmp_path, [*header_lines(0), *(one for one in told if one is not None)])
    assert 0 == result.exit_code, result.stderr
    events = msgspec.json.decode((tmp_path / "out" / "summary.json").read_bytes())["events"]
    assert fates == (events["applied"], events["erased"])


@pytest.mark.parametrize("is_placed", [True, False])
def test_the_header_of_an_export_keeps_the_clock_and_the_models_to_its_records(
    is_placed: bool,
) -> None:
    """Without it a log moves its own clock and draws its own models."""
    parameters = load_parameters(assignments=["learning.minimum_examples=1"])
    events = [
        track("Order Completed", f"2025-0{n}-01T00:00:00Z", f"m{n}", order_id=f"o{n}", revenue=9)
        for n in range(1, 9)
    ]
    plain = Replay(parameters)
    for number, line in enumerate(events, 1):
        plain.feed(line, number)
    assert plain.summary().model_version > 0

    exported = Replay(parameters)
    lines = [log_line(line, 0, at) if is_placed else line for at, line in enumerate(events)]
    for number, placed in enumerate([*header_lines(0), *lines], 1):
        assert placed is not None
        exported.feed(placed, number)
    summary = exported.summary()
    assert (0, None) == (summary.model_version, summary.clock)
    assert len(events) == summary.events["applied"]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b'{"a":1}', b'{"a":1,"position":{"partition":3,"offset":7}}'),
        (b"{}", b'{"position":{"partition":3,"offset":7}}'),
        (b' {"a":\n1\r\n}\n', b'{"a": 1,"position":{"partition":3,"offset":7}}'),
        (b'{"a":"}\\n"}', b'{"a":"}\\n","position":{"partition":3,"offset":7}}'),
        (b"[1]", None),
        (b"garbage", None),
        (b"{", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_record_becomes_one_line_that_says_where_it_stood(
    value: bytes | None, line: bytes | None
) -> None:
    assert line == log_line(value, 3, 7)


def test_a_position_of_its_own_does_not_mislead() -> None:
    line = log_line(b'{"position":{"partition":9,"offset":9}}', 3, 7)
    assert line is not None
    assert {"partition": 3, "offset": 7} == msgspec.json.decode(line)["position"]


def test_publish_can_check_without_a_broker(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = orders(40, wrong=11)
    slip = track("Order Complete", "2026-03-01T11:00:00Z", "s", order_id="s", revenue=5)
    file.write_bytes(b"\n".join([slip, b"{", *lines, *orders(8)]))
    result = invoke("publish", "--check", file, "--bootstrap-servers", "localhost:1")
    assert 1 == result.exit_code
    assert "38 of 50 lines are sound; nothing was sent" in result.stdout
    assert "line 2: bad_json at $" in result.stderr
    assert "line 32: out_of_range at $.properties.currency" in result.stderr
    assert "11 of 50 events (22%) are refused: out_of_range at $.properties.c" in result.stderr
    slips = "1 event named 'Order Complete': did you mean Order Completed? (first in line 1)"
    assert slips in result.stderr
    assert [file] == list(tmp_path.iterdir())

    file.write_bytes(b"\n".join(lines))
    mended = invoke("publish", "--check", file, "--set", "money.currency=XXX")
    assert (0, "") == (mended.exit_code, mended.stderr)


def test_a_check_tells_of_events_that_this_order_makes_too_late(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    # time.lateness is 72 hours: the third is just in time, the others after it are not.
    hours = (
        "04T10:00:00.000",
        "05T10:00:00.000",
        "02T10:00:00.000",
        "02T09:00:00.000",
        "01T10:00:00",
    )
    file.write_bytes(
        b"\n".join(track("Signed In", f"2026-03-{hour}Z", f"m-{hour}") for hour in hours)
    )
    result = invoke("publish", "--check", file)

    assert (0, "5 of 5 lines are sound; nothing was sent\n") == (result.exit_code, result.stdout)
    late = "2 events stand after one that is later by more than time.lateness (first: line 4): "
    assert result.stderr.startswith(late)
    assert "publish the file, which puts it in order" in result.stderr
    longer = invoke("publish", "--check", file, "--set", "time.lateness=96h")
    assert (0, "") == (longer.exit_code, longer.stderr)
    replayed = invoke("replay", file, "--out", tmp_path / "out")
    assert "2 late" in replayed.stdout


def test_several_files_are_checked_each_by_its_name(tmp_path: Path) -> None:
    bad, empty = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    bad.write_bytes(b"\n".join(orders(3, wrong=1)))
    empty.write_bytes(b"\n")
    other = tmp_path / "c.jsonl"
    other.write_bytes(b"{")
    result = invoke("publish", "--check", bad, empty, other)
    assert 1 == result.exit_code
    assert f"{bad}, line 3: out_of_range" in result.stderr
    assert f"{other}, line 1: bad_json" in result.stderr
    assert f"{empty} is empty" in result.stderr
    assert "the others go out, and these to FILE.refused.jsonl" in result.stderr


def test_a_check_says_where_refused_lines_would_go(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\n".join(orders(3, wrong=1)))
    assert f"these to {file}.refused.jsonl" in invoke("publish", "--check", file).stderr


def test_a_place_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log, out = tmp_path / "log.jsonl", tmp_path / "file" / "below"
    log.write_bytes(b"\n".join(orders(1, wrong=0)))
    for result in (invoke("replay", log, "--out", out), invoke("init", out)):
        assert 2 == result.exit_code
        assert result.stderr.startswith(f"{out}: Not a directory: a part of the path is a file")


def test_init_into_a_file_asks_for_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = invoke("init", file)
    assert 2 == result.exit_code
    assert "that is a file, so name another directory" in result.stderr


@pytest.mark.parametrize("number", sorted(FIXES))
def test_errors_of_the_system_name_a_fix_only_with_the_file(number: int) -> None:
    assert (explanation(OSError(number, "no", "x")) or "").startswith(f"x: no: {FIXES[number]}")
    assert "no" == explanation(OSError(number, "no"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-", "x.jsonl"), "- is standard input"),
        (("missing.jsonl",), "missing.jsonl: can't read it (No such file or directory)"),
        ((".",), "name the files in it"),
    ],
)
def test_what_cannot_be_published_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("publish", "--check", *arguments)
    assert 2 == result.exit_code
    assert words in result.stderr
    assert 1 == len(result.stderr.splitlines())


def test_printed_parameters_are_a_file_that_can_be_used(tmp_path: Path) -> None:
    changes = ["time.disorder=90s", "churn.horizon_days=28,90", "engagement.weights.page=2.5"]
    options = [part for change in changes for part in ("--set", change)]
    result = invoke("parameters", *options)
    assert 0 == result.exit_code, result.output
    file = tmp_path / "mine.toml"
    file.write_text(result.stdout, encoding="utf-8")
    changed = load_parameters(assignments=changes)
    assert changed == load_parameters(file)
    assert changed != load_parameters()


@pytest.mark.parametrize("ms", [1, 1_500, 90_000, 5_400_000, 90_000_000, 86_400_000])
def test_a_duration_survives_being_printed(tmp_path: Path, ms: int) -> None:
    changed = load_parameters(assignments=[f"time.disorder={ms}ms"])
    file = tmp_path / "mine.toml"
    file.write_text(parameters_as_toml(changed), encoding="utf-8")
    assert ms == load_parameters(file).time.disorder


def test_settings_show_what_is_in_force_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("KEEPSTREAM_PARTITIONS", "12")
    monkeypatch.setenv("KEEPSTREAM_REDIS_URL", "redis://:canary@store:6379/0")
    result = invoke("settings")
    assert 0 == result.exit_code, result.output
    lines = result.stdout.splitlines()
    assert "KEEPSTREAM_PARTITIONS  12" in lines
    assert "KEEPSTREAM_REDIS_URL  redis://:***@store:6379/0" in lines
    assert "canary" not in result.output
    # Nothing of it is cut off.
    words = " ".join(result.stdout.split())
    assert all(" ".join(one.description.split()) in words for one in describe())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "/no/such/log", "--out", "OUT"], "/no/such/log: can't read it"),
        (["publish", "FILE", "--bootstrap-servers", "CLOSED"], "KEEPSTREAM_BOOTSTRAP_SERVERS"),
        (["topics", "check", "--bootstrap-servers", "CLOSED"], "KEEPSTREAM_BOOTSTRAP_SERVERS"),
        (["topics", "create", "--bootstrap-servers", "nonsense"], "127.0.0.1:9092"),
        (["export", "--out", "OUT/log", "--bootstrap-servers", "CLOSED"], "start the broker"),
        (["dead-letters", "list", "--bootstrap-servers", "CLOSED"], "start the broker"),
        (["dead-letters", "retry", "--bootstrap-servers", "CLOSED"], "start the broker"),
        (["customers", "show", "c1", "--redis-url", "redis://CLOSED/0"], "KEEPSTREAM_REDIS_URL"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    (tmp_path / "file").write_bytes(b"{}")
    named = {"CLOSED": closed, "OUT": str(tmp_path / "out"), "FILE": str(tmp_path / "file")}
    for name, value in named.items():
        arguments = [argument.replace(name, value) for argument in arguments]
    if "nonsense" in arguments:
        words = "KEEPSTREAM_BOOTSTRAP_SERVERS"
    result = invoke(*arguments)
    assert 2 == result.exit_code, result.output
    assert 1 == len(result.stderr.splitlines()), result.stderr
    assert words in result.stderr
    assert not list(tmp_path.glob("**/.*")), "something unfinished was left behind"


def test_an_unknown_setting_is_refused_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSTREAM_PARTITION", "3")
    for arguments in (["settings"], ["replay", "-", "--out", str(tmp_path)], ["topics", "check"]):
        result = invoke(*arguments)
        assert 2 == result.exit_code
        assert "KEEPSTREAM_PARTITIONS" in result.stderr


BROKERS = {"faust", "mode", "kafka", "aiokafka", "redis", "prometheus_client", "aiohttp"}
NUMBERS = {"scipy", "river"}
ENGINE = {"models.customer", "models.decisions", "models.learning", "numpy"}
#: Runs each command in one process, and says which modules it should not have imported.
IMPORTING = """
import json, sys
from agents.cli import app
commands, unwanted = map(json.loads, sys.argv[1:])
for arguments in commands:
    try:
        app(arguments)
    except SystemExit as done:
        assert not done.code, (arguments, done.code)
sys.exit(", ".join(sorted(set(unwanted) & set(sys.modules))) or 0)
"""


def help_of_all(group: Any, *names: str) -> Iterator[list[str]]:
    """The command line that prints the help of each command."""
    yield [*names, "--help"]
    for name, command in getattr(group, "commands", {}).items():
        yield from help_of_all(command, *names, name)


@pytest.mark.parametrize(
    ("commands", "unwanted"),
    [
        ([*help_of_all(typer.main.get_command(app))], {"asyncio", "rich"} | ENGINE | NUMBERS),
        (
            [["settings"], ["console", "token", "ann"], ["collector", "key", "web"]],
            ENGINE | NUMBERS,
        ),
        ([["init", "mine"], ["rules", "check"], ["facts"], ["schema"]], NUMBERS),
        ([["replay", "log", "--out", "out"]], set()),
    ],
    ids=["help", "settings-and-secrets", "rules", "replay"],
)
def test_a_command_imports_nothing_that_takes_long_and_it_does_not_need(
    commands: list[list[str]], unwanted: set[str], tmp_path: Path
) -> None:
    """It starts at once, and runs where the others cannot be imported."""
    (tmp_path / "log").write_bytes(b"")
    asked = json.dumps(commands), json.dumps(sorted(unwanted | BROKERS))
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, *asked],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr


def test_every_command_explains_itself_with_an_example() -> None:
    commands = [
        *(["demo"], ["worker"], ["publish"], ["export"], ["replay"], ["settings"], ["parameters"]),
        *(["topics", "create"], ["topics", "check"], ["customers", "show"]),
        *(["dead-letters", "list"], ["dead-letters", "retry"]),
    ]
    for command in commands:
        result = invoke(*command, "--help")
        assert 0 == result.exit_code
        assert f"keepstream {' '.join(command)}" in " ".join(result.stdout.split())
        assert "Example:" in result.stdout


def test_a_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Replay, "feed", broken)
    result = replay(tmp_path, [b"{}"])
    assert isinstance(result.exception, KeyError)
