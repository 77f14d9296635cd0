"""Reads ``endpoints.yaml``: where decisions are delivered over HTTP, and what each endpoint gets.

A secret has its own file or variable, and never stands in this file.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from config.duration import DAY_MS, MINUTE_MS, SECOND_MS, DurationMs
from config.refusal_words import pattern
from config.rules import FileEntry, RuleError, read_tree, typed
from config.secret_files import Names, SecretRefused, secret_in_file, several, whole

#: The beginning of a Standard Webhooks secret, and how many bytes it may have.
SIGNING_PREFIX = "whsec_"
SIGNING_BYTES_MIN, SIGNING_BYTES_MAX = 24, 64
_MAKE_ONE = "echo whsec_$(head -c 32 /dev/urandom | base64)"
ENDPOINTS_MAX = 50
#: Variables with this prefix must be settings; others are refused.
_OURS = "KEEPSTREAM_"
#: Host names as in DNS, with the underscore that some have.
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,254}}\Z)({_LABEL}\.)*{_LABEL}\.?")
_ONE_TO_64 = Meta(ge=1, le=64)


class EndpointRule(FileEntry, frozen=True):
    """One endpoint, from its entry in the file.

    ``url``, or a file or variable that holds it if the URL itself is a secret. ``to``: the
    destination, whose format is used; ``user``, ``event``, ``field``: what some destinations need
    besides. ``kinds``, ``channels`` and ``segments``: what is delivered; empty for all. ``facts``:
    which of the decisions' facts each message contains. ``groups``: whose decisions are delivered.
    ``erased``: whether erasures are delivered. ``begin``: where a new endpoint begins to read.
    ``rate``: the most requests a second. ``attempts``: how often one decision is tried while others
    succeed. ``give_up``: the age at which a message that still fails is set aside.
    """

    name: Annotated[
        str,
        pattern(r"^[a-z0-9][a-z0-9-]{0,39}\Z", "up to 40 lower-case letters, digits and '-'"),
    ]
    url: str = ""
    url_file: str = ""
    url_env: str = ""
    to: str = "generic"
    user: str = ""
    event: str = ""
    field: Annotated[str, pattern(r"^([a-z][a-z0-9_]*)?\Z", "the alias of a field")] = ""
    secret_file: Names = ()
    secret_env: Names = ()
    kinds: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    groups: tuple[Literal["treated", "control"], ...] = ("treated",)
    erased: bool = False
    begin: Literal["latest", "earliest"] = "latest"
    concurrency: Annotated[int, _ONE_TO_64] = 4
    rate: Annotated[float, Meta(gt=0, le=10_000)] = 50.0
    timeout: DurationMs = DurationMs(15 * SECOND_MS)
    attempts: Annotated[int, Meta(ge=1, le=100)] = 8
    retry_first: DurationMs = DurationMs(SECOND_MS)
    retry_longest: DurationMs = DurationMs(5 * MINUTE_MS)
    give_up: DurationMs = DurationMs(3 * DAY_MS)
    allow_http: bool = False
    allow_private: bool = False
    template: str = ""


class _EndpointFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoints: tuple[EndpointRule, ...]
    file: str = ""


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint with its secrets, which its repr hides."""

    rule: EndpointRule
    url: str
    secrets: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.rule.name

    def is_as(self, other: "Endpoint") -> bool:
        """Whether both are the same, apart from their place in the file."""
        theirs = msgspec.structs.replace(other.rule, line=self.rule.line, file=self.rule.file)
        return (self.rule, self.url, self.secrets) == (theirs, other.url, other.secrets)

    def signing_keys(self) -> tuple[bytes, ...]:
        """The keys that its messages are signed with, the current one first."""
        return tuple(b64decode(secret.removeprefix(SIGNING_PREFIX)) for secret in self.secrets)

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("name", self.name)]


#: How each destination authenticates a request: by signature, by the URL alone, by a key, or by
#: user and key.
LOGINS: Mapping[str, Literal["signed", "url", "key", "user"]] = {
    "generic": "signed",
    "slack": "url",
    "customerio": "user",
    "braze": "key",
    "klaviyo": "key",
    "hubspot": "key",
    "dittofeed": "key",
    "mautic": "user",
}
#: Entries that only one destination needs: the destination, and the words that ask for the entry.
_OF_ONE: Mapping[str, tuple[str, str]] = {
    # HubSpot needs each event defined first, so all kinds share one.
    "event": ("hubspot", "an event's whole name: set event: pe123_keepstream"),
    "field": ("mautic", "the alias of the contact field that has your ids: set field: customer_id"),
}


