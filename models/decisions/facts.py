"""The facts that rules may name: what each says, where it comes from, and how it reads."""

from collections.abc import Callable
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, NamedTuple

from config.duration import DAY_MS
from models.customer import purchases as orders
from models.customer import support
from models.customer.anomaly import Anomaly, activity_anomaly, purchase_anomaly
from models.customer.churn_reason import ChurnReason, churn_reason
from models.customer.engagement import intensity_at
from models.customer.rhythm import typical_gap_days
from models.customer.row import Row
from models.customer.scores import rfm_scores
from models.customer.support import Answer
from models.events.catalogue import SurveyKind
from models.learning.churn import Assessment, Churn, Seen, assessed, score, see
from models.learning.explanation import Explanation, explanation
from models.learning.silent import silent_churn
from models.learning.value import ValueView, value

if TYPE_CHECKING:
    from models.context import Context

HOUR_MS = 3_600_000


class Scene:
    """A customer at one moment, as rules see them; each fact is read when it is asked for."""

    def __init__(
        self,
        row: Row,
        at_ms: int,
        context: "Context",
        survey: tuple[SurveyKind, Answer] | None = None,
    ) -> None:
        self.row = row
        self.at_ms = at_ms
        self.context = context
        self.survey = survey
        self._windows: dict[int, tuple[int, float]] = {}

    def __getitem__(self, name: str) -> float | str:
        return FACTS[name].read(self)

    @cached_property
    def seen(self) -> Seen | None:
        """What a model sees; None for somebody who has not bought."""
        return see(self.row, self.at_ms, self.context.snapshot, self.context.parameters)

    @cached_property
    def churn(self) -> Churn | None:
        """The score for the first horizon, the one that rules know."""
        if self.seen is None:
            return None
        snapshot, parameters = self.context.snapshot, self.context.parameters
        return score(self.seen, parameters.churn.horizon_days[0], snapshot, parameters)

    @cached_property
    def assessment(self) -> Assessment | None:
        """Features and the scores of every horizon; None for somebody who has not bought."""
        if self.seen is None or self.churn is None:
            return None
        snapshot, parameters = self.context.snapshot, self.context.parameters
        others = parameters.churn.horizon_days[1:]
        return assessed(self.seen, self.churn, others, snapshot, parameters)

    @cached_property
    def value(self) -> ValueView | None:
        """What the customer is expected to bring; None before there is a model, and for somebody
        who has not bought.
        """
        if self.seen is None:
            return None
        past, context = self.seen.history, self.context
        return value(self.row, past, self.at_ms, context.snapshot, context.parameters)

    @cached_property
    def explanation(self) -> Explanation | None:
        """Why the first horizon's score is what it is: for receipts, not for rules."""
        if self.assessment is None or self.churn is None:
            return None
        snapshot, parameters = self.context.snapshot, self.context.parameters
        return explanation(self.row, self.at_ms, self.assessment, self.churn, snapshot, parameters)

    @cached_property
    def churn_reason(self) -> ChurnReason:
        """Why the customer may leave, with or without a score."""
        probability = self.churn.probability if self.churn is not None else None
        gap_days, parameters = self.context.snapshot.gap_days, self.context.parameters
        return churn_reason(self.row, self.at_ms, probability, gap_days, parameters)

    def window(self, days: int) -> tuple[int, float]:
        """(orders, net in the shop's currency) of the last days."""
        # Several facts ask for the same one, and a decision changes no purchase.
        found = self._windows.get(days)
        if found is None:
            count, net_minor = orders.window(self.row.purchases, self.at_ms, days)
            found = self._windows[days] = count, self.money(net_minor)
        return found

    def money(self, minor: float) -> float:
        return minor / orders.minor_units(1.0, self.context.parameters.money.currency)


class Fact(NamedTuple):
    """``words`` is how a receipt tells it; ``about`` how the list of facts does."""

    read: Callable[[Scene], float | str]
    words: str
    about: str
    kind: type = float


def _cart_idle_hours(scene: Scene) -> float:
    touched_ms = scene.row.cart.touched_at_ms
    return (scene.at_ms - touched_ms) / HOUR_MS if touched_ms else nan


