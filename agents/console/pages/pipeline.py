"""The state of the pipeline: rates, backlog, refused events, the doctor's findings."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from models.events.dead_letter import WEBHOOK, DeadLetter
from models.events.times import iso
from streams.dead_letters import StoredLetter
from streams.findings import Finding, Severity
from streams.vitals import GroupPosition

#: The width and the height of a drawing of rates.
_WIDTH, _HEIGHT = 240.0, 40.0
#: Dead letters shown for each reason.
LETTERS_SHOWN = 5
_CONTENT_LENGTH_MAX = 2_000
_ORDER = (Severity.PROBLEM, Severity.UNSEEN, Severity.NOTICE, Severity.OK)


class RateView(NamedTuple):
    """A topic's records per second over the last ten minutes, as a line; ``waiting``: records that
    the workers have not read yet, None for a topic that they don't read.
    """

    topic: str
    now: str
    line: str
    words: str
    waiting: int | None


class LetterView(NamedTuple):
    """A refused event. ``id``: its place, as in `keepstream dead-letters list`; ``is_event``:
    whether it is an event and not a vendor's webhook; ``content``: the visible part of its bytes.
    """

    id: str
    is_event: bool
    at: str
    path: str
    detail: str
    where: str
    content: str


class ReasonView(NamedTuple):
    """The newest dead letters of one reason; ``times``: how many there are."""

    reason: str
    times: int
    fix: str
    letters: tuple[LetterView, ...]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Problems, then unknown states, notices, and what is well; each group in the order of the
    flow.
    """
    return sorted(findings, key=lambda finding: _ORDER.index(finding.level))


def rate_view(topic: str, per_second: Sequence[float], waiting: int | None) -> RateView:
    """A topic's rate. The highest value is at the top of the drawing."""
    most = max(per_second, default=0.0)
    now = per_second[-1] if per_second else 0.0
    step = _WIDTH / max(len(per_second) - 1, 1)
    points = [
        f"{place * step:.1f},{_HEIGHT - 2 - (value / most * (_HEIGHT - 6) if most else 0):.1f}"
        for place, value in enumerate(per_second)
    ]
    words = f"now {now:,.1f} a second, at most {most:,.1f}" if per_second else "not known yet"
    return RateView(topic, f"{now:,.1f}", " ".join(points), words, waiting)


def waiting_by_topic(positions: Iterable[GroupPosition]) -> dict[str, int]:
    """The consumer lag of the workers by topic, in records over all partitions."""
    waiting: dict[str, int] = {}
    for position in positions:
        waiting[position.topic] = waiting.get(position.topic, 0) + position.waiting
    return waiting


def retried_in_words(went_back: int, reason: str, webhooks_stay: int) -> str:
    """How many were put back, and how many could not be."""
    words = (
        f"{went_back:,} events refused as {reason} went back; those still wrong are refused again."
    )
    if not webhooks_stay:
        return words
    return (
        f"{words} {webhooks_stay:,} webhooks stay, for no mapping understands them: `keepstream "
        f"dead-letters retry` says of which source."
    )


def reason_views(letters: Iterable[StoredLetter]) -> tuple[ReasonView, ...]:
    """Dead letters by reason: the most frequent reason first, the newest letter first."""
    by_reason: dict[str, list[tuple[StoredLetter, DeadLetter]]] = {}
    for stored in sorted(letters, key=lambda one: -one.stored_at_ms):
        if stored.letter is not None:
            by_reason.setdefault(str(stored.letter.reason), []).append((stored, stored.letter))
    views = [
        ReasonView(
            reason,
            len(found),
            found[0][1].fix,
            tuple(_letter(*one) for one in found[:LETTERS_SHOWN]),
        )
        for reason, found in by_reason.items()
    ]
    return tuple(sorted(views, key=lambda view: (-view.times, view.reason)))


def _letter(stored: StoredLetter, letter: DeadLetter) -> LetterView:
    source = letter.source
    where = f"{source.topic}-{source.partition}@{source.offset}" if source is not None else ""
    by = f"from {letter.sender}" if letter.sender else where
    text = letter.content().decode("utf-8", "backslashreplace")
    shown = text[:_CONTENT_LENGTH_MAX]
    more = f" … and {len(text) - len(shown):,} more" if len(text) > len(shown) else ""
    content = "".join(_visible(sign) for sign in shown) + more
    return LetterView(
        f"{stored.partition}-{stored.offset}",
        letter.step != WEBHOOK,
        iso(stored.stored_at_ms),
        letter.path,
        letter.detail,
        f"{letter.step}, {by}",
        content,
    )


def _visible(sign: str) -> str:
    """The character, or its escape if it is not printable: some reverse the text around them."""
    return sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode()
