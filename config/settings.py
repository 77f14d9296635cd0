"""Where Keepstream runs: the settings an operator gives through the environment.

Every variable is one field of `Settings`, whose type holds its limits, its description for the
command line, and whether it is a secret.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from config.bounded_text import TextRefused, read_text
from config.duration import DAY_MS, DurationMs

PREFIX = "KEEPSTREAM_"

_ADDRESS = r"(\[[0-9a-fA-F:]+\]|[^\s,:/\[\]]+):[0-9]{1,5}"
_ADDRESSES = rf"^{_ADDRESS}(,{_ADDRESS})*\Z"
_REDIS_URL = r"^(redis|rediss|unix)://\S+\Z"
#: The length is limited, as every rebalance sends all addresses to every worker.
_ADVERTISED_URL = r"^(https?://[^\s/?#@]{1,200}(/[^\s?#]{0,50})?)?\Z"
_SECRET = Meta(extra={"secret": True})

SECRET_BYTES_MAX = 64 * 1024
#: As long as raw topics are kept: in any outage that raw events survive, the log must survive, too.
LOG_RETENTION_MS_MIN = 7 * DAY_MS


def _doc(description: str, example: str | None = None, pattern: str | None = None) -> Meta:
    return Meta(description=description, examples=[example] if example else None, pattern=pattern)


class SettingsError(ValueError):
    """A setting that can't be used; the message names the variable, its value and the fix."""


