"""The internals of faust, mode and aiokafka that record batches depend on are unchanged.

When this fails after an upgrade, read what has changed in the function that it names, check whether
`streams/batch_consumer.py` and `streams/faust_app.py` still work as they say, run the tests of
batch delivery, and then update the fingerprint here.
"""

import asyncio
import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher as ClientFetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from faust import Stream
from faust._cython.streams import StreamIterator
from faust.agents import Agent
from faust.app import App, BootStrategy
from faust.app.base import BootStrategy as BaseBootStrategy
from faust.events import Event
from faust.tables.recovery import Recovery
from faust.transport.conductor import Conductor
from faust.transport.consumer import Consumer, Fetcher, ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    ConsumerRebalanceListener,
    Transport,
)
from faust.transport.drivers.aiokafka import Consumer as DriverConsumer
from faust.types.tuples import TP, ConsumerMessage, Message
from mode.services import Service
from mode.supervisors import CrashingSupervisor
from mode.threads import QueueServiceThread, ServiceThread
from mode.utils.queues import FlowControlEvent

from streams.batch_consumer import BatchConsumer, LoopBoundConsumerThread
from streams.faust_app import EndlessAgent, KeepstreamApp, ManualAckStream, new_faust_app
from streams.fetch_pace import HELD_MS

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


def fingerprint(function: Callable[..., Any]) -> str:
    source = inspect.getsource(inspect.unwrap(function))
    return hashlib.sha256(source.encode()).hexdigest()[:12]


@pytest.mark.parametrize(("package", "expected"), VERSIONS.items())
def test_versions_are_the_ones_that_were_read(package: str, expected: str) -> None:
    assert expected == version(package), (
        f"{package} has changed. Read the docstring of {__name__} before pinning the new version."
    )


