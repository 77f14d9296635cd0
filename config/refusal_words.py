"""Patterns that texts must match, and words for them that refusals use."""

import re

import msgspec
from msgspec import Meta

_WORDS: dict[str, str] = {}
_MATCHING = re.compile(r"Expected `str` matching regex (.+?)(?= - at `|\Z)", re.DOTALL)


def pattern(expression: str, words: str) -> Meta:
    """A constraint on texts; ``words`` describe a matching text, such as "a lower-case name"."""
    _WORDS[repr(expression)] = words
    return Meta(pattern=expression)


#: Words for msgspec's names of types.
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "null": "nothing",
}
_PLACE = re.compile(r"(.*?) - at `\$\.?(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.+)`")
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_AS_MANY = re.compile(r"Expected `array` of length (\d+), got (\d+)")


def in_words(error: msgspec.ValidationError) -> str:
    """msgspec's error about a value in a file, and the value's place, in words."""
    text = _MATCHING.sub(
        lambda found: f"Expected {_WORDS.get(found[1], 'another text')}", f"{error}"
    )
    place = _PLACE.fullmatch(text)
    said, where = (place[1], f"{place[2]}: ") if place else (text, "")
    if missing := _MISSING.fullmatch(said):
        said = f"{missing[1]} is missing"
    elif expected := _EXPECTED.fullmatch(said):
        said = f"expected {kinds_in_words(expected[1])}, got {kinds_in_words(expected[2])}"
    elif as_many := _AS_MANY.fullmatch(said):
        said = f"expected a list of {as_many[1]}, got {as_many[2]}"
    return where + said[:1].lower() + said[1:]


def kinds_in_words(named: str, objects: str = "a group of names and values") -> str:
    """The types that msgspec names, in words. ``objects``: the word for an object. `null` is left
    out if there are other types.
    """
    names = [name for name in named.split(" | ") if name != "null"] or ["null"]
    return " or ".join(objects if name == "object" else _KINDS.get(name, name) for name in names)
