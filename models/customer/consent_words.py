"""The consent section of a profile, as data and in words."""

from collections.abc import Iterator

from msgspec import Struct

from models.customer.part import Line
from models.customer.words import how_long_before


class WordView(Struct, frozen=True, rename="camel"):
    """The latest choice about a purpose; ``list``: the name that an action gives the list, else
    other.
    """

    purpose: str
    channel: str | None
    list: str | None
    word: str
    at: str
    source: str


class ConsentView(Struct, frozen=True, rename="camel"):
    """Whether each purpose is granted now, by the latest choice or the shop's default; and the
    choices (``words``).
    """

    analytics: bool
    personalisation: bool
    marketing: bool
    words: tuple[WordView, ...]
    email_unreachable_since: str | None


def in_words(view: ConsentView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    for said in view.words:
        channel = f" by {said.channel}" if said.channel else ""
        of_list = f", list {said.list}" if said.list else ""
        when = how_long_before(said.at, as_of)
        yield Line("consent", f"{said.word} {said.purpose}{channel}{of_list}, {when}")
    if view.email_unreachable_since:
        when = how_long_before(view.email_unreachable_since, as_of)
        yield Line("e-mail", f"cannot be reached: it came back {when}")