# What each is relied on for, beside its fingerprint.
FUNCTIONS: dict[Callable[..., Any], tuple[str, str]] = {
    Fetcher._fetcher.fun: (
        "68f894f0b577",
        "running _drain_messages, and taking a cancel during a rebalance for a crash",
    ),
    Fetcher.on_stop: ("21f3bae9b455", "stopping _drain_messages by cancelling it"),
    Consumer._drain_messages: (
        "44a2500309e8",
        "being the whole body of the fetcher; ours replaces it",
    ),
    Consumer.getmany: ("4b168d84882a", "not being called by anybody but _drain_messages"),
    Consumer._wait_next_records: ("6218e1969a63", "not being called by anybody but getmany"),
    Consumer.ack: (
        "5fcf41cf4515",
        "being the only place that event.ack() reaches; ours replaces it",
    ),
    Consumer.commit: ("a354437baaa0", "letting one commit run at a time, and calling force_commit"),
    Consumer.force_commit: ("cc094614d22c", "being the only way to commit; ours replaces it"),
    Consumer._commit_tps: ("a20e230b05ae", "not being called by anybody but force_commit"),
    Consumer.wait_empty: (
        "e4662fe24f09",
        "being what a rebalance and a stop wait for; ours replaces it",
    ),
    Consumer.on_stop: ("45b1d2210ce2", "committing what is left"),
    Consumer.on_partitions_revoked: ("d04b7ae72c6f", "draining before it returns"),
    Consumer.on_partitions_assigned: ("29ce96596f05", "handing on the assignment"),
    Consumer.perform_seek: (
        "0e8c130ff4b0",
        "being called before the flow resumes; ours replaces it",
    ),
    Consumer._commit_handler.fun: ("4e5da5df0730", "committing at the commit interval"),
    Consumer._commit_livelock_detector.fun: (
        "af196ff46fd4",
        "calling verify_all_partitions_active",
    ),
    Consumer.pause_partitions: ("27a1c94bdacd", "keeping _paused_partitions"),
    Consumer.resume_partitions: ("afe6b7c02a41", "keeping _paused_partitions"),
    Consumer.stop_flow: ("cf7e875a2b0d", "keeping flow_active"),
    Consumer.resume_flow: ("db59630f25b5", "keeping flow_active"),
    ThreadDelegateConsumer.__init__: ("7072ae80eac1", "asking _new_consumer_thread for the client"),
    ThreadDelegateConsumer._commit: ("a20eec84e4b2", "going to the client's commit"),
    AIOKafkaConsumerThread._commit: (
        "932852ce7a23",
        "False after a rebalance, a crash on other errors",
    ),
    AIOKafkaConsumerThread.commit: ("d31c8558ba25", "going through call_thread"),
    AIOKafkaConsumerThread.on_start: ("38b4e8bd1e10", "making the client in thread_loop"),
    AIOKafkaConsumerThread.on_thread_stop: ("8dfc004e258b", "closing the client"),
    AIOKafkaConsumerThread._create_worker_consumer: ("c2701bfc3e6f", "the client's options"),
    ConsumerRebalanceListener.on_partitions_revoked: (
        "348c3aec879f",
        "setting app.rebalancing at once",
    ),
    ConsumerRebalanceListener.on_partitions_assigned: (
        "1c1f8406ad36",
        "setting consumer_generation_id first",
    ),
    ServiceThread._shutdown_thread: ("d7377862e734", "closing the client and its children"),
    ServiceThread.stop: ("32d026539c36", "being Service.stop when there is no thread"),
    QueueServiceThread.call_thread: (
        "479edda75b54",
        "being how calls reach the client; ours replaces it",
    ),
    Recovery._restart_recovery.fun: ("6bd8a8558a2d", "resuming at once when there are no tables"),
    Recovery._resume_streams: (
        "d986a6710c1a",
        "seeking, then resuming the flow, then ending the rebalance",
    ),
    Recovery._wait: (
        "ec7429b70176",
        "ending in silence when perform_seek outlasts the request timeout",
    ),
    App._on_partitions_revoked: ("d5c895bbe57d", "stop_flow, clear the agents' queues, wait_empty"),
    App._on_partitions_assigned: ("de932b7927db", "starting recovery"),
    App._stop_consumer: ("55854a5de12c", "stop_flow, clear the agents' queues, wait_empty"),
    App.on_rebalance_start: ("5c1e23de3067", "keeping app.rebalancing"),
    App.on_rebalance_end: ("b7ff69e1e377", "keeping app.rebalancing"),
    App.on_first_start: ("ec655d9c2234", "making the directories of tables, and nothing else"),
    App._create_directories: ("a9f571c3b04a", "making directories; ours makes none"),
    App.on_stop: ("bfe5a933defb", "stopping the consumer before on_before_shutdown"),
    App._new_transport: ("42db531312dd", "choosing the transport"),
    Agent._execute_actor: ("c750b828d2bd", "crashing the actor when its function raises"),
    Agent._prepare_actor: ("9b1435b6ba90", "starting _execute_actor"),
    Stream._c_aiter: ("fa44582a5882", "acking only if enable_acks"),
    Event.ack: ("2d29a6eda87c", "going to Message.ack"),
    Message.ack: ("4751b72c4ed8", "calling on_final_ack when nobody else holds the message"),
    ConsumerMessage.on_final_ack: ("45d670b6a8ac", "calling Consumer.ack"),
    Conductor._compile_message_handler: (
        "9fbc0538097a",
        "delivering to the agents of the partition",
    ),
    FlowControlEvent.resume: ("4dcdc1253fd0", "clearing the agents' queues"),
    CrashingSupervisor._contribute_to_service: (
        "02faf60d8b7f",
        "not supervising: a crash reaches the app",
    ),
    CrashingSupervisor.wakeup: ("4200e8caee84", "not restarting"),
    Service.crash: ("14980000465d", "marking the app as crashed, through its parents"),
    Service.stop: ("e17cd2b6bd01", "the order of a stop"),
    ClientFetcher.fetched_records: ("be4348896b9b", "raising the error of one partition"),
    ClientFetcher._fetch_requests_routine: (
        "2a8ec5932644",
        "asking _get_actions_per_node when records were taken, and after the time that it says",
    ),
    ClientFetcher._get_actions_per_node: (
        "1dab2cf937d1",
        "making one request a node; ours leaves out of it what is to wait",
    ),
    ClientFetcher._create_fetch_waiter: (
        "61d840568746",
        "a future that is done when records came in",
    ),
    FetchResult.check_assignment: (
        "b5340df67e3f",
        "whether what was fetched is what is to be read next",
    ),
    FetchResult._update_position: ("83fb1473bf10", "go on behind what was used"),
    PartitionRecords._unpack_records: (
        "b803e6d46480",
        "check each batch, leave out control batches",
    ),
    AIOKafkaConsumer.getmany: (
        "bc6d248e42a4",
        "its checks, and taking no partitions for all of them",
    ),
    AIOKafkaConsumer.seek: ("a9430f1f3b9a", "dropping what was fetched"),
    GroupCoordinator.check_errors: ("ba6ca51ad348", "raising what ended the membership"),
    GroupCoordinator._on_join_prepare: ("4d9524afc0ee", "waiting for the revoke callback"),
    GroupCoordinator.commit_offsets: ("5cbe31af28d6", "retrying while the broker is away"),
    SubscriptionState.fetch_context: ("ff2a654dca23", "counting as activity"),
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
def test_functions_do_what_they_did(function: Callable[..., Any]) -> None:
    expected, relied_on_for = FUNCTIONS[function]
    assert expected == fingerprint(function), (
        f"{function.__module__}.{function.__qualname__} has changed. It is relied on for: "
        f"{relied_on_for}. See the docstring of {__name__}."
    )


OVERRIDES = {
    BatchConsumer: DriverConsumer,
    LoopBoundConsumerThread: AIOKafkaConsumerThread,
    EndlessAgent: Agent,
    KeepstreamApp: App,
}
# Ours alone: nothing of Faust's calls them.
OWN = {
    "ledger",
    "lag",
    "allow_fetching",
    "log_ends",
    "to_come",
    "topic_ids",
    "_ends",
    "client",
    "batch_topic",
    "batch_consumer",
    "_deliver",
    "_deliver_fetched",
    "_fetched",
    "_may_fetch",
    "_begin_epoch",
    "_on_batch_end",
    "_topics_being_worked_on",
    "ends",
}


@pytest.mark.parametrize(("ours", "theirs"), OVERRIDES.items(), ids=lambda c: c.__name__)
def test_an_override_overrides_something_and_takes_what_it_took(ours: type, theirs: type) -> None:
    for name, member in vars(ours).items():
        if not inspect.isfunction(member) or name in OWN or name.startswith("__"):
            continue
        assert hasattr(theirs, name), f"{theirs.__name__}.{name} is gone: who calls ours now?"
        overridden = inspect.signature(getattr(theirs, name)).parameters
        assert list(overridden) == list(inspect.signature(member).parameters), (
            f"{theirs.__name__}.{name} takes other arguments than it did."
        )
        assert inspect.iscoroutinefunction(inspect.unwrap(getattr(theirs, name))) == (
            inspect.iscoroutinefunction(member)
        ), f"{theirs.__name__}.{name} is awaited, or no longer is."


def test_faust_finds_our_classes_through_these_names() -> None:
    assert "Consumer" in vars(Transport)
    assert App.BootStrategy is BaseBootStrategy is BootStrategy
    assert BootStrategy.enable_kafka_producer is None
    assert "enable_acks" in inspect.signature(Stream).parameters
    assert issubclass(ManualAckStream, Stream)
    assert "thread_loop" in inspect.signature(ServiceThread).parameters


def test_the_environment_does_not_change_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STREAM_WAIT_EMPTY": "0", "PROCESSING_GUARANTEE": "exactly_once"}.items():
        monkeypatch.setenv(name, value)
    assert not App("contract").conf.stream_wait_empty, "the variable has another name now"
    conf = new_faust_app("contract", bootstrap_servers="127.0.0.1:1,127.0.0.1:2").conf
    assert conf.stream_wait_empty
    assert conf.processing_guarantee.value == "at_least_once"
    assert conf.Stream is ManualAckStream
    assert conf.Agent is EndlessAgent
    assert conf.agent_supervisor is CrashingSupervisor
    assert ["127.0.0.1:1", "127.0.0.1:2"] == [url.authority for url in conf.broker_consumer]


def test_an_app_makes_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed worker could not remove it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app = new_faust_app("contract", bootstrap_servers="127.0.0.1:1")
    asyncio.run(app.on_first_start())
    assert [] == list(tmp_path.iterdir())


def test_the_client_keeps_what_is_looked_at() -> None:
    """The attributes are set in constructors, so only their sources can be checked."""
    sources = {
        AIOKafkaConsumer: (
            "self._subscription =",
            "self._fetcher =",
            "self._coordinator =",
            "self._fetch_max_wait_ms =",
        ),
        ClientFetcher: (
            "self._records =",
            "self._fetch_waiters =",
            "self._prefetch_backoff =",
            "self._fetch_min_bytes =",
            "self._fetch_max_bytes =",
            "self._isolation_level =",
            "self._client_rack =",
        ),
        Service: ("self._started =", "self._stopped =", "self._crashed ="),
    }
    for cls, lines in sources.items():
        for line in lines:
            assert line in inspect.getsource(cls), f"{cls.__name__} no longer has {line[:-2]}"
    assert isinstance(SubscriptionState.reassignment_in_progress, property)


def test_fetches_are_held_no_longer_than_other_questions_may_wait() -> None:
    """The client reads the option where it is set, when it starts."""
    used = "fetch_max_wait_ms=self._fetch_max_wait_ms,"
    assert used in inspect.getsource(AIOKafkaConsumer.start)
    app = new_faust_app("contract", bootstrap_servers="127.0.0.1:1")

    async def held_ms() -> int:
        client = app.batch_consumer._thread._create_worker_consumer(app.transport)
        await client.stop()
        return int(client._fetch_max_wait_ms)

    assert HELD_MS == asyncio.run(held_ms())


def test_a_faust_partition_finds_what_a_client_partition_stored() -> None:
    assert {TopicPartition("events", 3): "found"}[TP("events", 3)] == "found"  # type: ignore[index]


def test_the_compiled_iterator_hands_out_batches_as_tracked_messages() -> None:
    """`wait_empty` waits for tracked messages, so one must start untracked."""
    assert not Message("events", 0, 0, 0.0, 0, None, None, None, None).use_tracking
    message = ConsumerMessage("events", 0, 0, 0.0, 0, None, None, None, None)
    assert not message.tracked
    assert hasattr(StreamIterator, "after")
