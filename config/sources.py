"""The sources that the collector takes events from: their hashed write keys and their limits. And
the vendors whose webhooks it takes, with the secrets that they sign with.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from config.bounded_text import TextRefused, read_toml
from config.refusal_words import in_words, pattern
from config.secret_files import Names, SecretRefused, secret_in_file, several
from config.settings import Settings, SettingsError, variable_of
from config.vendors import SHIPPED, VendorRule, key_in, shipped_vendor, vendor_in

#: Every source is a label of metrics, so their number is limited.
SOURCES_MAX: Final = 200
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

#: Two while one secret replaces the other.
SECRETS_MAX: Final = 2

_FORM: Final = (
    "a source is a table [sources.NAME] with keys, and if need be events_per_second, burst, "
    "is_trusted and is_batched; webhooks are a table [webhooks.NAME] with vendor and secret_file"
)
_KINDS: Final = ("sources", "webhooks", "vendors")

_Hash = Annotated[
    str,
    pattern(
        r"^[0-9a-f]{64}\Z",
        "the SHA-256 of a write key, which `keepstream collector key NAME` makes",
    ),
]


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one source may do. ``is_trusted``: whether it may erase, merge and split persons; a key
    that is in every visitor's browser must not. ``is_batched``: it sends many events at once, as
    tills do at night, so the hour of its events means nothing.
    """

    events_per_second: Annotated[float, Meta(gt=0, le=1_000_000)] = 5_000.0
    burst: Annotated[float, Meta(ge=1, le=10_000_000)] = 25_000.0
    is_trusted: bool = False
    is_batched: bool = False


