"""Patterns that texts must match, and the words with which a refusal tells what they ask for."""

import re

import msgspec
from msgspec import Meta

_WORDS: dict[str, str] = {}
_MATCHING = re.compile(r"Expected `str` matching regex (.+?)(?= - at `|\Z)", re.DOTALL)


def pattern(expression: str, words: str) -> Meta:
    """A constraint on texts; ``words``: what a text that matches is, as in "a lower-case name"."""
    _WORDS[repr(expression)] = words
    return Meta(pattern=expression)


def in_words(error: msgspec.ValidationError) -> str:
    """What msgspec says, with words in place of a pattern."""
    return _MATCHING.sub(
        lambda found: f"Expected {_WORDS.get(found[1], 'another text')}", f"{error}"
    )
