"""The broker and the store of a demonstration: embedded ones, or those of the operator."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import strftime
from typing import NamedTuple

from kafka.errors import KafkaError

from config.settings import Settings, load_settings, variable_of
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import HOST
from streams.embedded.process import ServerProcess
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import new_admin, require_broker
from streams.store_client import StoreUnreachable, require_store, store_client
from streams.topics import declared

Say = Callable[[str], None]

#: The store is a cache of what is in Kafka, so it may evict what was not read for longest.
STORE_LIMITS = {"maxmemory": "256mb", "maxmemory-policy": "allkeys-lru"}
#: All workers join within this time, so that the first assignment is the last.
JOIN_DELAY_MS = 1_500

# Settings for an operator's broker do not apply to an embedded one.
_ABOUT_THE_BROKER = (
    "bootstrap_servers",
    "group",
    "topic_prefix",
    "partitions",
    "replication_factor",
    "security_protocol",
    "sasl_mechanism",
    "sasl_username",
    "sasl_password",
    "sasl_password_file",
    "ssl_cafile",
)


class Deployment(NamedTuple):
    """Where the demonstration runs; ``environ`` says the same to a worker process.

    ``servers`` are the processes that were started for it.
    """

    settings: Settings
    environ: Mapping[str, str]
    servers: Sequence[ServerProcess]

    def require_alive(self) -> None:
        """Raise `ServerFailedError`, with the end of its log, if a server has ended."""
        for server in self.servers:
            server.require_alive()


@contextmanager
def deployment(
    directory: Path, say: Say, *, bootstrap_servers: str | None, redis_url: str | None
) -> Iterator[Deployment]:
    """Start what isn't given by an argument or the environment, and stop it at the end.

    On services that are not ours, everything has its own prefix, and is removed at the end.
    """
    servers = bootstrap_servers or os.environ.get(variable_of("bootstrap_servers"))
    store = redis_url or os.environ.get(variable_of("redis_url"))
    environ = _environment(has_broker=servers is not None, has_store=store is not None)
    # Invalid settings are reported before anything is started.
    known = load_settings(environ, bootstrap_servers=servers, redis_url=store)
    if servers is not None:
        require_broker(known)
    if store is not None:
        require_store(known)
    started: list[ServerProcess] = []
    with ExitStack() as stack:
        if store is None:
            valkey = stack.enter_context(_embedded_store(directory / "valkey", say))
            started += valkey.processes
            store = valkey.url
        else:
            stack.callback(_remove_keys, known, say)
        if servers is None:
            kafka = stack.enter_context(_embedded_broker(directory / "kafka", say))
            started += kafka.processes
            servers = kafka.bootstrap_servers
        else:
            stack.callback(_remove_topics, known, say)
        environ |= {
            variable_of("bootstrap_servers"): servers,
            variable_of("redis_url"): store,
        }
        settings = load_settings(environ)
        if settings.topic_prefix:
            begin = settings.topic_prefix
            say(f"Using your services: topics and keys begin with {begin} and are removed later")
        yield Deployment(settings, environ, started)


def _environment(*, has_broker: bool, has_store: bool) -> dict[str, str]:
    """A worker's environment, without the addresses."""
    environ = dict(os.environ)
    if not has_broker:
        for name in _ABOUT_THE_BROKER:
            environ.pop(variable_of(name), None)
    if has_broker or has_store:
        prefix = environ.get(variable_of("topic_prefix"), "")
        own = f"demo-{strftime('%Y%m%d-%H%M%S')}-{os.getpid()}."
        environ[variable_of("topic_prefix")] = prefix + own
    # Only the demonstration reads its workers' web ports.
    environ[variable_of("web_host")] = HOST
    return environ


@contextmanager
def _embedded_broker(directory: Path, say: Say) -> Iterator[EmbeddedKafka]:
    properties = {"group.initial.rebalance.delay.ms": str(JOIN_DELAY_MS)}
    with EmbeddedKafka(directory, properties=properties, on_progress=say) as kafka:
        yield kafka


@contextmanager
def _embedded_store(directory: Path, say: Say) -> Iterator[EmbeddedValkey]:
    say("Starting Valkey")
    with EmbeddedValkey(directory) as valkey:
        with store_client(load_settings({}, redis_url=valkey.url)) as client:
            for name, value in STORE_LIMITS.items():
                client.config_set(name, value)
        yield valkey


def _remove_topics(settings: Settings, say: Say) -> None:
    names = [topic.name for topic in declared(settings)]
    try:
        with contextlib.closing(new_admin(settings)) as admin:
            existing = [name for name in admin.list_topics() if name in set(names)]
            if existing:
                admin.delete_topics(existing)
            with contextlib.suppress(KafkaError):
                admin.delete_groups([settings.group_id])
    except (KafkaError, OSError) as error:
        say(f"Could not remove {', '.join(names)} ({type(error).__name__}): please delete them")
        return
    say(f"Removed the topics that begin with {settings.topic_prefix}")


def _remove_keys(settings: Settings, say: Say) -> None:
    pattern = f"{settings.topic_prefix}keepstream:*"
    try:
        with store_client(settings) as client:
            keys: list[bytes] = []
            for key in client.scan_iter(pattern, count=1_000):
                keys.append(key)
                if len(keys) == 1_000:
                    client.unlink(*keys)
                    keys.clear()
            if keys:
                client.unlink(*keys)
    except StoreUnreachable as error:
        say(f"Could not remove the keys {pattern} ({error.kind}): please delete them")
