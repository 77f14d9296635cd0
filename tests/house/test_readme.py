"""What the README and its pages show really happens."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer
from msgspec.structs import replace
from typer.testing import CliRunner

from agents.cli import app
from config.rules import load_triggers
from config.settings import Settings, load_settings
from config.topics import FEEDBACK, RETENTION_TRIGGERS, TRANSACTIONS
from models.admission import admit
from models.customer.contacts import Outcome
from models.customer.holdout import CONTROL, TREATED
from models.decisions.policy import compile_policy
from models.decisions.trigger import (
    ACTION_WITHDRAWN,
    NEXT_BEST_ACTION,
    ActionWithdrawn,
    Cause,
    Decision,
    NextBestAction,
    Trigger,
    decode_decision,
    encode_decision,
)
from models.learning.churn import Source
from models.parameters import load_parameters
from models.replay import Output, Replay
from streams.cloud_events import decision_headers
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.outputs import OUTPUTS
from streams.store_keys import trigger_stream
from streams.topics import create_topics
from tests.house.documents import GUIDE, README, Block, blocks, commands
from tests.house.repository import ROOT
from tests.models.lines import of

TEXT = "\n".join(page.read_text() for page in GUIDE)


def example(language: str, holding: str) -> str:
    """The only block of all pages in ``language`` that contains ``holding``."""
    [text] = [b.text for b in blocks(TEXT) if b.language == language and holding in b.text]
    return text


def shown_trigger() -> Trigger:
    shown = decode_decision(example("json", '"ruleVersion"').encode())
    assert isinstance(shown, Trigger)
    return shown


def shown_action() -> NextBestAction:
    shown = decode_decision(example("json", '"catalogueVersion"').encode())
    assert isinstance(shown, NextBestAction)
    return shown


def fed(replay: Replay, lines: list[str]) -> list[Output]:
    return [
        out for number, line in enumerate(lines, 1) for out in replay.feed(line.encode(), number)
    ]


def replayed(assignments: list[str]) -> list[Output]:
    """The outcome of the README's log with these parameters."""
    replay = Replay(load_parameters(assignments=assignments))
    return fed(replay, example("json", '"watermark"').splitlines())


def test_every_kind_of_decision_is_described() -> None:
    kinds = [*(rule.name for rule in load_parameters().triggers.triggers), NEXT_BEST_ACTION]

    assert [] == [kind for kind in kinds if f"\n| `{kind}` |" not in TEXT]


def test_the_readme_is_what_a_newcomer_can_read() -> None:
    assert len(README.read_text().splitlines()) <= 200


def test_every_source_of_a_score_is_described() -> None:
    assert [] == [source for source in Source if f"\n| `{source}` |" not in TEXT]


def test_the_commands_one_needs_are_there() -> None:
    targets = {line[1] for line in commands(TEXT, "make")}
    ours = {line[1] for line in commands(TEXT, "keepstream")}

    assert {"demo", "setup", "test", "check"} <= targets
    assert {"publish", "customers", "replay", "export", "settings", "parameters"} <= ours
    assert {"topics", "worker", "dead-letters", "doctor", "rules", "schema", "facts"} <= ours


@pytest.mark.parametrize("holding", ['"ruleVersion"', '"catalogueVersion"'])
def test_a_decision_is_shown_as_it_is_written(holding: str) -> None:
    shown = example("json", holding).encode()

    assert shown == encode_decision(decode_decision(shown)) + b"\n"


def test_the_log_brings_the_decisions_that_are_shown() -> None:
    assert [shown_trigger(), shown_action()] == replayed([])


def test_the_outcome_that_is_shown_is_one_of_the_action_that_is_shown() -> None:
    replay = Replay(load_parameters())
    outcome = example("json", '"Action Delivered"')
    fed(replay, [*example("json", '"watermark"').splitlines(), outcome])

    event = admit(outcome.encode(), load_parameters(), message_id="none", topic=FEEDBACK)
    [decided] = of(replay.rows()["ada"]).contacts.latest
    assert ("Action Delivered", Outcome.DELIVERED) == (event.name, decided.outcome)


def test_the_rule_that_is_shown_can_be_added_to_the_shipped_ones(tmp_path: Path) -> None:
    shipped = load_triggers().triggers
    mine = tmp_path / "my-triggers.yaml"
    rules = (ROOT / "config/triggers.yaml").read_text()
    mine.write_text(f"{rules}\n{example('yaml', 'going-quiet')}")
    parameters = load_parameters(assignments=[f"rules.triggers={mine}"])
    compile_policy(parameters)

    names = [rule.name for rule in parameters.triggers.triggers]
    assert [*(rule.name for rule in shipped), "going-quiet"] == names


def steps(heading: str) -> list[Block]:
    """The README's blocks under a heading."""
    return blocks(README.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0])


def done(line: str) -> str:
    """The output of a line of a shell block, run in the working directory."""
    words = shlex.split(line)
    if words[0] != "keepstream":
        return subprocess.run(["sh", "-c", line], check=True, capture_output=True, text=True).stdout
    result = CliRunner().invoke(app, words[1:])
    assert 0 == result.exit_code, result.output
    return result.stdout


def test_a_rule_of_ones_own_is_tried_as_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log, first, said, rule, rest = steps("A rule of your own")
    (tmp_path / "shop.jsonl").write_text(log.text)
    (tmp_path / "big-cart.yaml").write_text(rule.text)

    *_, explained = [done(line) for line in first.text.splitlines()]
    assert explained.startswith(said.text)
    for line in rest.text.splitlines():
        done(line)
    fired = map(decode_decision, (tmp_path / "what-if/triggers.jsonl").read_bytes().splitlines())
    assert ["big-cart", "cart-abandoned"] == [one.kind for one in fired if isinstance(one, Trigger)]