def _silent_days(scene: Scene) -> float:
    last_ms = scene.row.purchases.last_at_ms
    return max(scene.at_ms - last_ms, 0) / DAY_MS if last_ms else nan


def _typical_gap(scene: Scene) -> float:
    weight = scene.context.parameters.overdue.prior_weight
    return typical_gap_days(scene.row.purchases, scene.context.snapshot.gap_days, weight)


def _average_order(scene: Scene) -> float:
    bought = scene.row.purchases
    return scene.money(bought.net_minor) / bought.count if bought.count else 0.0


def _churn_probability(scene: Scene) -> float:
    return scene.churn.probability if scene.churn is not None else nan


def _silent_churn(scene: Scene) -> float:
    if scene.seen is None or scene.churn is None:
        return nan
    found = silent_churn(scene.seen.history, scene.churn.probability, scene.at_ms)
    return nan if found is None else found


def _anomaly(scene: Scene) -> Anomaly | None:
    return activity_anomaly(scene.row.engagement.active_days, scene.at_ms)


def _purchase_anomaly(scene: Scene) -> Anomaly | None:
    seen = scene.seen
    return purchase_anomaly(seen.history, scene.at_ms) if seen is not None else None


def _deviations(found: Anomaly | None) -> float:
    return found.deviations if found is not None else nan


def _value_at_stake(scene: Scene) -> float:
    """What a year like the last would bring, times the probability that it does not come."""
    churn = scene.churn
    return scene.window(365)[1] * churn.probability if churn is not None else 0.0


def _clv(scene: Scene) -> float:
    return scene.value.clv if scene.value is not None else nan


def _expected_spend(scene: Scene) -> float:
    return scene.value.horizons[0].spend if scene.value is not None else nan


def _overdue(scene: Scene) -> list[int]:
    late = support.late_tickets(scene.row.support, scene.at_ms, scene.context.parameters)
    return [ticket.waiting_since_ms for ticket in late]


def _waiting_hours(scene: Scene) -> float:
    return (scene.at_ms - min(_overdue(scene), default=scene.at_ms)) / HOUR_MS


def _survey(scene: Scene, read: Callable[[Answer], float]) -> float:
    return read(scene.survey[1]) if scene.survey is not None else nan


def _last(answer: Answer | None) -> float:
    return answer.score if answer is not None else nan


def _segment(scene: Scene) -> str:
    scores = rfm_scores(scene.row.purchases, scene.at_ms, scene.context.snapshot)
    return str(scores.segment) if scores is not None else ""


def _intensity(scene: Scene, index: int) -> float:
    return intensity_at(scene.row.engagement, scene.at_ms, scene.context.parameters)[index]


def _unseen_days(scene: Scene) -> float:
    seen_ms = scene.row.engagement.last_at_ms
    return max(scene.at_ms - seen_ms, 0) / DAY_MS if seen_ms else nan


