"""Tokens for the console are shown once, and kept as hashes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.cli import app
from config.people import People, Role, people_in
from config.sources import hash_of


def test_a_token_is_shown_once_and_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    given = []
    for name, role in (("anna", Role.VIEWER), ("otto", Role.OPERATOR)):
        command = ["console", "token", name, "--role", str(role), "--add", str(file)]
        done = CliRunner().invoke(app, command)
        assert 0 == done.exit_code
        given.append((done.stdout.strip(), (name, role)))

    people = People(people_in(file))
    assert [who for _, who in given] == [people.find(token) for token, _ in given]
    assert [] == [token for token, _ in given if token in file.read_text()]


def test_without_a_file_the_entry_is_told_with_the_token() -> None:
    done = CliRunner().invoke(app, ["console", "token", "anna"])

    token = done.stdout.split()[-1]
    assert f'tokens = ["{hash_of(token)}"]' in done.stdout


@pytest.mark.parametrize(
    ("name", "why"), [("anna", "has anna already"), ("A b", "no name of a person")]
)
def test_nobody_is_added_twice_or_under_no_name(name: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    CliRunner().invoke(app, ["console", "token", "anna", "--add", str(file)])
    before = file.read_text()

    done = CliRunner().invoke(app, ["console", "token", name, "--add", str(file)])
    assert (2, before) == (done.exit_code, file.read_text())
    assert why in done.output


def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    file.write_text("[people")

    done = CliRunner().invoke(app, ["console", "token", "anna", "--add", str(file)])
    assert (2, "[people") == (done.exit_code, file.read_text())
    assert "nothing was added" in done.output
