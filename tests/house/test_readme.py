"""What the README shows is what happens."""

from typing import Any

import msgspec
import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer

from config.parameters import load_parameters
from config.settings import Settings, load_settings
from config.topics import RETENTION_TRIGGERS, TRANSACTIONS
from models.decisions.trigger import Kind, Trigger, encode_trigger
from models.events.admission import admit
from models.replay import Output, Replay
from streams.cloud_events import trigger_headers
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.redis_views import trigger_stream
from streams.topics import create_topics
from tests.house.documents import README, blocks, commands

TEXT = README.read_text()


def example(language: str, holding: str) -> str:
    """The README's one block in ``language`` that has ``holding`` in it."""
    [text] = [b.text for b in blocks(TEXT) if b.language == language and holding in b.text]
    return text


def shown_trigger() -> Trigger:
    return msgspec.json.decode(example("json", '"ruleVersion"'), type=Trigger)


def replayed(assignments: list[str]) -> list[Output]:
    """What the README's log brings about under these parameters."""
    replay = Replay(load_parameters(assignments=assignments))
    lines = example("json", '"watermark"').splitlines()
    return [
        out for number, line in enumerate(lines, 1) for out in replay.feed(line.encode(), number)
    ]


def test_every_kind_of_trigger_is_described() -> None:
    assert [] == [kind for kind in Kind if f"\n| `{kind}` |" not in TEXT]


def test_the_commands_one_needs_are_there() -> None:
    targets = {line[1] for line in commands(TEXT, "make")}
    ours = {line[1] for line in commands(TEXT, "keepstream")}

    assert {"demo", "setup", "test", "check"} <= targets
    assert {"publish", "customers", "replay", "export", "settings", "parameters"} <= ours
    assert {"topics", "worker", "dead-letters"} <= ours


def test_the_log_fires_the_trigger_that_is_shown() -> None:
    assert [shown_trigger()] == replayed([])
    assert example("json", '"ruleVersion"').encode() == encode_trigger(shown_trigger()) + b"\n"


def test_the_log_fires_nothing_with_the_parameter_that_is_shown() -> None:
    [assignments] = [
        line[line.index("--set") + 1 :]
        for line in commands(TEXT, "keepstream")
        if "shop.jsonl" in line and "--set" in line
    ]

    assert [] == replayed(assignments)


class Program:
    """Runs the README's programs on the servers of a test, under names of their own."""

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
def test_the_program_that_publishes_publishes_an_order(settings: Settings) -> None:
    Program(settings).run("KafkaProducer")

    consumer = KafkaConsumer(
        settings.topic(TRANSACTIONS),
        bootstrap_servers=settings.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=30_000,
    )
    record = next(consumer)
    consumer.close()
    event = admit(record.value, load_parameters(), message_id="none", topic=TRANSACTIONS)
    assert (b"ada", "Order Completed", "web") == (record.key, event.name, event.channel)


@pytest.mark.kafka
def test_the_program_that_reads_kafka_reads_a_trigger(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fired = shown_trigger()
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    producer.send(
        settings.topic(RETENTION_TRIGGERS),
        encode_trigger(fired),
        key=fired.user_id.encode(),
        headers=trigger_headers(fired, None),
    )
    producer.close()

    Program(settings).run("KafkaConsumer")

    kind = "keepstream.retention-trigger.cart-abandoned.v1"
    assert f"{fired.id} {kind} ada 1 in the cart; " in capsys.readouterr().out


@pytest.mark.kafka
def test_the_program_that_reads_redis_acts_once_on_what_is_there_twice(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fired = shown_trigger()
    stream = trigger_stream(settings, fired.kind)
    with redis.Redis.from_url(settings.redis_url) as store:
        for _ in range(2):
            store.xadd(stream, {"id": fired.id, "trigger": encode_trigger(fired)})

        Program(settings).run("xreadgroup")

        assert "ada 1 in the cart\n" == capsys.readouterr().out
        assert 0 == store.xpending(stream, "marketing")["pending"]
