"""The broker and the store of a demonstration: embedded ones, or what an operator has already."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import strftime
from typing import NamedTuple

import redis
from kafka.errors import KafkaError

from agents.demo.failure import DemoFailed
from config.settings import Settings, load_settings, variable_of
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import new_admin, require_broker
from streams.topics import declared

Say = Callable[[str], None]

#: The store is a cache of what is in Kafka, so it may forget what was not read for longest.
STORE_LIMITS = {"maxmemory": "256mb", "maxmemory-policy": "allkeys-lru"}
#: All workers join within this, so that the first assignment is the last.
JOIN_DELAY_MS = 1_500
TIMEOUT_S = 5.0

# What an operator says about a broker means nothing to an embedded one.
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
    """Where the demonstration runs; ``environ`` says the same to a worker process."""

    settings: Settings
    environ: Mapping[str, str]


@contextmanager
def deployment(
    directory: Path, say: Say, *, bootstrap_servers: str | None, redis_url: str | None
) -> Iterator[Deployment]:
    """Start what isn't given by an argument or the environment, and stop it at the end.

    On services that are not ours everything is under a prefix of its own, and removed at the end.
    """
    environ = dict(os.environ)
    servers = bootstrap_servers or environ.get(variable_of("bootstrap_servers"))
    store = redis_url or environ.get(variable_of("redis_url"))
    if servers is None:
        for name in _ABOUT_THE_BROKER:
            environ.pop(variable_of(name), None)
    prefix = environ.get(variable_of("topic_prefix"), "")
    if servers is not None or store is not None:
        prefix += f"demo-{strftime('%Y%m%d-%H%M%S')}-{os.getpid()}."
    with ExitStack() as stack:
        # What can't be used is said before anything is started.
        known = load_settings(environ, bootstrap_servers=servers, redis_url=store)
        if servers is not None:
            require_broker(known)
        if store is not None:
            _require_store(known)
        url = store or stack.enter_context(_embedded_store(directory / "valkey", say))
        address = servers or stack.enter_context(_embedded_broker(directory / "kafka", say))
        given = {"bootstrap_servers": address, "redis_url": url, "topic_prefix": prefix}
        settings = load_settings(environ, **given, web_host="127.0.0.1")
        environ |= {variable_of(name): value for name, value in given.items()}
        environ[variable_of("web_host")] = settings.web_host
        if prefix:
            say(f"Using your services: topics and keys begin with {prefix} and are removed later")
        if store is not None:
            stack.callback(_remove_keys, settings, say)
        if servers is not None:
            stack.callback(_remove_topics, settings, say)
        yield Deployment(settings, environ)


@contextmanager
def _embedded_broker(directory: Path, say: Say) -> Iterator[str]:
    properties = {"group.initial.rebalance.delay.ms": str(JOIN_DELAY_MS)}
    with EmbeddedKafka(directory, properties=properties, on_progress=say) as kafka:
        yield kafka.bootstrap_servers


@contextmanager
def _embedded_store(directory: Path, say: Say) -> Iterator[str]:
    say("Starting Valkey")
    with EmbeddedValkey(directory) as valkey:
        with redis.Redis.from_url(valkey.url, socket_timeout=TIMEOUT_S) as client:
            for name, value in STORE_LIMITS.items():
                client.config_set(name, value)
        yield valkey.url


def _require_store(settings: Settings) -> None:
    """Raise ``DemoFailed`` unless the store answers: the workers would wait for it for ever."""
    try:
        with redis.Redis.from_url(
            settings.redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        # Only its kind: its text may hold an address with a password.
        raise DemoFailed(
            f"no answer from Redis at {settings.redis_url_redacted} ({type(error).__name__}): "
            f"start it, or leave out --redis-url to have one started"
        ) from None


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
        with redis.Redis.from_url(settings.redis_url, socket_timeout=TIMEOUT_S) as client:
            keys: list[bytes] = []
            for key in client.scan_iter(pattern, count=1_000):
                keys.append(key)
                if len(keys) == 1_000:
                    client.unlink(*keys)
                    keys.clear()
            if keys:
                client.unlink(*keys)
    except redis.RedisError as error:
        say(f"Could not remove the keys {pattern} ({type(error).__name__}): please delete them")
