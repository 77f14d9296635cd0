"""A customer's page: numbers, purchase rhythm, scores with their parts, decisions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from agents.console.pages.figures import Bar, diverging, money, percent
from agents.console.pages.live import LiveEntry, entry_of
from agents.console.pages.rhythm import RhythmDrawing, rhythm_drawing
from agents.words.decision_lines import words_of
from agents.words.decisions import GATES
from agents.words.profile import lines
from models.customer.holdout import CONTROL
from models.customer.words import counted, how_long_before
from models.money import in_words
from streams.decision_ledger import Found

#: Lines that the page shows in another form.
_TOLD_ELSEWHERE = frozenset(
    {"action", "decided", "held back", "nothing done", "trigger", "happened"}
)


class Tile(NamedTuple):
    """A number shown in large type."""

    name: str
    figure: str
    more: str = ""


class ScoreParts(NamedTuple):
    """A score for one horizon, and the parts it is the sum of."""

    title: str
    share: str
    width: float
    bars: tuple[Bar, ...]


class Happening(NamedTuple):
    """An event of the timeline."""

    at: str
    ago: str
    name: str
    more: str


class ActionView(NamedTuple):
    """An action that was decided, and its outcome."""

    at: str
    action: str
    channel: str
    group: str
    outcome: str


class HeldBack(NamedTuple):
    """An action that a gate suppressed."""

    at: str
    action: str
    gate: str
    words: str


class CustomerView(NamedTuple):
    """Everything about one customer. ``segment``: the RFM segment; ``segments``: the operator's
    segments; ``entries``: the latest moments, newest first; ``words``: the rest of the profile.
    """

    id: str
    as_of: str
    segment: str
    segments: tuple[str, ...]
    leaving: tuple[str, tuple[str, ...]] | None
    tiles: tuple[Tile, ...]
    rhythm: RhythmDrawing | None
    scores: tuple[ScoreParts, ...]
    entries: tuple[LiveEntry, ...]
    actions: tuple[ActionView, ...]
    held_back: tuple[HeldBack, ...]
    timeline: tuple[Happening, ...]
    words: tuple[tuple[str, tuple[str, ...]], ...]


def customer_view(profile: Any, currency: str, moments: Sequence[Found]) -> CustomerView:
    """The page from the profile and the customer's remembered moments, newest first."""
    reason = profile.churn_reason
    entries = [entry_of(found, currency) for found in moments]
    return CustomerView(
        id=profile.user_id,
        as_of=profile.as_of,
        segment=profile.rfm.segment or "",
        segments=tuple(one.name for one in profile.segments or ()),
        leaving=(str(reason.kind), tuple(reason.evidence)) if reason is not None else None,
        tiles=tuple(_tiles(profile, currency)),
        rhythm=rhythm_drawing(profile),
        scores=_scores(profile),
        entries=tuple(entry for entry in entries if entry is not None),
        actions=tuple(_actions(profile)),
        held_back=tuple(
            HeldBack(one.at, words_of(one.action), words_of(one.by), GATES.get(one.by, "rejected"))
            for one in reversed(profile.suppressions or ())
        ),
        timeline=tuple(_timeline(profile, currency)),
        words=_words(profile, currency),
    )


def _tiles(profile: Any, currency: str) -> list[Tile]:
    rfm = profile.rfm
    year = next((span for span in rfm.windows if span.days == 365), None)
    tiles = []
    if year is not None:
        spent = in_words(year.net_minor, currency)
        tiles.append(Tile("Spent in a year", spent, counted(year.orders, "order")))
    if rfm.last_order_at is not None:
        scores = (rfm.recency_score, rfm.frequency_score, rfm.monetary_score)
        known = "R{} F{} M{} of 5".format(*scores) if None not in scores else ""
        ago = how_long_before(rfm.last_order_at, profile.as_of)
        tiles.append(Tile("Last purchase", ago.replace(" before", " ago"), known))
    for one in profile.churn[:1]:
        horizon = f"within {one.horizon_days:g} days"
        tiles.append(Tile("Likely not to buy", percent(one.probability), horizon))
    if profile.value is not None and profile.value.clv is not None:
        tiles.append(Tile("Lifetime value", money(profile.value.clv, currency), "expected"))
    if profile.cart.items:
        worth = in_words(profile.cart.value_minor, currency)
        tiles.append(Tile("In the cart", worth, counted(profile.cart.items, "item")))
    if profile.support.open_tickets:
        count = profile.support.open_tickets
        tiles.append(Tile("Waiting for help", counted(count, "open ticket")))
    return tiles


def _scores(profile: Any) -> tuple[ScoreParts, ...]:
    parts = []
    for score, told in zip(profile.churn, profile.explanations, strict=False):
        groups = sorted(told.groups, key=lambda group: -abs(group.contribution))
        values = [(group.words, group.contribution) for group in groups]
        values.append(("where everybody starts", told.base))
        title = f"likely not to buy within {score.horizon_days:g} days"
        width = round(score.probability * 100, 2)
        parts.append(ScoreParts(title, percent(score.probability), width, diverging(values)))
    return tuple(parts)


def _actions(profile: Any) -> list[ActionView]:
    return [
        ActionView(
            one.at,
            words_of(one.action),
            one.channel,
            one.group,
            "not to be carried out" if (one.group, one.outcome) == (CONTROL, "none")
            else "nothing heard of it yet" if one.outcome == "none" else one.outcome,
        )
        for one in reversed(profile.decisions)
    ]  # fmt: skip


def _timeline(profile: Any, currency: str) -> list[Happening]:
    happened = []
    for one in reversed(profile.timeline or ()):
        amount = in_words(one.amount_minor, currency) if one.amount_minor else ""
        by = f"by {one.channel}" if one.channel else ""
        ago = how_long_before(one.at, profile.as_of).replace(" before", " ago")
        more = ", ".join(filter(None, (amount, by)))
        happened.append(Happening(one.at, ago, one.name, more))
    return happened


def _words(profile: Any, currency: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The lines of `keepstream customers show`, grouped by name."""
    found: dict[str, list[str]] = {}
    for name, words in lines(profile, currency):
        if name not in _TOLD_ELSEWHERE:
            found.setdefault(name, []).append(words)
    return tuple((name, tuple(told)) for name, told in found.items())