FACTS: dict[str, Fact] = {
    "cart_items": Fact(
        lambda s: float(len(s.row.cart.contents())), "{:.0f} in the cart", "products in the cart"
    ),
    "cart_value": Fact(
        lambda s: s.money(s.row.cart.value_minor), "worth {:.2f}", "what the cart is worth"
    ),
    "cart_idle_hours": Fact(
        _cart_idle_hours, "untouched for {:.1f} hours", "hours since the cart was last touched"
    ),
    "orders": Fact(
        lambda s: float(s.row.purchases.count), "{:.0f} purchases so far", "purchases ever"
    ),
    "orders_30d": Fact(lambda s: float(s.window(30)[0]), "{:.0f} in 30 days", "purchases, 30 days"),
    "orders_90d": Fact(lambda s: float(s.window(90)[0]), "{:.0f} in 90 days", "purchases, 90 days"),
    "orders_365d": Fact(lambda s: float(s.window(365)[0]), "{:.0f} in a year", "purchases, a year"),
    "net_30d": Fact(lambda s: s.window(30)[1], "spent {:.2f} in 30 days", "net spend, 30 days"),
    "net_90d": Fact(lambda s: s.window(90)[1], "spent {:.2f} in 90 days", "net spend, 90 days"),
    "net_365d": Fact(lambda s: s.window(365)[1], "spent {:.2f} in a year", "net spend, a year"),
    "average_order": Fact(_average_order, "{:.2f} an order", "net spend an order"),
    "silent_days": Fact(_silent_days, "now {:.0f} days", "days since the last purchase"),
    "typical_gap_days": Fact(
        _typical_gap, "usually every {:.0f} days", "the customer's own usual gap"
    ),
    "overdue_ratio": Fact(
        lambda s: _silent_days(s) / _typical_gap(s),
        "{:.1f} times the usual gap",
        "silence over the usual gap",
    ),
    "churn_probability": Fact(
        _churn_probability,
        "{:.0%} likely not to buy",
        "probability of no purchase within the first horizon",
    ),
    "churn_reason": Fact(
        lambda s: str(s.churn_reason.kind),
        "reason to leave: {}",
        "price, product, service, silent or unknown",
        str,
    ),
    "silent_churn": Fact(
        _silent_churn,
        "buys less than by their own rhythm: {:.2f} of 1",
        "how much speaks for thinning out, 0 to 1; none in the first 84 days and 8 purchase days",
    ),
    "anomaly": Fact(
        lambda s: _deviations(_anomaly(s)),
        "activity {:+.1f} deviations from their usual",
        "active days of the last 14 against the customer's own usual, in standard deviations",
    ),
    "activity_ratio": Fact(
        lambda s: found.ratio if (found := _anomaly(s)) is not None else nan,
        "{:.1f} times as active as usual for them",
        "active days of the last 14 over the customer's own usual",
    ),
    "purchase_anomaly": Fact(
        lambda s: _deviations(_purchase_anomaly(s)),
        "purchases {:+.1f} deviations from their usual",
        "purchase days of the last 14 against the customer's own usual, in standard deviations",
    ),
    "value_at_stake": Fact(
        _value_at_stake, "{:.2f} at stake", "a year's net spend times the churn probability"
    ),
    "clv": Fact(_clv, "a lifetime value of {:.2f}", "margin still to come, less acquisition cost"),
    "expected_spend": Fact(
        _expected_spend,
        "expected to spend {:.2f}",
        "net spend expected within the first horizon",
    ),
    "intensity": Fact(
        lambda s: _intensity(s, 0), "activity {:.1f}", "decayed weight of interactions"
    ),
    "views": Fact(lambda s: _intensity(s, 1), "{:.1f} recent views", "decayed count of views"),
    "sessions": Fact(
        lambda s: float(s.row.engagement.session_count), "{:.0f} sessions", "sessions ever"
    ),
    "unseen_days": Fact(_unseen_days, "not seen for {:.0f} days", "days since the last activity"),
    "open_tickets": Fact(
        lambda s: float(len(s.row.support.open_tickets())), "{:.0f} open tickets", "open tickets"
    ),
    "tickets_overdue": Fact(
        lambda s: float(len(_overdue(s))),
        "{:.0f} past the promised time",
        "open tickets without an answer in time",
    ),
    "ticket_waiting_hours": Fact(
        _waiting_hours, "waiting for {:.1f} hours", "hours the longest of them has waited"
    ),
    "nps": Fact(lambda s: _last(s.row.support.nps), "{:g} of 10", "last NPS answer"),
    "csat": Fact(lambda s: _last(s.row.support.csat), "CSAT {:g}", "last CSAT answer"),
    "survey_score": Fact(
        lambda s: _survey(s, lambda answer: answer.score), "answered {:g}", "the answer just given"
    ),
    "survey_share": Fact(
        lambda s: _survey(s, lambda answer: answer.share),
        "{:.0%} of the scale",
        "the answer just given as a share of its scale; 1 is happiest",
    ),
    "survey_kind": Fact(
        lambda s: str(s.survey[0]) if s.survey is not None else "",
        "{}",
        "nps, csat or ces",
        str,
    ),
    "segment": Fact(_segment, "{}", "named segment, empty for somebody who has not bought", str),
    "last_channel": Fact(
        lambda s: s.row.engagement.last_channel, "last seen on {}", "channel last used", str
    ),
}

KINDS: dict[str, type] = {name: fact.kind for name, fact in FACTS.items()}
