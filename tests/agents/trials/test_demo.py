"""The demonstration: its figures add up or it says so, and it cleans up."""

import io
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import msgspec
import pytest
import redis
from kafka import KafkaAdminClient
from msgspec.structs import replace
from rich.console import Console

from agents.trials.demo.closing import replayed_in_words, summary_in_words
from agents.trials.demo.failure import DemoFailed
from agents.trials.demo.performance import LastMove
from agents.trials.demo.positions import is_reached
from agents.trials.demo.present import going_on
from agents.trials.demo.screen import View, screen
from agents.trials.demo.shop import ShopConfig
from agents.trials.demo.summary import (
    DemoSummary,
    model_figures,
    percentile,
    require_writable,
    summarize,
    write_summary,
)
from agents.trials.demo.watch import Figures, parse_metrics
from config.duration import DAY_MS, HOUR_MS
from models.admission import admit
from models.decisions.trigger import ACTION_WITHDRAWN, NEXT_BEST_ACTION, Cause, ReasonCode, Trigger
from models.events.event import Source
from models.events.rejection import Rejected
from models.events.times import iso
from models.learning.churn_models import ChurnScoring, Quality
from models.learning.snapshot import Snapshot, prior_snapshot
from models.parameters import load_parameters
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.metrics import Metrics
from streams.progress import Backlog

ROOT = Path(__file__).parents[3]
NOW_MS = 1_800_000_000_000
SHOP = ShopConfig(seed=5, customers=20, start_ms=NOW_MS - 30 * DAY_MS, days=30, malformed=0.02)
PROCESSES = {"kafka-1", "valkey", "worker-1", "worker-2"}


def figures_of(**fates: int) -> Figures:
    """Figures with as many dead letters as the workers counted."""
    figures = Figures()
    figures.fates = Counter(fates)
    figures.late = {("clickstream", 0, offset) for offset in range(fates.get("late", 0))}
    figures.refused = {("support", 1, offset) for offset in range(fates.get("dead_letter", 0))}
    return figures


def snapshot_of(**auc: float | None) -> Snapshot:
    """A snapshot with two horizons and two kinds."""
    quality = [
        Quality(horizon, kind, scorer, 40, 0.5, value if kind == "all" else 0.5, 0.01)
        for horizon in (28.0, 90.0)
        for kind in ("all", "purchase")
        for scorer, value in auc.items()
    ]
    scoring = ChurnScoring(quality=tuple(quality))
    return prior_snapshot(load_parameters()).replace(scoring, version=3)


FIGURES = {"applied": 90, "duplicate": 5, "late": 2, "dead_letter": 3}


def test_the_figures_are_those_of_the_log_and_of_the_workers() -> None:
    figures = figures_of(**FIGURES)
    figures.triggers["cart-abandoned"] = 7
    figures.latencies_ms = [30, 10, 20, 40]
    figures.snapshot = snapshot_of(champion=0.7, baseline=0.6)

    summary = summarize(100, figures, 4.0)

    assert {
        "events": {
            "published": 100,
            "applied": 90,
            "duplicate": 5,
            "late": 2,
            "deadLettered": 3,
        },
        "triggers": {**dict.fromkeys(figures.triggers, 0), "cart-abandoned": 7},
        "eventsPerSecond": 25.0,
        "latencyMs": {"p50": 20, "p99": 40},
        "model": {
            "auc": 0.7,
            "logLoss": 0.5,
            "calibrationError": 0.01,
            "baselineAuc": 0.6,
            "examples": 40,
            "replayed": None,
        },
    } == msgspec.to_builtins(summary)


@pytest.mark.parametrize(
    "change",
    [
        {"applied": 89},
        {"applied": 91},
        {"duplicate": 6},
        {"applied": 91, "duplicate": 5, "late": 1},
    ],
)
def test_figures_that_do_not_add_up_are_refused(change: dict[str, int]) -> None:
    figures = figures_of(**FIGURES)
    figures.fates.update({fate: count - FIGURES[fate] for fate, count in change.items()})

    with pytest.raises(DemoFailed, match="do not add up: 100 records"):
        summarize(100, figures, 4.0)


