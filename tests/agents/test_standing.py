"""What `keepstream up` prints and keeps, without a broker."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from agents.standing.collector import StandingCollector
from agents.standing.directory import (
    Addresses,
    AlreadyUp,
    held,
    read_addresses,
    write_addresses,
)
from agents.standing.traffic import history_in_words
from agents.standing.up import DECISIONS_MAX, greeting, list_command, told
from agents.standing.upkeep import ENDS_MAX, KeptUp, NotKeptUp
from config.settings import load_settings
from models.decisions.trigger import Cause, Trigger, encode_decision
from streams.embedded.ports import are_free, free_ports
from streams.embedded.process import ServerProcess
from streams.embedded.valkey import EmbeddedValkey

ADDRESSES = Addresses(
    pid=7,
    bootstrap_servers="127.0.0.1:9092",
    redis_url="redis://127.0.0.1:6379/0",
    worker_urls=["http://127.0.0.1:8080"],
    kafka_ports=[9092, 9093],
)


def test_a_directory_is_held_by_one_alone_and_whoever_comes_second_hears_where_it_is(
    tmp_path: Path,
) -> None:
    with held(tmp_path):
        with pytest.raises(AlreadyUp, match="has yet to start"), held(tmp_path):
            pass
        write_addresses(tmp_path, ADDRESSES)
        with (
            pytest.raises(AlreadyUp, match=r"process 7, with Kafka at 127\.0\.0\.1:9092"),
            held(tmp_path),
        ):
            pass
    with held(tmp_path):
        assert ADDRESSES == read_addresses(tmp_path)


def test_addresses_that_cannot_be_read_are_as_none(tmp_path: Path) -> None:
    (tmp_path / "addresses.json").write_text("{")

    assert read_addresses(tmp_path) is None


@pytest.mark.parametrize(
    ("worker_url", "command"),
    [
        ("http://127.0.0.1:8080", "keepstream customers list"),
        ("http://127.0.0.1:2868", "keepstream customers list --url http://127.0.0.1:2868"),
    ],
)
def test_a_list_is_asked_of_a_worker_that_is_ours(worker_url: str, command: str) -> None:
    assert command == list_command(worker_url)


def ended(process: ServerProcess, code: int) -> None:
    process.start([sys.executable, "-c", f"raise SystemExit({code})"])
    process.wait(30)


def test_what_ends_is_started_again_until_it_ends_too_often(tmp_path: Path) -> None:
    process, said = ServerProcess("worker-1", tmp_path), list[str]()
    kept = KeptUp("worker 1", process, lambda: ended(process, 1))
    ended(process, 1)

    for _ in range(ENDS_MAX):
        kept.tend(said.append)
    with pytest.raises(NotKeptUp, match=r"worker 1 ended with code 1.*worker-1\.log"):
        kept.tend(said.append)

    assert ENDS_MAX == len(said)
    assert all("starting it again" in line for line in said)


def test_what_refuses_is_not_started_again(tmp_path: Path) -> None:
    process, said = ServerProcess("worker-1", tmp_path), list[str]()
    ended(process, 2)

    with pytest.raises(NotKeptUp):
        KeptUp("worker 1", process, lambda: ended(process, 2)).tend(said.append)

    assert [] == said


def trigger(minute: int) -> bytes:
    decision = Trigger(
        id=f"{minute}",
        kind="cart-abandoned",
        rule_version=1,
        user_id="ada",
        timestamp=f"2026-01-01T00:{minute:02}:00.000Z",
        cause=Cause(deadline="cart-idle:1"),
        reasons=(),
        churn=None,
        value_at_stake=0.0,
        gates=(),
        model_version=0,
    )
    return encode_decision(decision)


def test_decisions_are_told_in_the_order_of_time_and_no_more_than_can_be_read() -> None:
    values = [trigger(minute) for minute in reversed(range(DECISIONS_MAX + 3))]

    more, first, *_, last = told([*values, b"not a decision"])

    assert "3 more" in more
    assert first < last


def test_a_store_that_keeps_its_data_has_it_again_on_the_port_that_it_was_given(
    tmp_path: Path,
) -> None:
    ports = free_ports(1)
    for expected in (None, b"there"):
        assert are_free(ports)
        with EmbeddedValkey(tmp_path, ports=ports, keeps_data=True) as store:
            assert not are_free(ports)
            assert list(ports) == list(store.ports)
            with redis.Redis.from_url(store.url) as client:
                assert expected == client.get("key")
                client.set("key", "there")


def test_ports_that_somebody_has_are_not_taken(tmp_path: Path) -> None:
    with (
        EmbeddedValkey(tmp_path / "a") as one,
        EmbeddedValkey(tmp_path / "b", ports=one.ports) as other,
    ):
        assert one.ports != other.ports


def test_the_addresses_of_webhooks_are_told(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text('[webhooks.shop]\nvendor = "shopify"\nsecret_file = "shop.secret"\n')
    settings = load_settings({}, collector_sources=str(path), collector_port=0)
    collector = StandingCollector(tmp_path, {}, settings, None, [])

    assert [f"{collector.url}/webhooks/shop"] == collector.webhook_urls
    # Whoever declares sources has keys of their own.
    assert "" == collector.write_key


@pytest.mark.parametrize(
    ("has_history", "rehearse", "words"),
    [
        (False, False, "An event by hand:"),
        (True, False, "An event by hand, once the simulated shop has reached today:"),
        (
            False,
            True,
            "It rehearses: a new deployment publishes no decisions before `keepstream live`",
        ),
    ],
)
def test_the_greeting_says_what_has_to_be_waited_for(
    tmp_path: Path, *, has_history: bool, rehearse: bool, words: str
) -> None:
    url = "http://127.0.0.1:8080"
    place: Any = SimpleNamespace(settings=load_settings({}))
    crew: Any = SimpleNamespace(kept=[SimpleNamespace(name="worker 1")], urls=[url])
    collector: Any = SimpleNamespace(url=url, write_key="key", webhook_urls=[])
    console: Any = SimpleNamespace(login_url=url)
    said = greeting(
        place,
        crew,
        collector,
        console,
        None,
        tmp_path,
        has_history=has_history,
        rehearse=rehearse,
    )

    assert words in list(said)


def test_the_simulated_shop_says_how_long_its_history_takes_and_why_to_wait() -> None:
    said = history_in_words(66_479, 20.4)

    assert "about 66,479 events in 20 s or more" in said
    assert "they would make its earlier ones too late" in said