class SenderLimits(Limits, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A source with write keys. ``keys``: their SHA-256, two while one replaces the other."""

    keys: Annotated[list[_Hash], Meta(min_length=1, max_length=8)]


class WebhookRule(Limits, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vendor's webhooks in the file of sources. ``secret_file``: the file with the secret that
    the vendor signs with, or two files while one secret replaces the other. ``user`` and ``guest``:
    where the customer's id is, in place of the vendor's mapping.
    """

    vendor: str
    secret_file: Names
    user: str | None = None
    guest: str | None = None


class WebhookSource(Struct, frozen=True):
    """A vendor's webhooks with their secrets, which its repr hides. ``place`` and ``where``: the
    file and path of the source and of the vendor, for messages.
    """

    rule: WebhookRule
    place: str
    vendor: VendorRule
    where: str
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"WebhookSource({self.rule.vendor!r})"


class SourcesFile(Struct, frozen=True):
    """What a file of sources declares. `webhook_sources` reads the secrets."""

    path: Path = Path()
    sources: dict[str, SenderLimits] = {}
    webhooks: dict[str, WebhookRule] = {}
    vendors: dict[str, VendorRule] = {}

    def vendor(self, name: str) -> tuple[VendorRule, str]:
        """A vendor by its name, from the file or shipped, and where it is declared. Raises
        `SettingsError`.
        """
        if name in self.vendors:
            return self.vendors[name], f"{self.path}: vendors.{name}"
        if name in SHIPPED:
            return shipped_vendor(name), f"config/vendors/{name}.toml"
        known = ", ".join((*SHIPPED, *self.vendors))
        raise SettingsError(
            f"there is no vendor {name!r}; known: {known}; declare one of your own as a table "
            f"[vendors.{name}]"
        )

    def webhook(self, name: str) -> WebhookSource:
        """Webhooks that are declared here, without their secrets. Raises `SettingsError`."""
        rule, place = self.webhooks[name], f"{self.path}: webhooks.{name}"
        try:
            return WebhookSource(rule, place, *self.vendor(rule.vendor))
        except SettingsError as error:
            raise SettingsError(f"{place}: {error}") from None


class Senders:
    """Every source, by its name and by its write keys, and vendors' webhooks by their names.
    ``files``: the files they were read from.
    """

    def __init__(
        self,
        sources: Mapping[str, SenderLimits],
        webhooks: Mapping[str, WebhookSource] | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.files = files
        self.sources = dict(sources)
        self.webhooks = dict(webhooks or {})
        self._by_hash = {key: name for name, one in self.sources.items() for key in one.keys}

    @property
    def limits(self) -> Mapping[str, Limits]:
        """The limits of each source, by its name."""
        return {**self.sources, **{name: one.rule for name, one in self.webhooks.items()}}

    def name_of(self, write_key: str) -> str | None:
        """The source that a write key belongs to; None if there is none."""
        return self._by_hash.get(hash_of(write_key))


def hash_of(write_key: str) -> str:
    """The hash that is kept of a write key. The key is random, so it can't be guessed even without
    a salt and a slow hash.
    """
    return sha256(write_key.encode("utf-8", "replace")).hexdigest()


def load_senders(settings: Settings) -> Senders:
    """The sources in the file and the environment. Raises `SettingsError`, also if there are none,
    and `RuleError` for a vendor that can't be used.
    """
    file = _file_of(settings.collector_sources)
    sources = {**file.sources, **_from_keys(settings.collector_keys)}
    if not sources and not file.webhooks:
        raise SettingsError(
            "the collector knows no write key, so it could take nothing: make one with "
            "`keepstream collector key NAME --add sources.toml`, and set "
            f"{variable_of('collector_sources')}=sources.toml"
        )
    count = len(sources) + len(file.webhooks)
    if count > SOURCES_MAX:
        raise SettingsError(f"{count} sources, and there may be {SOURCES_MAX}: join some")
    hashes = [key for one in sources.values() for key in one.keys]
    if len(hashes) != len(set(hashes)):
        raise SettingsError("two sources have one write key: give each its own")
    for name in sources:
        require_source_name(name)
        if name in file.webhooks:
            raise SettingsError(
                f"{file.path}: {name} is a source with write keys and one of webhooks: name one of "
                f"them otherwise, as each is counted by its name"
            )
    secrets = [name for one in file.webhooks.values() for name in several(one.secret_file)]
    files = [file.path, *(file.path.parent / name for name in secrets)]
    return Senders(sources, webhook_sources(file), files if settings.collector_sources else ())


def webhook_sources(file: SourcesFile) -> dict[str, WebhookSource]:
    """The webhooks that a file declares, with their vendors and secrets. Raises `SettingsError`."""
    found = {}
    for name, rule in file.webhooks.items():
        require_source_name(name)
        source = file.webhook(name)
        try:
            files = several(rule.secret_file)
            if not 1 <= len(files) <= SECRETS_MAX:
                raise SecretRefused(
                    "secret_file names one file, or two while one secret replaces the other"
                )
            secrets = tuple(secret_in_file(one, file.path.parent) for one in files)
            _check_keys(source.vendor, secrets)
        except SecretRefused as refused:
            raise SettingsError(f"{source.place}: {refused}") from None
        found[name] = msgspec.structs.replace(source, secrets=secrets)
    return found


def _check_keys(vendor: VendorRule, secrets: tuple[str, ...]) -> None:
    """Raise `SecretRefused` for a secret that is no key of this vendor's."""
    if vendor.signature.key != "base64":
        return
    for secret in secrets:
        try:
            key_in(secret)
        except ValueError:
            raise SecretRefused(
                "its secret is no base64, as this vendor's are: copy it whole, with whsec_ if it "
                "begins so"
            ) from None


def require_source_name(name: str) -> None:
    """Raise `SettingsError` unless a source may have this name."""
    if NAME.fullmatch(name) is None:
        raise SettingsError(
            f"{name!r} is no name of a source: use up to 63 lower-case letters, digits, '.', '_' "
            f"and '-', for example shop-web"
        )


def _file_of(path: str) -> SourcesFile:
    if not path:
        return SourcesFile()
    try:
        return sources_in(Path(path))
    except SettingsError as error:
        raise SettingsError(f"{variable_of('collector_sources')}: {error}") from None


def sources_in(path: Path) -> SourcesFile:
    """What a file declares. Raises `SettingsError`, and `RuleError` for a vendor in it."""
    try:
        tables = read_toml(path)
    except TextRefused as refused:
        raise SettingsError(f"{path}: can't read it ({refused})") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}; {_FORM}") from None
    for name in tables:
        if name not in _KINDS:
            raise SettingsError(f"{path}: there is no {name!r}; {_FORM}")
    if taken := set(SHIPPED).intersection(_tables(path, tables, "vendors")):
        raise SettingsError(
            f"{path}: vendors.{min(taken)}: a vendor of this name is shipped: name yours otherwise"
        )
    return SourcesFile(
        path,
        _entries(path, tables, "sources", SenderLimits),
        _entries(path, tables, "webhooks", WebhookRule),
        {
            name: vendor_in(table, f"{path}: vendors.{name}")
            for name, table in _tables(path, tables, "vendors").items()
        },
    )


def _entries(path: Path, tables: Mapping[str, Any], kind: str, shape: type[Any]) -> dict[str, Any]:
    """The tables of one kind, each converted by itself, so that its error can name it."""
    found = {}
    for name, table in _tables(path, tables, kind).items():
        try:
            found[name] = msgspec.convert(table, shape)
        except msgspec.ValidationError as error:
            raise SettingsError(f"{path}: {kind}.{name}: {in_words(error)}; {_FORM}") from None
    return found


def _tables(path: Path, tables: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = tables.get(kind, {})
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: {kind} is no table; {_FORM}")
    return found


def _from_keys(text: str) -> Mapping[str, SenderLimits]:
    """The sources in the environment; their form is checked with the settings."""
    found: dict[str, list[str]] = {}
    for entry in filter(None, text.split(",")):
        name, _, key = entry.partition("=")
        found.setdefault(name, []).append(key)
    return {name: SenderLimits(keys=keys) for name, keys in found.items()}