class Variable(NamedTuple):
    """One line of the table of settings."""

    name: str
    default: str
    description: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one process that depends on where it runs."""

    bootstrap_servers: Annotated[
        str,
        _doc("Kafka brokers to start from, host:port[,host:port…]", "kafka:9092", _ADDRESSES),
    ] = "127.0.0.1:9092"
    redis_url: Annotated[
        str,
        _doc("Redis or Valkey that serves profiles", "redis://:password@redis:6379/0", _REDIS_URL),
        _SECRET,
    ] = "redis://127.0.0.1:6379/0"
    redis_url_file: Annotated[
        str, _doc("File that holds the URL of Redis with its password, instead of the variable")
    ] = ""
    group: Annotated[
        str, _doc("Consumer group of the workers", "keepstream", r"^[a-zA-Z0-9._-]{1,100}\Z")
    ] = "keepstream"
    topic_prefix: Annotated[
        str,
        _doc(
            "Put before every topic and the group, so that deployments can share a broker",
            "staging.",
            r"^[a-zA-Z0-9._-]{0,100}\Z",
        ),
    ] = ""
    partitions: Annotated[
        int,
        _doc("Partitions of every partitioned topic; never change it on live topics", "4"),
        Meta(ge=1, le=1_000),
    ] = 4
    replication_factor: Annotated[
        int, _doc("Copies of every partition; 3 in production", "3"), Meta(ge=1, le=15)
    ] = 1
    web_host: Annotated[
        str, _doc("Address on which a worker serves health and metrics", "127.0.0.1", r"^\S+\Z")
    ] = "127.0.0.1"
    web_port: Annotated[
        int,
        _doc("Port of health and metrics; 0 takes a free one", "8080"),
        Meta(ge=0, le=65_535),
    ] = 8080
    web_advertised_url: Annotated[
        str,
        _doc(
            "URL at which other workers and clients reach this one; empty: its address and port",
            "http://worker-1.internal:8080",
            _ADVERTISED_URL,
        ),
    ] = ""
    web_token: Annotated[
        str,
        _doc(
            "Token that everything but health requires at the port of health and metrics: 16 to "
            "200 letters, digits and signs; empty: none is required",
            "Bq3v-example-of-a-token",
            r"^([!-~]{16,200})?\Z",
        ),
        _SECRET,
    ] = ""
    web_token_file: Annotated[
        str, _doc("File that holds the token of the port, instead of the variable")
    ] = ""
    collector_host: Annotated[
        str, _doc("Address on which the collector takes events", "127.0.0.1", r"^\S+\Z")
    ] = "127.0.0.1"
    collector_port: Annotated[
        int,
        _doc("Port on which the collector takes events; 0 takes a free one", "8088"),
        Meta(ge=0, le=65_535),
    ] = 8088
    collector_sources: Annotated[
        str, _doc("TOML file of the collector's sources: write keys as hashes, vendors' webhooks")
    ] = ""
    collector_keys: Annotated[
        str,
        _doc(
            "Sources without a file: NAME=SHA256 of a write key, separated by commas",
            "shop-web=" + "0" * 64,
            r"^([a-z0-9][a-z0-9._-]{0,62}=[0-9a-f]{64}(,[a-z0-9][a-z0-9._-]{0,62}=[0-9a-f]{64})*)?\Z",
        ),
    ] = ""
    console_host: Annotated[
        str, _doc("Address on which the console serves its pages", "127.0.0.1", r"^\S+\Z")
    ] = "127.0.0.1"
    console_port: Annotated[
        int,
        _doc("Port on which the console serves its pages; 0 takes a free one", "8090"),
        Meta(ge=0, le=65_535),
    ] = 8090
    console_people: Annotated[
        str,
        _doc("TOML file of the people who may log in to the console, with hashes of their tokens"),
    ] = ""
    console_tokens: Annotated[
        str,
        _doc(
            "People who may log in to the console, without a file: NAME:ROLE=SHA256 of a token, "
            "separated by commas",
            "anna:viewer=" + "0" * 64,
            r"^([a-z0-9][a-z0-9._-]{0,62}:(viewer|operator)=[0-9a-f]{64}"
            r"(,[a-z0-9][a-z0-9._-]{0,62}:(viewer|operator)=[0-9a-f]{64})*)?\Z",
        ),
    ] = ""
    console_role: Annotated[
        Literal["viewer", "operator"],
        _doc("Role of the token that the console itself makes: viewer or operator"),
    ] = "viewer"
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        _doc("How to talk to Kafka: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        _doc("How to log in to Kafka: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    ] = "PLAIN"
    sasl_username: Annotated[str, _doc("User for Kafka")] = ""
    sasl_password: Annotated[str, _doc("Password for Kafka"), _SECRET] = ""
    sasl_password_file: Annotated[
        str, _doc("File that holds the password for Kafka, instead of the variable")
    ] = ""
    ssl_cafile: Annotated[
        str, _doc("PEM file of the authority that signed the brokers; empty: the system's")
    ] = ""
    ssl_certfile: Annotated[
        str, _doc("PEM file of this client's certificate, for brokers that ask for one")
    ] = ""
    ssl_keyfile: Annotated[
        str, _doc("PEM file of the certificate's key; empty: it is in the same file")
    ] = ""
    ssl_key_password: Annotated[str, _doc("Password of the key, if it has one"), _SECRET] = ""
    ssl_key_password_file: Annotated[
        str, _doc("File that holds the password of the key, instead of the variable")
    ] = ""
    erasure_salt: Annotated[
        str,
        _doc("Secret for recognising erased ids; never change it once an id was erased"),
        _SECRET,
    ] = ""
    erasure_salt_file: Annotated[
        str, _doc("File that holds the salt of erased ids, instead of the variable")
    ] = ""
    parameters: Annotated[
        str, _doc("TOML file that overrides the shipped parameters; empty: none")
    ] = ""
    endpoints: Annotated[
        str,
        _doc("YAML file of the endpoints to which decisions are delivered by HTTP; empty: none"),
    ] = ""
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        _doc("Lowest severity that is logged: DEBUG, INFO, WARNING or ERROR"),
    ] = "INFO"
    log_format: Annotated[
        Literal["text", "json"],
        _doc("How log lines are written: text, or json with one object a line"),
    ] = "text"
    traces_url: Annotated[
        str,
        _doc(
            "URL, with its path, that traces are sent to by OTLP over HTTP; empty: nowhere",
            "http://127.0.0.1:4318/v1/traces",
            r"^(https?://[^\s/?#@]{1,200}(/[^\s?#]{0,200})?)?\Z",
        ),
    ] = ""
    traces_one_in: Annotated[
        int,
        _doc("One of this many requests to the collector is traced", "100"),
        Meta(ge=1, le=1_000_000),
    ] = 100
    group_instance_id: Annotated[
        str,
        _doc(
            "Name by which a worker gets its partitions back after a restart, different for each "
            "worker; empty: a restarted worker counts as new",
            "worker-0",
            r"^[a-zA-Z0-9._-]{0,200}\Z",
        ),
    ] = ""
    session_timeout_ms: Annotated[
        int,
        _doc("Silence after which a worker counts as dead, in ms", "10000"),
        # The changelog keeps the rows of two owners of a partition for 10 minutes: a worker that
        # was replaced must notice well before that.
        Meta(ge=1_000, le=300_000),
    ] = 10_000
    data_dir: Annotated[
        str,
        _doc("Where `up` and the demo keep their broker, store and files", ".keepstream", r"\S"),
    ] = ".keepstream"
    rows_dir: Annotated[
        str,
        _doc("Directory for scratch files of customers' rows; empty: rows are kept in memory"),
    ] = ""
    archive: Annotated[
        Literal["on", "off"],
        _doc(
            "Whether a sealed copy of the log is kept, so that customers can be erased: on or off"
        ),
    ] = "off"
    log_retention: Annotated[
        str,
        _doc(
            "How long customer-events is kept unsealed: forever, or, with the archive, a time "
            "such as 30d",
            "30d",
            r"^(forever|[0-9]+(\.[0-9]+)?(h|d|w))\Z",
        ),
    ] = "forever"
    pace_ms: Annotated[
        int,
        _doc("Shortest time between two fetches of raw topics, in ms: more saves CPU", "50"),
        Meta(ge=0, le=1_000),
    ] = 50
    deliver_max_age: Annotated[
        str,
        _doc(
            "Triggers older than this, and actions past their dueAt, are not delivered; 0: all are",
            "24h",
            r"^(0|[0-9]+(\.[0-9]+)?(ms|s|min|h|d|w))\Z",
        ),
    ] = "24h"
    set_aside: Annotated[
        str,
        _doc(
            "Records to leave out that claim to be of another release, as topic-partition@offset, "
            "separated by commas; error messages name them",
            "customer-events-0@1234",
            r"^([a-z-]+-[0-9]{1,4}@[0-9]{1,18}(,[a-z-]+-[0-9]{1,4}@[0-9]{1,18})*)?\Z",
        ),
    ] = ""
    compiled: Annotated[
        Literal["on", "off"],
        _doc("Whether to run the compiled core, if `make compile` has made one: on or off"),
    ] = "on"
    max_batch_records: Annotated[
        int, _doc("Maximum number of records in a batch", "4000"), Meta(ge=1, le=100_000)
    ] = 4_000

    @property
    def deliver_max_age_ms(self) -> int:
        """How old a trigger may be when it is delivered; 0 for any age."""
        return DurationMs.parse(self.deliver_max_age)

    @property
    def has_archive(self) -> bool:
        """Whether a sealed copy of every record of the log is kept."""
        return self.archive == "on"

    @property
    def log_retention_ms(self) -> int:
        """How long the log is kept; -1 for ever, as in the broker's configs."""
        return -1 if self.log_retention == "forever" else DurationMs.parse(self.log_retention)

    @property
    def bootstrap_list(self) -> list[str]:
        """The brokers, one host:port each."""
        return self.bootstrap_servers.split(",")

    @property
    def group_id(self) -> str:
        """The consumer group as the broker knows it."""
        return self.topic_prefix + self.group

    def endpoint_group(self, endpoint: str) -> str:
        """The consumer group of an endpoint, as the broker knows it."""
        return f"{self.group_id}-webhook-{endpoint}"

    @property
    def redis_url_redacted(self) -> str:
        """The Redis address without its password, for logs."""
        return redact_url(self.redis_url)

    @property
    def worker_url(self) -> str:
        """The URL for questions about a worker's customers: as advertised, or where it listens."""
        if self.web_advertised_url:
            return self.web_advertised_url.rstrip("/")
        # A worker that listens on all addresses can be reached on the loopback address.
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.web_host, self.web_host)  # noqa: S104 - told apart, not listened on
        return f"http://{host}:{self.web_port}"

    @property
    def uses_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    @property
    def web_headers(self) -> dict[str, str]:
        """The header with the token for another process's web port; empty without a token."""
        return {"Authorization": f"Bearer {self.web_token}"} if self.web_token else {}

    def topic(self, name: str) -> str:
        """The topic `name` as the broker knows it."""
        return self.topic_prefix + name

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Settings({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields without passwords, which msgspec's own version would show."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        hidden = {name: "***" for name in SECRETS_IN_FILES if shown[name]}
        return list({**shown, **hidden, "redis_url": self.redis_url_redacted}.items())


def _is_secret(kind: Any) -> bool:
    return _SECRET in kind.__metadata__


#: Secrets. Each may be in a file instead, which the variable with _FILE names.
SECRETS_IN_FILES = tuple(
    field.name for field in msgspec.structs.fields(Settings) if _is_secret(field.type)
)


def load_settings(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Read the settings from `environ`; an override (by field name) wins unless it is None.

    Raises `SettingsError` for a variable that doesn't exist, a value that can't be used, and
    credentials that don't fit the protocol, which would otherwise be ignored silently.
    """
    _refuse_unknown(environ)
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    for name in overrides.keys() - fields.keys():
        raise TypeError(f"{name!r} is not a field of Settings")

    values: dict[str, Any] = {}
    for name, field in fields.items():
        raw = overrides.get(name)
        if raw is None:
            raw = environ.get(variable_of(name))
        if raw is not None:
            values[name] = _convert(name, raw, field.type)
    for name in SECRETS_IN_FILES:
        if (path := values.get(f"{name}_file")) and overrides.get(name) is None:
            if values.get(name):
                variable = variable_of(name)
                raise SettingsError(f"{variable} and {variable}_FILE are both set: unset one")
            values[name] = _convert(name, _secret_in(path, f"{name}_file"), fields[name].type)
    return _checked(Settings(**values))


def describe() -> list[Variable]:
    """The table of settings, in the order of the fields."""
    table = []
    for field in msgspec.structs.fields(Settings):
        description = msgspec.json.schema(field.type)["description"]
        table.append(Variable(variable_of(field.name), str(field.default), description))
    return table


def known_variables() -> frozenset[str]:
    """Every variable with Keepstream's prefix that may be set."""
    return frozenset(map(variable_of, Settings.__struct_fields__))


def variable_of(field: str) -> str:
    """The environment variable that sets `field`."""
    return PREFIX + field.upper()


def redact_url(url: str) -> str:
    """`url` without its password, in the user part or in the query."""
    # Up to the last @, so that a password with an unescaped / or @ is hidden in full, too.
    url = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&]password=)[^&]*", r"\1***", url)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = known_variables()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known:
            continue
        nearest = _nearest(name, known)
        hint = (
            f"did you mean {nearest}? Rename it"
            if nearest
            else "see `keepstream settings`, rename it"
        )
        # The value is left out: a misspelled password would otherwise end up in a log.
        raise SettingsError(f"{name} is not a setting: {hint} or unset it")


def _nearest(name: str, known: frozenset[str]) -> str | None:
    # Without the prefix, which makes all of them look alike.
    suffixes = sorted(variable.removeprefix(PREFIX) for variable in known)
    wanted = name.removeprefix(PREFIX).upper()
    close = difflib.get_close_matches(wanted, suffixes, n=1)
    return PREFIX + close[0] if close else None


def _convert(name: str, raw: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        shown = "(hidden)" if _is_secret(kind) else repr(raw)
        raise SettingsError(f"{variable_of(name)} is {shown}: {_fix(kind, error)}") from None


def _fix(kind: Any, error: msgspec.ValidationError) -> str:
    schema = msgspec.json.schema(kind)
    if choices := schema.get("enum"):
        return f"set it to one of {', '.join(choices)}"
    if schema.get("type") == "integer":
        limits = f"from {schema['minimum']} to {schema['maximum']}"
        return f"set it to a whole number {limits}, for example {schema['examples'][0]}"
    if examples := schema.get("examples"):
        return f"set it as in {examples[0]!r}, or unset it to get the default"
    return str(error)


def _checked(settings: Settings) -> Settings:
    """Fail closed: security settings are used in full, or refused."""
    protocol = f"KEEPSTREAM_SECURITY_PROTOCOL is {settings.security_protocol!r}"
    for name in ("sasl_username", "sasl_password"):
        given = bool(getattr(settings, name))
        if settings.uses_sasl and not given:
            hint = " (or KEEPSTREAM_SASL_PASSWORD_FILE)" if name == "sasl_password" else ""
            raise SettingsError(f"{protocol}, but {variable_of(name)} is empty: set it{hint}")
        if given and not settings.uses_sasl:
            raise SettingsError(
                f"{protocol}, so {variable_of(name)} would be ignored: "
                f"set the protocol to SASL_SSL or SASL_PLAINTEXT, or unset {variable_of(name)}"
            )
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password"):
        if getattr(settings, name) and not settings.uses_tls:
            raise SettingsError(
                f"{protocol}, so {variable_of(name)} would be ignored: "
                f"set the protocol to SSL or SASL_SSL, or unset {variable_of(name)}"
            )
    for name in ("ssl_keyfile", "ssl_key_password"):
        if getattr(settings, name) and not settings.ssl_certfile:
            raise SettingsError(
                f"{variable_of(name)} is set without KEEPSTREAM_SSL_CERTFILE: set that, too"
            )
    _require_paths(settings)
    _require_kept(settings)
    return settings


def _require_kept(settings: Settings) -> None:
    """Refuse settings that alone would lose a part of the log for good."""
    if settings.log_retention == "forever":
        return
    named = f"KEEPSTREAM_LOG_RETENTION is {settings.log_retention!r}"
    if not settings.has_archive:
        raise SettingsError(
            f"{named} and KEEPSTREAM_ARCHIVE is 'off', so older events would be lost: set "
            f"KEEPSTREAM_ARCHIVE=on, or KEEPSTREAM_LOG_RETENTION=forever"
        )
    if settings.log_retention_ms < LOG_RETENTION_MS_MIN:
        raise SettingsError(
            f"{named}, and a worker that was away for longer would lose events: set at least 7d"
        )


def _require_paths(settings: Settings) -> None:
    files = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
    for name in (*files, "parameters", "collector_sources", "console_people", "endpoints"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise SettingsError(f"{variable_of(name)} is {path!r}: there is no such file")
    if settings.rows_dir and not Path(settings.rows_dir).is_dir():
        raise SettingsError(
            f"{variable_of('rows_dir')} is {settings.rows_dir!r}: there is no such directory"
        )


def _secret_in(path: str, field: str) -> str:
    """The text of a secret's file, without the line break at its end."""
    try:
        secret = read_text(Path(path), SECRET_BYTES_MAX).rstrip("\r\n")
    except TextRefused as refused:
        raise SettingsError(
            f"{variable_of(field)} is {path!r}: can't read it ({refused})"
        ) from None
    if not secret:
        raise SettingsError(f"{variable_of(field)} is {path!r}: the file is empty")
    return secret
