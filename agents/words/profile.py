"""A customer's profile in words."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from models.customer.part import Line
from models.customer.profile import SECTIONS, SectionView
from models.customer.words import moment_in_words


def profile_in_words(view: Any, currency: str) -> Group:
    """The profile as a table, with a line for each known value."""
    title = Text.assemble((view.user_id, "bold"), f" as of {moment_in_words(view.as_of)}")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in lines(view, currency):
        table.add_row(Text(name), Text(words))
    return Group(title, table)


def lines(view: Any, currency: str) -> Iterator[Line]:
    """The lines of all sections with a value, in the order of the sections."""
    for section in sorted(SECTIONS, key=lambda section: section.place):
        found = getattr(view, section.name)
        if found is not None and section.in_words is not None:
            yield from section.in_words(found, view.as_of, currency)
    yield from _incomplete(view.sections)
    if view.next_deadline_at:
        yield Line("looked at again", moment_in_words(view.next_deadline_at))
    model = (
        f"version {view.model_version}" if view.model_version else "none yet: the shipped priors"
    )
    yield Line("shared model", model)


def _incomplete(sections: dict[str, SectionView]) -> Iterator[Line]:
    """Sections that lack what happened before an upgrade, or before a part was switched on."""
    names: dict[str, list[str]] = {}
    for name, section in sections.items():
        if section.complete_since is not None:
            names.setdefault(section.complete_since, []).append(name)
    for since, some in names.items():
        yield Line("kept only since", f"{moment_in_words(since)}: {', '.join(some)}")