@pytest.mark.parametrize(
    ("champion", "examples", "agrees"),
    [(0.7, 40, True), (0.7019, 40, True), (0.6979, 40, False), (0.7, 41, False), (None, 40, False)],
)
def test_live_and_replay_agree_when_as_much_was_learnt_as_well(
    champion: float | None, examples: int, agrees: bool
) -> None:
    live = snapshot_of(champion=0.7, baseline=0.6)
    scoring = snapshot_of(champion=champion, baseline=0.6).of(ChurnScoring)
    quality = tuple(replace(one, examples=examples) for one in scoring.quality)

    model = model_figures(live, live.replace(ChurnScoring(quality=quality)))

    assert model.replayed is not None
    assert (0.7, 40) == (model.auc, model.examples)
    assert (champion, examples) == (model.replayed.auc, model.replayed.examples)
    assert agrees is model.replayed.agrees
    assert ("teaches the same" in replayed_in_words(model.replayed)[1]) is agrees


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100), (0.0, 1)]
)
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert expected == percentile(list(range(100, 0, -1)), share)


def test_a_batch_that_brings_something_about_does_not_stand_still() -> None:
    progress = LastMove(100.0)
    progress.note(10, 3, 101.0)
    progress.note(10, 4, 130.0)
    assert 5.0 == progress.stands_s(135.0)
    progress.note(10, 4, 151.0)
    assert 21.0 == progress.stands_s(151.0)
    progress.note(11, 4, 152.0)
    assert 0.0 == progress.stands_s(152.0)


def test_there_is_no_percentile_of_nothing() -> None:
    assert None is percentile([], 0.5)


def test_what_a_worker_counted_and_owns_is_read_from_its_metrics() -> None:
    metrics = Metrics()
    metrics.count_events({("clickstream", "applied"): 7, ("support", "applied"): 2})
    metrics.count_events({("support", "late"): 1})
    metrics.set_position("customer-events", 3, Backlog(9, 12, 0.0, 0.0))
    metrics.set_position("labelled-examples", 0, Backlog(9, 5, 0.0, 0.0))

    seen = parse_metrics(metrics.exposition().decode())

    assert Counter(applied=9, late=1) == seen.fates
    assert {("customer-events", 3), ("labelled-examples", 0)} == seen.owned
    assert 5 == seen.unlearnt
    assert not seen.is_ready
    metrics.ready.set(1)
    assert parse_metrics(metrics.exposition().decode()).is_ready


def test_positions_are_reached_when_no_partition_is_behind() -> None:
    ends = {("clickstream", 0): 5, ("clickstream", 1): 0}
    assert is_reached({("clickstream", 0): 6}, ends)
    assert not is_reached({("clickstream", 0): 4, ("clickstream", 1): 9}, ends)


def test_in_the_present_events_happen_when_they_are_taken() -> None:
    clock = iter(range(NOW_MS, NOW_MS + 10_000))
    parameters = load_parameters()
    records = going_on(SHOP, lambda: next(clock))
    at_ms = []
    refused = 0
    for number in range(1_000):
        record = next(records)
        source = Source(record.topic, 0, number, record.occurred_at_ms)
        try:
            event = admit(record.value, parameters, message_id=f"m{number}", source=source)
        except Rejected:
            refused += 1
            continue
        assert record.occurred_at_ms == event.occurred_at_ms
        at_ms.append(event.occurred_at_ms)

    # More than one season of such a small shop, the mishaps included.
    assert sorted(at_ms) == at_ms
    assert NOW_MS <= at_ms[0] < at_ms[-1] < NOW_MS + 1_000
    assert 0 < refused < 100


def abandoned(number: int, at_ms: int, *reasons: str) -> Trigger:
    return Trigger(
        id=str(number),
        kind="cart-abandoned",
        rule_version=1,
        user_id=f"c-{number:05}",
        timestamp=iso(at_ms),
        cause=Cause(deadline="cart-idle:1"),
        reasons=tuple(ReasonCode("cart_items", 2.0, words) for words in reasons),
        churn=None,
        value_at_stake=0.0,
        gates=("condition", "cooldown"),
        model_version=0,
    )


