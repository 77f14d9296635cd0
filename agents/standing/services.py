"""The broker and the store of a standing deployment: embedded ones that keep their data, or given
ones.
"""

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

#: The ports that every command uses by default.
KAFKA_PORTS, REDIS_PORTS = [9092, 9093], [6379]
#: With one entry per node, deleting a stream's entry frees its memory, and so removes it from the
#: store's file; otherwise its bytes stay with its neighbours in the node.
STORE_OPTIONS = {"stream-node-max-entries": "1"}

#: How long the plain log is kept, unless the operator says otherwise.
LOG_RETENTION = "30d"

# Settings for an operator's broker do not apply to an embedded one.
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
    """The broker and the store; ``environ`` gives workers their addresses, and ``settings`` is read
    from it.
    """

    settings: Settings
    environ: Mapping[str, str]
    kafka: EmbeddedKafka | None
    valkey: EmbeddedValkey | None

    @property
    def servers(self) -> Mapping[str, EmbeddedServer]:
        """The servers started here, in the order in which others need them."""
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
    the previous addresses, which are used again if they are free. ``archive``: switch it on,
    permanently.
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
    # Invalid settings are reported before anything is started.
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
    """The variables that switch the archive on, if that is requested or it was on before. A
    variable in the environment overrides an earlier start, but not the request.
    """
    archive, retention = variable_of("archive"), variable_of("log_retention")
    was_on = last is not None and last.archive
    if not is_asked and (archive in environ or not was_on):
        return {}
    # Without an archive the log was kept forever, so the default applies.
    before = last.log_retention if last is not None and was_on else LOG_RETENTION
    return {archive: "on", retention: environ.get(retention, before)}


def _set_by_others(environ: dict[str, str], field: str, last: Addresses | None) -> str | None:
    """The value of a variable, unless it repeats what an earlier run printed: then the server is
    ours.
    """
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
    """Whether commands find the broker and the store without being given their addresses."""
    defaults = Settings()
    return (settings.bootstrap_servers, settings.redis_url) == (
        defaults.bootstrap_servers,
        defaults.redis_url,
    )