def test_the_log_fires_nothing_with_the_parameter_that_is_shown() -> None:
    [assignments] = [
        line[line.index("--set") + 1 :]
        for line in commands(TEXT, "keepstream")
        if "shop.jsonl" in line and "--set" in line and "what-if" not in line
    ]

    assert [] == replayed(assignments)


class Program:
    """Runs the README's programs on the servers of a test, with their own names."""

    def __init__(self, settings: Settings) -> None:
        self._replaced = {
            '"127.0.0.1:9092"': f'"{settings.bootstrap_servers}"',
            '"redis://127.0.0.1:6379/0"': f'"{settings.redis_url}"',
            f'"{TRANSACTIONS}"': f'"{settings.topic(TRANSACTIONS)}"',
            f'"{RETENTION_TRIGGERS}"': f'"{settings.topic(RETENTION_TRIGGERS)}"',
            '"keepstream:triggers:': f'"{settings.topic("keepstream:triggers:")}',
            "group_id=": f'group_id="{settings.topic_prefix}" + ',
        }

    def run(self, holding: str) -> None:
        program = example("python", holding)
        for shown, ours in self._replaced.items():
            program = program.replace(shown, ours)
        names: dict[str, Any] = {}
        exec(compile(program, str(README), "exec"), names)
        for client in {"producer", "store"} & names.keys():
            names[client].close()


@pytest.fixture
def settings(kafka: EmbeddedKafka, valkey: EmbeddedValkey) -> Settings:
    found = load_settings(
        {}, bootstrap_servers=kafka.bootstrap_servers, redis_url=valkey.url, topic_prefix="readme."
    )
    create_topics(found)
    return found


@pytest.mark.kafka
@pytest.mark.parametrize("program", ["Tracker", "KafkaProducer"])
def test_the_program_that_publishes_publishes_an_order(
    settings: Settings, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSTREAM_BOOTSTRAP_SERVERS", settings.bootstrap_servers)
    monkeypatch.setenv("KEEPSTREAM_TOPIC_PREFIX", settings.topic_prefix)
    Program(settings).run(program)

    consumer = KafkaConsumer(
        settings.topic(TRANSACTIONS),
        bootstrap_servers=settings.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=30_000,
    )
    record = next(consumer)
    consumer.close()
    event = admit(record.value, load_parameters(), message_id="none", topic=TRANSACTIONS)
    assert (b"ada", "Order Completed") == (record.key, event.name)


@pytest.mark.kafka
def test_the_program_that_reads_kafka_reads_a_trigger(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fired = shown_trigger()
    type_name = OUTPUTS[Trigger].type_name
    assert type_name is not None
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    producer.send(
        settings.topic(RETENTION_TRIGGERS),
        encode_decision(fired),
        key=fired.user_id.encode(),
        headers=decision_headers(fired, type_name(fired), None),
    )
    producer.close()

    Program(settings).run("KafkaConsumer")

    kind = "keepstream.retention-trigger.cart-abandoned.v1"
    assert f"{fired.id} {kind} ada 1 in the cart; " in capsys.readouterr().out


def written(store: "redis.Redis", settings: Settings, *decisions: Decision) -> None:
    """Decisions as they are delivered."""
    for one in decisions:
        content = {"id": one.id, "trigger": encode_decision(one)}
        store.xadd(trigger_stream(settings, one.kind), content)


def pending(store: "redis.Redis", settings: Settings) -> list[int]:
    """The entries that the program read and did not acknowledge, by stream."""
    streams = [trigger_stream(settings, kind) for kind in (NEXT_BEST_ACTION, ACTION_WITHDRAWN)]
    return [store.xpending(stream, "marketing")["pending"] for stream in streams]


@pytest.mark.kafka
def test_the_program_that_reads_redis_acts_once_in_time_and_only_where_it_may(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    # The one that is shown is over by now, and would be passed over.
    treated = replace(shown_action(), due_at="2999-01-02T00:00:00.000Z")
    control = replace(treated, id="another", user_id="bob", group=CONTROL)
    by_night = replace(treated, id="n1", user_id="eve", not_before="2999-01-01T00:00:00.000Z")
    refused = replace(by_night, id="n2", user_id="max")
    withdrawal = ActionWithdrawn(
        "w",
        ACTION_WITHDRAWN,
        "max",
        "t",
        Cause("m"),
        "n2",
        "a",
        "email",
        "consent",
        None,
        None,
        "g",
    )
    program = Program(settings)
    assert TREATED == treated.group
    with redis.Redis.from_url(settings.redis_url) as store:
        written(store, settings, shown_action(), treated, control, treated, by_night, refused)
        program.run("xreadgroup")
        assert "cart-coupon by email for ada\n" == capsys.readouterr().out
        assert 2 == store.zcard("mailer:later")

        written(store, settings, withdrawal)
        _let_the_night_end(store)
        program.run("xreadgroup")
        assert "cart-coupon by email for eve\n" == capsys.readouterr().out
        assert 0 == store.zcard("mailer:later")
        assert [0, 0] == pending(store, settings)


def _let_the_night_end(store: "redis.Redis") -> None:
    """Change waiting entries as if the quiet hours had ended."""
    for content in store.zrange("mailer:later", 0, -1):
        store.zrem("mailer:later", content)
        store.zadd("mailer:later", {content.replace(b"2999-01-01", b"2000-01-01"): 0})