def load_endpoints(file: Path, environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """The endpoints in ``file``, with the secrets that they name. Raises `RuleError`."""
    tree = read_tree(file, "endpoints.yaml")
    found: _EndpointFile = typed(tree, _EndpointFile, {"endpoints": EndpointRule})
    if not found.endpoints or len(found.endpoints) > ENDPOINTS_MAX:
        raise RuleError(
            f"{found.file}: {len(found.endpoints)} endpoints: declare 1 to {ENDPOINTS_MAX}"
        )
    seen: dict[str, int] = {}
    for rule in found.endpoints:
        if rule.name in seen:
            raise _refused(
                rule, f"line {seen[rule.name]} has this name, too: each has a position by its own"
            )
        seen[rule.name] = rule.line
    return tuple(_endpoint(rule, file.parent, environ) for rule in found.endpoints)


def files_of(file: Path, endpoints: Iterable[Endpoint]) -> list[Path]:
    """Every file that ``endpoints`` depend on: ``file`` and the files it names."""
    names = [
        name
        for one in endpoints
        for name in (*several(one.rule.secret_file), one.rule.url_file)
        if name
    ]
    return [file, *(file.parent / name for name in names)]


def _endpoint(rule: EndpointRule, folder: Path, environ: Mapping[str, str]) -> Endpoint:
    _check_limits(rule)
    if rule.to not in LOGINS:
        raise _refused(rule, f"to: {rule.to!r} is no destination; known: {', '.join(LOGINS)}")
    url = _url(rule, folder, environ)
    secrets = (
        *(_secret_in_file(rule, name, folder) for name in several(rule.secret_file)),
        *(_secret_in_variable(rule, name, environ) for name in several(rule.secret_env)),
    )
    _check_login(rule, secrets)
    _check_besides(rule)
    return Endpoint(rule, url, secrets)


def _check_limits(rule: EndpointRule) -> None:
    for name, least_ms, most_ms in (
        ("timeout", SECOND_MS, MINUTE_MS),
        ("retry_first", 10, MINUTE_MS),
        ("retry_longest", rule.retry_first, DAY_MS),
        ("give_up", MINUTE_MS, 28 * DAY_MS),
    ):
        if not least_ms <= getattr(rule, name) <= most_ms:
            raise _refused(rule, f"{name} is from {least_ms:,} ms to {most_ms:,} ms")
    if not rule.groups:
        raise _refused(rule, "groups is empty, so nothing would be delivered: leave it out")


def _url(rule: EndpointRule, folder: Path, environ: Mapping[str, str]) -> str:
    given = [name for name in ("url", "url_file", "url_env") if getattr(rule, name)]
    if len(given) != 1:
        what = " and ".join(given) or "no url"
        raise _refused(rule, f"{what}: give one of url, url_file and url_env")
    url = rule.url
    if rule.url_file:
        url = _secret_in_file(rule, rule.url_file, folder)
    elif rule.url_env:
        url = _secret_in_variable(rule, rule.url_env, environ)
    # The message leaves the address out: it may be a secret.
    try:
        parts = urlsplit(url)
        is_whole = _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        is_whole = False
    if is_whole and "@" in parts.netloc:
        raise _refused(rule, "its url holds a password: give it by user and secret_file")
    if not is_whole or not re.fullmatch(r"[!-~]{1,2000}", url):
        raise _refused(rule, "its url is none: write it as https://host/path, in ASCII")
    if "#" in url:
        raise _refused(rule, "its url has a part after #, which is never sent: leave that out")
    if parts.scheme not in ("https", "http"):
        raise _refused(rule, f"its url begins with {parts.scheme}: only https is spoken")
    if parts.scheme == "http" and not rule.allow_http:
        raise _refused(
            rule, "its url begins with http, so all could be read on the way: use https, or set "
            "allow_http: true"
        )  # fmt: skip
    return url


def _is_host(host: str) -> bool:
    """Whether a host may have this name or address."""
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _check_login(rule: EndpointRule, secrets: tuple[str, ...]) -> None:
    login = LOGINS[rule.to]
    if rule.user and login != "user":
        raise _refused(rule, f"user would be ignored: {rule.to} has none")
    if login == "url" and secrets:
        raise _refused(rule, f"a secret would be ignored: {rule.to} knows who may by the url")
    if login == "signed":
        if not secrets:
            raise _refused(
                rule, f"no secret to sign with: make one with {_MAKE_ONE} > crm.secret, and "
                "name the file as secret_file"
            )  # fmt: skip
        for secret in secrets:
            _check_signing(rule, secret)
    if login in ("key", "user") and len(secrets) != 1:
        raise _refused(rule, f"{rule.to} takes one secret, its API key: name it as secret_file")
    if login == "user" and not rule.user:
        raise _refused(rule, f"{rule.to} takes a user besides the secret: set user")


def _check_besides(rule: EndpointRule) -> None:
    for name, (destination, what) in _OF_ONE.items():
        given = getattr(rule, name)
        if given and rule.to != destination:
            raise _refused(rule, f"{name} would be ignored: only {destination} has one")
        if not given and rule.to == destination:
            raise _refused(rule, f"{destination} wants {what}")


def _check_signing(rule: EndpointRule, secret: str) -> None:
    try:
        key = b64decode(secret.removeprefix(SIGNING_PREFIX), validate=True)
    except (NotBase64, ValueError):
        key = b""
    if not SIGNING_BYTES_MIN <= len(key) <= SIGNING_BYTES_MAX:
        raise _refused(
            rule, f"a secret is {SIGNING_PREFIX} and {SIGNING_BYTES_MIN} to {SIGNING_BYTES_MAX} "
            f"random bytes in base64, and this is not: make one with {_MAKE_ONE}"
        )  # fmt: skip


def _secret_in_file(rule: EndpointRule, name: str, folder: Path) -> str:
    try:
        return secret_in_file(name, folder)
    except SecretRefused as refused:
        raise _refused(rule, f"{refused}") from None


def _secret_in_variable(rule: EndpointRule, name: str, environ: Mapping[str, str]) -> str:
    if name.startswith(_OURS):
        raise _refused(rule, f"{name} begins with {_OURS}, as settings do: name it otherwise")
    if not name.strip():
        raise _refused(rule, "secret_env is empty: name the variable that holds the secret")
    try:
        return whole(environ.get(name, "").strip(), name)
    except SecretRefused as refused:
        raise _refused(rule, f"{refused}") from None


def _refused(rule: EndpointRule, problem: str) -> RuleError:
    return RuleError(f"{rule.where}: {rule.name}: {problem}")
