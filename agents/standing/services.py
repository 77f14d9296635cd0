"""The broker and the store of a standing deployment: its own, which keep their data, or given."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from agents.standing.directory import Addresses
from config.settings import Settings, load_settings, variable_of
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.server import EmbeddedServer
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import require_broker
from streams.store_client import require_store

Say = Callable[[str], None]

#: Where every command looks when it is told nothing.
KAFKA_PORTS, REDIS_PORTS = [9092, 9093], [6379]
#: A deleted entry of a stream is gone from memory, and so from the store's file, if it has a node
#: to itself; else its bytes stay with its neighbours.
STORE_OPTIONS = {"stream-node-max-entries": "1"}

#: How long the log is kept in plain, where nobody says so.
LOG_RETENTION = "30d"

# What an operator says about a broker of theirs means nothing to an embedded one.
_ABOUT_A_BROKER = (
    "replication_factor",
    "security_protocol",
    "sasl_mechanism",
    "sasl_username",
    "sasl_password",
    "sasl_password_file",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_key_password",
    "ssl_key_password_file",
)


class Services(NamedTuple):
    """What was started, by name; ``environ`` tells workers where it is and ``settings`` is read
    from it.
    """

    settings: Settings
    environ: Mapping[str, str]
    kafka: EmbeddedKafka | None
    valkey: EmbeddedValkey | None

    @property
    def servers(self) -> Mapping[str, EmbeddedServer]:
        """Those that were started here, in the order in which others need them."""
        named = {"Valkey": self.valkey, "Kafka": self.kafka}
        return {name: server for name, server in named.items() if server is not None}


@contextmanager
def services(
    directory: Path,
    last: Addresses | None,
    say: Say,
    *,
    bootstrap_servers: str | None,
    redis_url: str | None,
    archive: bool = False,
) -> Iterator[Services]:
    """Start what isn't given by an argument or the environment, and stop it at the end. ``last``:
    where it was before, where it will be again if nobody else is there by now. ``archive``: it is
    asked for, for good.
    """
    environ = dict(os.environ)
    environ |= archive_variables(environ, last, is_asked=archive)
    servers = bootstrap_servers or _set_by_others(environ, "bootstrap_servers", last)
    store = redis_url or _set_by_others(environ, "redis_url", last)
    if store is None and variable_of("redis_url_file") in environ:
        store = load_settings(environ).redis_url
    if servers is None:
        for name in _ABOUT_A_BROKER:
            environ.pop(variable_of(name), None)
    # What can't be used is said before anything is started.
    known = load_settings(environ, bootstrap_servers=servers, redis_url=store)
    kafka = valkey = None
    with ExitStack() as stack:
        if store is None:
            say("Starting Valkey")
            valkey = stack.enter_context(_valkey(directory / "valkey", last))
            store = valkey.url
        else:
            require_store(known)
        if servers is None:
            ports = last.kafka_ports if last and last.kafka_ports else KAFKA_PORTS
            kafka = EmbeddedKafka(directory / "kafka", ports=ports, on_progress=say)
            stack.enter_context(kafka)
            servers = kafka.bootstrap_servers
        else:
            require_broker(known)
        environ[variable_of("bootstrap_servers")] = servers
        if variable_of("redis_url_file") not in environ:
            environ[variable_of("redis_url")] = store
        yield Services(load_settings(environ), environ, kafka, valkey)


def archive_variables(
    environ: Mapping[str, str], last: Addresses | None, *, is_asked: bool
) -> dict[str, str]:
    """What switches the archive on: because it is asked for, or was on before. A variable that says
    otherwise stands against the latter.
    """
    archive, retention = variable_of("archive"), variable_of("log_retention")
    was_on = last is not None and last.archive
    if not is_asked and (archive in environ or not was_on):
        return {}
    # Without an archive it was for ever.
    before = last.log_retention if last is not None and was_on else LOG_RETENTION
    return {archive: "on", retention: environ.get(retention, before)}


def _set_by_others(environ: dict[str, str], field: str, last: Addresses | None) -> str | None:
    """What a variable says, unless it was set to what a run before printed: that is ours."""
    value = environ.get(variable_of(field))
    is_ours = last is not None and value == getattr(last, field)
    was_started = last is not None and (
        last.kafka_ports if field == "bootstrap_servers" else last.redis_ports
    )
    return None if is_ours and was_started else value


def _valkey(directory: Path, last: Addresses | None) -> EmbeddedValkey:
    ports = last.redis_ports if last and last.redis_ports else REDIS_PORTS
    return EmbeddedValkey(directory, ports=ports, keeps_data=True, options=STORE_OPTIONS)


def default_addresses(settings: Settings) -> bool:
    """Whether commands find all of it without being told where it is."""
    defaults = Settings()
    return (settings.bootstrap_servers, settings.redis_url) == (
        defaults.bootstrap_servers,
        defaults.redis_url,
    )
