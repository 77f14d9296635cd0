"""The sources from which the collector takes events: their write keys, hashed, and their limits."""

import re
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from config.bounded_text import TextRefused, read_toml
from config.settings import Settings, SettingsError, variable_of

#: Each is a label of metrics.
SOURCES_MAX: Final = 200
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

_Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class SenderLimits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one source may do. ``keys``: SHA-256 of its write keys, two while one replaces the
    other; ``is_trusted``: whether it may ask for a person to be erased, or say that customers are
    one or are not, which a key that is in every visitor's browser must not.
    """

    keys: Annotated[list[_Hash], Meta(min_length=1, max_length=8)]
    events_per_second: Annotated[float, Meta(gt=0, le=1_000_000)] = 5_000.0
    burst: Annotated[float, Meta(ge=1, le=10_000_000)] = 25_000.0
    is_trusted: bool = False


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    sources: dict[str, SenderLimits] = {}


class Senders:
    """Every source by its name, and by its write keys."""

    def __init__(self, sources: Mapping[str, SenderLimits]) -> None:
        self.sources = dict(sources)
        self._by_hash = {key: name for name, one in self.sources.items() for key in one.keys}

    def name_of(self, write_key: str) -> str | None:
        """The source that a write key is of; None for a key of nobody."""
        return self._by_hash.get(hash_of(write_key))


def hash_of(write_key: str) -> str:
    """What is kept of a write key. It has the randomness of a key, so no salt and no slow hash are
    needed to keep it from being guessed.
    """
    return sha256(write_key.encode("utf-8", "replace")).hexdigest()


def load_senders(settings: Settings) -> Senders:
    """The sources of the file and of the environment. Raises `SettingsError`, also if there are
    none.
    """
    sources = {**_from_file(settings.collector_sources), **_from_keys(settings.collector_keys)}
    if not sources:
        raise SettingsError(
            "the collector knows no write key, so it could take nothing: make one with "
            "`keepstream collector key NAME --add sources.toml`, and set "
            f"{variable_of('collector_sources')}=sources.toml"
        )
    if len(sources) > SOURCES_MAX:
        raise SettingsError(f"{len(sources)} sources, and there may be {SOURCES_MAX}: join some")
    hashes = [key for one in sources.values() for key in one.keys]
    if len(hashes) != len(set(hashes)):
        raise SettingsError("two sources have one write key: give each its own")
    for name in sources:
        require_source_name(name)
    return Senders(sources)


def require_source_name(name: str) -> None:
    """Raise `SettingsError` unless a source may be called so."""
    if NAME.fullmatch(name) is None:
        raise SettingsError(
            f"{name!r} is no name of a source: use up to 63 lower-case letters, digits, '.', '_' "
            f"and '-', for example shop-web"
        )


def _from_file(path: str) -> Mapping[str, SenderLimits]:
    if not path:
        return {}
    try:
        return sources_in(Path(path))
    except SettingsError as error:
        raise SettingsError(f"{variable_of('collector_sources')}: {error}") from None


def sources_in(path: Path) -> Mapping[str, SenderLimits]:
    """The sources of a file. Raises `SettingsError`."""
    try:
        return msgspec.convert(read_toml(path), _File).sources
    except TextRefused as refused:
        raise SettingsError(f"{path}: can't read it ({refused})") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(
            f"{path}: {error}; a source is a table [sources.NAME] with keys, and if need be "
            f"events_per_second, burst and is_trusted"
        ) from None


def _from_keys(text: str) -> Mapping[str, SenderLimits]:
    """Sources as the environment has them, whose form is checked with the settings."""
    found: dict[str, list[str]] = {}
    for entry in filter(None, text.split(",")):
        name, _, key = entry.partition("=")
        found.setdefault(name, []).append(key)
    return {name: SenderLimits(keys=keys) for name, keys in found.items()}
