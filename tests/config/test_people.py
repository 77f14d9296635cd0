"""Who may log in to the console is read strictly, and tokens are kept as hashes."""

from pathlib import Path

import pytest

from config.people import People, Role, load_people
from config.settings import SettingsError, load_settings
from config.sources import hash_of

FILE = f"""
[people.anna]
tokens = ["{hash_of("one")}", "{hash_of("two")}"]
[people.otto]
role = "operator"
tokens = ["{hash_of("three")}"]
"""


def test_people_of_a_file_and_of_the_environment_are_known_by_their_tokens(tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    file.write_text(FILE)
    settings = load_settings(
        {}, console_people=str(file), console_tokens=f"eve:operator={hash_of('four')}"
    )

    people = People(load_people(settings))
    found = {token: people.find(token) for token in ("one", "two", "three", "four", "five", "")}
    assert {
        "one": ("anna", Role.VIEWER),
        "two": ("anna", Role.VIEWER),
        "three": ("otto", Role.OPERATOR),
        "four": ("eve", Role.OPERATOR),
        "five": None,
        "": None,
    } == found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[people.anna]\ntokens = []\n", "tokens"),
        ("[people.anna]\ntokens = ['plain']\n", "tokens"),
        (FILE.replace("operator", "admin"), "role"),
        (FILE.replace("tokens", "token"), "token"),
        (FILE.replace("anna", '"A b"'), "no name of a person"),
        (FILE.replace(hash_of("three"), hash_of("one")), "two people have one token"),
        ("[people", "people"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(content: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    file.write_text(content)

    with pytest.raises(SettingsError, match=why):
        load_people(load_settings({}, console_people=str(file)))


@pytest.mark.parametrize("tokens", ["anna", "anna=0", f"anna:admin={'0' * 64}", f"anna={'0' * 64}"])
def test_tokens_in_the_environment_have_one_form(tokens: str) -> None:
    with pytest.raises(SettingsError, match="KEEPSTREAM_CONSOLE_TOKENS"):
        load_settings({}, console_tokens=tokens)
