"""Turns settings into Kafka clients, in one place: same brokers, same security, same partitioner.

Ingest, profile, publisher and readers must agree on a key's partition, or one customer would have
two histories. So the only partitioner is here, too.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError as AIOKafkaError
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2

from config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

log = logging.getLogger(__name__)

REACH_TIMEOUT_MS = 10_000
KEYS_REMEMBERED_MAX = 65_536
#: A client that can't end its connection within this time is abandoned: its broker is away.
CLOSE_TIMEOUT_S = 10.0
#: A new leader may report an older end of a log until its followers answer, so it is asked again.
END_TRIES = 3
END_RETRY_S = 1.0

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer)


class BrokerUnreachable(ConnectionError):
    """No broker answered in time; the message names the addresses and what to do."""


@lru_cache(maxsize=KEYS_REMEMBERED_MAX)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of `key`, as Kafka's own default partitioner chooses it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def new_producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer: no record is lost or repeated; start it with `running`."""
    defaults: dict[str, Any] = {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 0,
        "compression_type": None,
    }
    return AIOKafkaProducer(**{**defaults, **client_options(settings), **options})


def new_reader(settings: Settings, **options: Any) -> AIOKafkaConsumer:
    """A consumer without a group, for recovery and export: assign and seek it yourself."""
    defaults: dict[str, Any] = {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        # Bulk reading: few round trips, yet bounded for each partition.
        "max_partition_fetch_bytes": 4 * 1024 * 1024,
    }
    return AIOKafkaConsumer(**{**defaults, **client_options(settings), **options})


def new_admin(settings: Settings) -> KafkaAdminClient:
    """A connected admin client; close it. Raises `BrokerUnreachable`."""
    require_broker(settings)
    with _explained(settings):
        return KafkaAdminClient(**client_options(settings), bootstrap_timeout_ms=REACH_TIMEOUT_MS)


def new_sync_producer(settings: Settings, **options: Any) -> KafkaProducer:
    """A connected, idempotent producer for threads; close it. Raises `BrokerUnreachable`."""
    require_broker(settings)
    defaults: dict[str, Any] = {
        "acks": "all",
        "enable_idempotence": True,
        "allow_auto_create_topics": False,
        "bootstrap_timeout_ms": REACH_TIMEOUT_MS,
        "max_block_ms": REACH_TIMEOUT_MS,
    }
    with _explained(settings):
        return KafkaProducer(**{**defaults, **client_options(settings), **options})


def abandon(producer: KafkaProducer) -> None:
    """Close ``producer`` without waiting for its batches in flight, which fail.

    Its own `close` waits for each of them, and when one takes too long it raises, with its thread
    still running.
    """
    if producer._closed:
        return
    producer._sender.force_close()
    producer._sender.wakeup()
    producer._sender.join(CLOSE_TIMEOUT_S)
    with contextlib.suppress(KafkaError):
        producer.close(timeout=0)


def faust_brokers(settings: Settings) -> list[str]:
    """The brokers as Faust's `broker` setting wants them."""
    return [f"aiokafka://{address}" for address in settings.bootstrap_list]


def broker_credentials(settings: Settings) -> "CredentialsT | None":
    """The security settings of all clients, as Faust's `broker_credentials` setting."""
    # Not at the top: command line tools that need no Faust should not wait for its import.
    from faust import SASLCredentials, SSLCredentials  # noqa: PLC0415

    context = _ssl_context(settings)
    if settings.uses_sasl:
        return SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password,
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


@contextlib.asynccontextmanager
async def running(client: Client, settings: Settings) -> AsyncIterator[Client]:
    """Start `client` within 10 s or raise `BrokerUnreachable`; stop it at the end, within 10 s.

    An idempotent producer would wait for ever for a broker that is away, to send its pending
    records: flush before the end.
    """
    try:
        await asyncio.to_thread(require_broker, settings)
        with _explained(settings):
            await asyncio.wait_for(client.start(), REACH_TIMEOUT_MS / 1_000)
        yield client
    finally:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await client.stop()
        except TimeoutError:
            log.warning("a Kafka client did not close within %.0f s; leaving it", CLOSE_TIMEOUT_S)
            await _cut(client)


async def _cut(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Close the connections of a client that did not end in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            if isinstance(client, AIOKafkaProducer):
                # First, because the sender's end waits for answers; they fail with the connections.
                await client.client.close()
                await client._sender.close()
            else:
                await client._client.close()


def require_broker(settings: Settings) -> None:
    """Raise `BrokerUnreachable` unless at least one broker takes a connection.

    A refused connection is reported at once. The clients themselves would keep trying until their
    time is over, and leave threads behind.
    """
    deadline = time.monotonic() + REACH_TIMEOUT_MS / 1_000
    reason = "no address"
    for address in settings.bootstrap_list:
        host, _, port = address.rpartition(":")
        left_s = max(0.1, deadline - time.monotonic())
        try:
            # At most half of the time that is left, so that a silent first broker leaves
            # some for the next.
            socket.create_connection((host.strip("[]"), int(port)), left_s / 2).close()
            return
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    raise BrokerUnreachable(
        f"no Kafka broker at {settings.bootstrap_servers} ({reason}): start the broker "
        f"(`keepstream up` comes with one), or set KEEPSTREAM_BOOTSTRAP_SERVERS to where it is"
    )


@contextlib.contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    """Raise `BrokerUnreachable` with a fix if a broker accepts a connection that is unusable."""
    try:
        yield
    except (KafkaError, AIOKafkaError, TimeoutError, ssl.SSLError) as error:
        login = f" as {settings.sasl_mechanism} user" if settings.uses_sasl else ""
        raise BrokerUnreachable(
            f"{settings.bootstrap_servers} takes connections but does not answer "
            f"{settings.security_protocol}{login} ({type(error).__name__}): check that it is a "
            f"Kafka broker, and KEEPSTREAM_SECURITY_PROTOCOL, KEEPSTREAM_SASL_* and "
            f"KEEPSTREAM_SSL_* against its listener"
        ) from None


def _ssl_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.uses_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile or None)
    except ssl.SSLError:
        raise SettingsError(
            f"KEEPSTREAM_SSL_CAFILE is {settings.ssl_cafile!r}: it holds no certificate in PEM"
        ) from None
    if settings.ssl_certfile:
        try:
            context.load_cert_chain(
                settings.ssl_certfile,
                settings.ssl_keyfile or None,
                # Without this, OpenSSL would ask at a terminal, which a worker does not have.
                lambda: settings.ssl_key_password,
            )
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise SettingsError(
                f"KEEPSTREAM_SSL_CERTFILE is {settings.ssl_certfile!r}: can't be used ({reason}): "
                f"check that it is in PEM, that KEEPSTREAM_SSL_KEYFILE belongs to it, and "
                f"KEEPSTREAM_SSL_KEY_PASSWORD"
            ) from None
    return context


def client_options(settings: Settings) -> dict[str, Any]:
    """Brokers and security, under the names that aiokafka and kafka-python share."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_list,
        "security_protocol": settings.security_protocol,
        "ssl_context": _ssl_context(settings),
    }
    if settings.uses_sasl:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password
    return options
