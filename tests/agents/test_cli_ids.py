"""Ids that people type or copy are read as events' ids are."""

import pytest

from agents.cli.errors import CommandError
from agents.cli.options import as_in_events
from models.events.ids import customer_id_text


@pytest.mark.parametrize(
    "said", ["ada", " ada", "ada  ", "auth0|x y", "-5", "a/b?c=d#e", "\tada\n"]
)
def test_an_id_is_found_as_it_was_sent(said: str) -> None:
    assert customer_id_text(said.strip("\t\n"), "$.userId") == as_in_events(said)


def test_no_id_is_none() -> None:
    assert as_in_events(None) is None


@pytest.mark.parametrize("said", ["", "  ", "a\0b", "x" * 257, "two\nlines"])
def test_what_is_no_id_is_refused_with_what_to_give(said: str) -> None:
    with pytest.raises(CommandError, match="give a userId or an anonymousId"):
        as_in_events(said)
