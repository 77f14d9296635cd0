"""The output while it runs: a live picture on a terminal, plain lines elsewhere."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from heapq import nlargest
from itertools import chain, zip_longest
from textwrap import wrap
from time import monotonic
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

from agents.trials.demo.watch import Figures
from agents.words.decision_lines import in_words, when, why, words_of
from models.decisions.trigger import Decision

LIVE_EVERY_S = 0.2
PLAIN_EVERY_S = 2.0
#: Triggers printed each time in plain lines: more would only scroll by.
PLAIN_TRIGGERS = 3
RATE_OVER_S = 2.0
#: A terminal with at least this many columns is wide.
_WIDE = 110
_GAP = 2
#: The least that is shown of a sentence in a line, however narrow the terminal is.
_SENTENCE_MIN = 30
#: The height of the latest triggers, and of what stands above them besides the counts.
_LATEST_LINES_MIN, _LATEST_LINES_MAX = 6, 10
_LINES_BESIDE = 8

FATES = {
    "applied": "applied",
    "duplicate": "repeats dropped",
    "late": "too late",
    "dead_letter": "refused (dead letters)",
}


class View:
    """What to show at a moment. ``total_words`` says how certain ``expected`` is."""

    def __init__(self, figures: Figures, title: str, expected: int) -> None:
        self.figures = figures
        self.title = title
        self.expected = expected
        self.total_words = f"about {expected:,}"
        self.plain_every_s = PLAIN_EVERY_S
        self.sent = 0
        self._accounted: deque[tuple[float, int]] = deque()

    def rate_per_s(self, now_s: float) -> float:
        """Events per second that the workers finished lately."""
        self._accounted.append((now_s, self.figures.accounted))
        while now_s - self._accounted[0][0] > RATE_OVER_S and len(self._accounted) > 2:
            self._accounted.popleft()
        (then_s, then), (now_s, now) = self._accounted[0], self._accounted[-1]
        return (now - then) / (now_s - then_s) if now_s > then_s else 0.0


class Screen(Protocol):
    """Where a demonstration is shown."""

    def say(self, text: str) -> None:
        """Announce a step that takes a moment."""

    def show(self, view: View) -> None:
        """Show ``view``, unless that was done just now."""

    def end(self) -> None:
        """Stop showing; later output appears below."""


@contextmanager
def screen(console: Console) -> Iterator[Screen]:
    """The screen that fits the console, until the end of the block."""
    shown = LiveScreen(console) if _is_live(console) else PlainScreen(console)
    try:
        yield shown
    finally:
        shown.end()


def _is_live(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


class LiveScreen:
    """Redraws one picture in its place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._live: Live | None = None
        self._shown_s = 0.0

    def say(self, text: str) -> None:
        if self._live is not None:
            self._console.print(text)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def show(self, view: View) -> None:
        now_s = monotonic()
        if now_s - self._shown_s < LIVE_EVERY_S:
            return
        self._shown_s = now_s
        picture = _picture(view, now_s, self._console.width, self._console.height)
        if self._live is None:
            self.end()
            self._live = Live(picture, console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(picture, refresh=True)

    def end(self) -> None:
        for shown in (self._status, self._live):
            if shown is not None:
                shown.stop()
        self._status = self._live = None


class PlainScreen:
    """Prints a line now and then, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_s = 0.0
        self._told = ""
        self._title = ""

    def say(self, text: str) -> None:
        self._print(text)

    def show(self, view: View) -> None:
        now_s = monotonic()
        if now_s - self._shown_s < view.plain_every_s:
            return
        if view.title != self._title:
            self._title = view.title
            self._print(view.title)
        self._shown_s = now_s
        figures = view.figures
        self._print(
            f"{view.sent:,} of {view.total_words} published, {figures.accounted:,} done "
            f"({view.rate_per_s(now_s):,.0f} a second), "
            f"{sum(figures.triggers.values()):,} triggers, {figures.profiles:,} profiles in Redis"
        )
        # Triggers from before the last printed one are left out, so that lines stay in order of
        # time.
        later = [one for one in in_time(figures.recent) if one.timestamp > self._told]
        for trigger in later[-PLAIN_TRIGGERS:]:
            self._print(f"  {in_words(trigger)}")
            self._told = trigger.timestamp

    def end(self) -> None:
        pass

    def _print(self, text: str) -> None:
        # No wrapping here: the reader's program wraps lines. Flushed, because logs are read while
        # they are written.
        self._console.print(text, soft_wrap=True, markup=False)
        self._console.file.flush()


def _picture(view: View, now_s: float, width: int, height: int) -> RenderableType:
    figures = view.figures
    customers = {"seen": len(figures.customers), "profiles in Redis": figures.profiles}
    beside = Group(
        _counts("Events", [{words: figures.fates[fate] for fate, words in FATES.items()}]),
        Text(),
        _counts("Customers", [customers]),
    )
    half = min((len(figures.triggers) + 1) // 2, height - _LINES_BESIDE - _LATEST_LINES_MIN)
    kinds = _most_frequent(figures.triggers, 2 * half)
    triggers = _counts("Triggers", [dict(kinds[:half]), dict(kinds[half:])])
    columns = Table.grid(padding=(0, 6 if width >= _WIDE else _GAP, 0, 0))
    columns.add_row(beside, triggers)
    head = (Text(view.title, style="bold"), _bar(view, now_s, width), Text(), columns, Text())
    heading = Text("Latest triggers, at the shop's time", style="bold")
    lines = min(max(height - half - _LINES_BESIDE, _LATEST_LINES_MIN), _LATEST_LINES_MAX)
    return Group(*head, heading, _latest(figures.recent, width, lines))


def _most_frequent(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    """Kinds in words with their counts, in their own order: all of them, or the most frequent ones
    and the rest as one.
    """
    if len(counts) <= most:
        return [(words_of(kind), count) for kind, count in counts.items()]
    shown = set(nlargest(most - 1, counts, key=lambda kind: counts[kind]))
    rest = Counter({kind: count for kind, count in counts.items() if kind not in shown})
    named = [(words_of(kind), count) for kind, count in counts.items() if kind in shown]
    return [*named, ("all others", rest.total())]


def _bar(view: View, now_s: float, width: int) -> Table:
    expected = max(view.expected, view.sent, 1)
    bar = Table.grid(padding=(0, 2, 0, 0))
    bar.add_row(
        ProgressBar(total=expected, completed=view.figures.accounted, width=max(10, width - 80)),
        f"{view.figures.accounted:,} of {view.total_words} events",
        f"{view.rate_per_s(now_s):,.0f} a second",
    )
    return bar


def _counts(title: str, columns: Sequence[Mapping[str, int]]) -> Table:
    """Counts by name, in as many columns side by side."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for _ in columns:
        table.add_column(no_wrap=True)
        table.add_column(justify="right", style="green", no_wrap=True)
    table.add_row(Text(title, style="bold"))
    for named in zip_longest(*(column.items() for column in columns), fillvalue=("", None)):
        cells = ((words, "" if count is None else f"{count:,}") for words, count in named)
        table.add_row(*chain.from_iterable(cells))
    return table


def _latest(triggers: Sequence[Decision], width: int, lines_max: int) -> Table:
    """Whole sentences in the order of the shop's time, as many of the latest as fit. On a narrow
    terminal a sentence continues on the next line.
    """
    told = [
        (when(one), one.user_id, f"{words_of(one.kind)}: {why(one)}") for one in in_time(triggers)
    ]
    beside = max((len(at) + len(who) + 2 * _GAP for at, who, _ in told), default=0)
    room = max(width - beside, _SENTENCE_MIN)
    lines: list[tuple[str, str, str]] = []
    for at, who, words in reversed(told):
        first, *more = wrap(words, room)
        if len(lines) + 1 + len(more) > lines_max:
            break
        lines = [(at, who, first), *(("", "", line) for line in more), *lines]
    # Padded to full height, so that what is above stays in place.
    lines += [("", "", "")] * (lines_max - len(lines))
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for style in ("dim", "cyan", ""):
        table.add_column(style=style, no_wrap=True)
    for at, who, words in lines:
        table.add_row(at, who, Text(words))
    return table


def in_time(decisions: Sequence[Decision]) -> list[Decision]:
    """Sorted by the shop's time, because partitions advance at different speeds."""
    return sorted(decisions, key=lambda one: one.timestamp)
