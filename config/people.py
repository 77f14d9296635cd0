"""The people who may log in to the console: their hashed tokens and their roles."""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from config.bounded_text import TextRefused, read_toml
from config.settings import Settings, SettingsError, variable_of
from config.sources import NAME, hash_of

PEOPLE_MAX: Final = 200

_Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Role(StrEnum):
    """A viewer may only look; an operator may also put dead letters back."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class Person(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person. ``tokens``: the SHA-256 of their tokens, two while one replaces the other."""

    tokens: Annotated[list[_Hash], Meta(min_length=1, max_length=8)]
    role: Role = Role.VIEWER


class _PeopleFile(Struct, frozen=True, forbid_unknown_fields=True):
    people: dict[str, Person] = {}


class People:
    """Everybody who may log in, by their tokens."""

    def __init__(self, people: Mapping[str, Person]) -> None:
        self._by_hash = {
            token: (name, person.role) for name, person in people.items() for token in person.tokens
        }

    def find(self, token: str) -> tuple[str, Role] | None:
        """The name and role of a token's owner; None if it has none."""
        return self._by_hash.get(hash_of(token))


def load_people(settings: Settings) -> Mapping[str, Person]:
    """The people in the file and the environment, by name. Raises `SettingsError`."""
    people = {**_from_file(settings.console_people), **_from_tokens(settings.console_tokens)}
    if len(people) > PEOPLE_MAX:
        raise SettingsError(f"{len(people)} people, and there may be {PEOPLE_MAX}: remove some")
    hashes = [token for person in people.values() for token in person.tokens]
    if len(hashes) != len(set(hashes)):
        raise SettingsError("two people have one token: give each their own")
    for name in people:
        require_person_name(name)
    return people


def require_person_name(name: str) -> None:
    """Raise `SettingsError` unless a person may have this name."""
    if NAME.fullmatch(name) is None:
        raise SettingsError(
            f"{name!r} is no name of a person: use up to 63 lower-case letters, digits, '.', '_' "
            f"and '-', for example anna"
        )


def people_in(path: Path) -> Mapping[str, Person]:
    """The people in a file. Raises `SettingsError`."""
    try:
        return msgspec.convert(read_toml(path), _PeopleFile).people
    except TextRefused as refused:
        raise SettingsError(f"{path}: can't read it ({refused})") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(
            f"{path}: {error}; a person is a table [people.NAME] with tokens, and a role if they "
            f"are an operator"
        ) from None


def _from_file(path: str) -> Mapping[str, Person]:
    if not path:
        return {}
    try:
        return people_in(Path(path))
    except SettingsError as error:
        raise SettingsError(f"{variable_of('console_people')}: {error}") from None


def _from_tokens(text: str) -> Mapping[str, Person]:
    people = {}
    for entry in filter(None, text.split(",")):
        who, _, token = entry.partition("=")
        name, _, role = who.partition(":")
        people[name] = Person(tokens=[token], role=Role(role))
    return people
