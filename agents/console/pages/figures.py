"""Figures for people: shares, amounts, times, and the positions of bars in a drawing."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from math import inf
from typing import NamedTuple

from models.money import digits

#: Drawings are this many units wide, so that positions are percentages.
WIDTH = 100.0


class Bar(NamedTuple):
    """A bar of a chart: its start and width, in units of `WIDTH`. ``figure``: its value as text;
    ``tone``: what its color means.
    """

    label: str
    figure: str
    x: float
    width: float
    tone: str


def diverging(values: Iterable[tuple[str, float]]) -> tuple[Bar, ...]:
    """Bars from the middle: to the right for values that raise the total, to the left for those
    that lower it. The longest bar reaches the edge.
    """
    known = list(values)
    most = max((abs(value) for _, value in known), default=0.0) or 1.0
    half = WIDTH / 2
    bars = []
    for label, value in known:
        width = round(abs(value) / most * half, 2)
        x = half if value >= 0 else round(half - width, 2)
        bars.append(Bar(label, f"{value:+.2f}", x, width, "raises" if value >= 0 else "lowers"))
    return tuple(bars)


def from_left(values: Sequence[tuple[str, float, str]]) -> tuple[Bar, ...]:
    """Bars from the left edge, from label, value and tone. The highest value fills the width; a
    value below 0 has no bar.
    """
    most = max((value for _, value, _ in values), default=0.0)
    most = most if most > 0 else inf
    return tuple(
        Bar(label, f"{value:,.2f}", 0.0, round(max(value, 0.0) / most * WIDTH, 2), tone)
        for label, value, tone in values
    )


def percent(share: float) -> str:
    """``16%``; below one percent ``0.4%``, so that it does not round to zero."""
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def money(amount: float, currency: str) -> str:
    """``1,204.50 EUR``, ``1,205 JPY``."""
    return f"{digits(amount, currency)} {currency}"


def day_and_time(iso: str) -> str:
    """``26 Nov 2026, 20:46 UTC``."""
    moment = datetime.fromisoformat(iso)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def short_time(iso: str) -> str:
    """``26 Nov, 20:46``."""
    moment = datetime.fromisoformat(iso)
    return f"{moment.day} {moment:%b, %H:%M}"


def day(iso: str) -> str:
    """``26 Nov 2026``."""
    moment = datetime.fromisoformat(iso)
    return f"{moment.day} {moment:%b %Y}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