def shown_at(width: int, *recent: Trigger, is_terminal: bool) -> str:
    """The screen's content after these were shown, one partition after the other."""
    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=is_terminal,
        width=width,
        height=24,
        color_system=None,
        _environ={},
    )
    figures = figures_of(**FIGURES)
    figures.recent = recent
    view = View(figures, "A simulated shop", 123_456)
    view.sent = 110
    with screen(console) as shown:
        shown.say("Starting")
        shown.show(view)
    return out.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_happens_is_shown_in_words(is_terminal: bool) -> None:
    text = shown_at(120, abandoned(7, NOW_MS, "2 in the cart"), is_terminal=is_terminal)

    assert "A simulated shop" in text
    assert "about 123,456" in text
    assert "cart abandoned" in text
    assert "2 in the cart" in text
    assert is_terminal == ("\x1b" in text)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_customers_and_sentences_are_whole_and_in_the_order_of_time(
    width: int, is_terminal: bool
) -> None:
    reasons = ("2 in the cart", "worth 117.74", "untouched for 1.0 hours", "last seen in the shop")
    # Two partitions, of which one is ahead.
    hours = (1, 5, 9, 2, 6)
    recent = [abandoned(n, NOW_MS + n * HOUR_MS, *reasons) for n in hours]
    text = shown_at(width, *recent, is_terminal=is_terminal)
    # Nor does a terminal of 24 lines cut anything off.
    assert "\u2026" not in text
    assert " ... " not in text
    assert not is_terminal or "all others" in text
    # It is drawn on more than once.
    text = text.rpartition("Latest triggers")[2]

    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()]
    assert not is_terminal or [] == [line for line in lines if len(line) > width]
    told = [line for line in lines if re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert len(told) >= 3
    assert told == sorted(told)
    assert told[-1].split()[2] == "c-00009"
    whole = " ".join(" ".join(lines).split())
    assert len(told) == whole.count("cart abandoned: " + ", ".join(reasons))
    assert "c-00009" in whole


def test_a_summary_is_written_whole_and_only_where_that_is_possible(tmp_path: Path) -> None:
    summary = summarize(100, figures_of(**FIGURES), 4.0)
    path = tmp_path / "new" / "figures.json"
    require_writable(path)
    write_summary(summary, path)
    assert summary == msgspec.json.decode(path.read_bytes(), type=DemoSummary)
    assert [path] == list(path.parent.iterdir())
    with pytest.raises(DemoFailed, match="directory"):
        require_writable(tmp_path)
    with pytest.raises(DemoFailed, match="can't be written"):
        require_writable(path / "below-a-file.json")


def test_the_closing_words_hold_every_figure() -> None:
    figures = figures_of(**FIGURES)
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(summary_in_words(summarize(100, figures, 4.0), SHOP, figures, None))
    text = capture.get()
    assert "simulated" in text
    for words, count in (("published", 100), ("applied", 90), ("duplicate", 5), ("late", 2)):
        assert any(line.split()[:2] == [words, str(count)] for line in text.splitlines()), words


class Demo:
    """`keepstream demo` as a process, in a directory of its own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.data_dir = directory / "data"
        self.err = directory / "stderr"
        environ = {k: v for k, v in os.environ.items() if not k.startswith("KEEPSTREAM_")}
        with (directory / "stdout").open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agents.cli", "demo", *arguments],
                cwd=directory,
                env={
                    **environ,
                    "PYTHONPATH": str(ROOT),
                    "KEEPSTREAM_DATA_DIR": str(self.data_dir),
                    "PYTHONUNBUFFERED": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.out = directory / "stdout"
        self.pids: dict[str, int] = {}

    def wait_until_seen(self, processes: set[str], words: str = "") -> None:
        """Return when these processes run and ``words`` were printed."""
        deadline_s = monotonic() + 60
        while not (processes <= self.pids.keys() and words in self.out.read_text()):
            assert self.process.poll() is None, self.err.read_text()
            assert monotonic() < deadline_s, self.out.read_text()
            self._look()
            sleep(0.05)

    def _look(self) -> None:
        for path in self.data_dir.rglob("*.pid"):
            # Written and removed while this looks.
            try:
                self.pids[path.stem] = int(path.read_text())
            except (OSError, ValueError):
                continue

    def end(self) -> int:
        """Wait for its end, and give its exit code."""
        return self.process.wait(240)

    def left_behind(self) -> list[str]:
        """Processes that still run, and files that are still there."""
        files = [str(path) for path in self.data_dir.rglob("*")] if self.data_dir.exists() else []
        return [name for name, pid in self.pids.items() if is_running(pid)] + files


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    """Demos that are ended in any case; their own guards end their children."""
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.process.kill()
        demo.process.wait()


@pytest.mark.kafka
@pytest.mark.slow
def test_a_small_shop_is_accounted_for(tmp_path: Path, demos: list[Demo]) -> None:
    demo = Demo(tmp_path, "--customers", "100", "--seed", "3", "--summary", "figures.json")
    demos.append(demo)
    demo.wait_until_seen(PROCESSES)
    code = demo.end()

    assert (0, "") == (code, demo.err.read_text())
    summary = msgspec.json.decode((tmp_path / "figures.json").read_bytes(), type=DemoSummary)
    events = summary.events
    assert events.published > 4_000
    assert events.published == (
        events.applied + events.duplicate + events.late + events.dead_lettered
    )
    assert events.duplicate > 0
    assert events.dead_lettered > 0
    rules = {rule.name for rule in load_parameters().triggers.triggers}
    assert {*rules, NEXT_BEST_ACTION, ACTION_WITHDRAWN} == summary.triggers.keys()
    assert summary.triggers["cart-abandoned"] > 50
    assert summary.triggers["purchase-overdue"] > 20
    assert 0 < summary.events_per_second < events.published
    assert summary.latency_ms.p50 is not None
    assert summary.latency_ms.p99 is not None
    assert 0 < summary.latency_ms.p50 <= summary.latency_ms.p99
    model = summary.model
    assert model.replayed is not None
    assert (True, model.examples) == (model.replayed.agrees, model.replayed.examples)
    assert model.examples > 100
    said = demo.out.read_text()
    assert "simulated shop" in said
    assert "the log, replayed, teaches the same" in " ".join(said.split())
    assert f"{events.published:,}" in said
    assert "One of its customers" in said
    assert [] == demo.left_behind()
    assert not demo.data_dir.exists()


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_that_dies_ends_the_demo_with_its_last_words(
    tmp_path: Path, demos: list[Demo]
) -> None:
    demo = Demo(tmp_path, "--customers", "30")
    demos.append(demo)
    demo.wait_until_seen(PROCESSES, " published, ")
    os.kill(demo.pids["worker-2"], signal.SIGKILL)
    code = demo.end()

    assert 1 == code
    assert "worker-2 ended with code -9" in demo.err.read_text()
    assert [] == demo.left_behind()


@pytest.mark.kafka
@pytest.mark.slow
def test_ctrl_c_removes_what_was_put_on_somebody_elses_services(
    tmp_path: Path, demos: list[Demo], kafka: EmbeddedKafka, valkey: EmbeddedValkey
) -> None:
    services = ("--bootstrap-servers", kafka.bootstrap_servers, "--redis-url", valkey.url)
    demo = Demo(tmp_path, "--customers", "30", "--forever", *services)
    demos.append(demo)
    demo.wait_until_seen({"worker-1", "worker-2"}, "profiles in Redis")
    while not any(":customer:" in name for name in demo_traces(kafka, valkey)):
        assert demo.process.poll() is None
        sleep(0.1)
    demo.process.send_signal(signal.SIGINT)
    code = demo.end()

    assert (130, "") == (code, demo.err.read_text())
    assert {"worker-1", "worker-2"} == demo.pids.keys()
    assert [] == demo.left_behind()
    assert [] == demo_traces(kafka, valkey)


def demo_traces(kafka: EmbeddedKafka, valkey: EmbeddedValkey) -> list[str]:
    """The topics, groups and keys of demos."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        names = [*admin.list_topics(), *(group["group_id"] for group in admin.list_groups())]
    finally:
        admin.close()
    with redis.Redis.from_url(valkey.url) as client:
        names += [key.decode() for key in client.scan_iter("demo-*")]
    return [name for name in names if name.startswith("demo-")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--redis-url", "redis://127.0.0.1:1/0"], "no answer from Redis"),
        (["--redis-url", "redis://:canary@127.0.0.1:1/0"], "holds a password"),
        (["--bootstrap-servers", "127.0.0.1:1"], "no Kafka broker at 127.0.0.1:1"),
        (["--summary", "."], "can't be written"),
    ],
)
def test_what_can_not_be_used_is_said_before_anything_is_started(
    tmp_path: Path, demos: list[Demo], arguments: list[str], words: str
) -> None:
    demo = Demo(tmp_path, *arguments)
    demos.append(demo)
    code = demo.end()

    assert code in (1, 2)
    assert words in demo.err.read_text()
    assert "canary" not in demo.err.read_text()
    assert "" == demo.out.read_text()
    assert not demo.data_dir.exists()
