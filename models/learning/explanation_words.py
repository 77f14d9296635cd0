"""What a customer did, told by group of features: the numbers that a marketer would check."""

from enum import StrEnum

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer import support
from models.customer.purchases import GAPS_MAX, minor_per_unit, window
from models.customer.rhythm import rhythm_of, shrunk_gap_days
from models.customer.row import Row
from models.learning.churn import Churn
from models.learning.features import History
from models.learning.scorers import Scorer

_LATELY_DAYS, _QUARTER_DAYS, _YEAR_DAYS = 28, 84, 365
#: Somebody this new has no "before" to be compared with.
_COMPARABLE_DAYS = 2 * _LATELY_DAYS
_SAME_WITHIN = 0.05
_MONTH_DAYS = 30.44


class Group(StrEnum):
    """Groups of features, in the order in which their contributions are added up."""

    RHYTHM = "rhythm"
    FREQUENCY = "frequency"
    SPEND = "spend"
    TREND = "trend"
    TENURE = "tenure"
    PATTERN = "pattern"
    ENGAGEMENT = "engagement"
    SERVICE = "service"
    LIMIT = "limit"


class Words:
    """One customer at one moment, in words; orders after that moment are left out."""

    def __init__(
        self, row: Row, past: History, at_ms: int, gap_days: float, parameters: Parameters
    ) -> None:
        self._row = row
        self._past = past
        self._at_ms = at_ms
        self._gap_days = gap_days
        self._parameters = parameters
        self._told: dict[Group, str] = {}

    def of(self, group: Group, churn: Churn) -> str:
        """What stands behind a group's contribution to ``churn``."""
        if group is Group.PATTERN:
            return _pattern(churn)
        # The same for every horizon.
        words = self._told.get(group)
        if words is None:
            words = self._told[group] = self._words(group)
        return words

    def _words(self, group: Group) -> str:
        match group:
            case Group.RHYTHM:
                return self._rhythm()
            case Group.FREQUENCY:
                return self._frequency()
            case Group.SPEND:
                return self._spend()
            case Group.TREND:
                return self._trend()
            case Group.TENURE:
                return f"customer for {_age(self._past.life)}"
            case Group.ENGAGEMENT:
                return self._engagement()
            case Group.SERVICE:
                return self._service()
            case _:
                return "a score is never surer than this"

    def _rhythm(self) -> str:
        rhythm = rhythm_of(self._past.days[-GAPS_MAX - 1 :])
        overdue = self._parameters.overdue
        usual = shrunk_gap_days(rhythm, self._gap_days, overdue.prior_weight)
        silent = self._silent_days()
        if not self._past.repeats:
            return f"bought once, {days(silent)} ago; others usually again after {days(usual)}"
        times = f"usually every {days(usual) if usual >= 1.5 else 'day'}, now {silent:.0f}"
        if silent <= usual:
            return f"bought on time: {times}"
        return f"{'overdue' if silent >= overdue.multiple * usual else 'late'}: {times}"

    def _frequency(self) -> str:
        if not self._past.repeats:
            return "one purchase so far"
        lately = f"{_counted(self._orders(_LATELY_DAYS), 'order')} in {_LATELY_DAYS} days"
        if self._past.life < _COMPARABLE_DAYS:
            return lately
        per_day = self._orders(_YEAR_DAYS) / min(self._past.life, _YEAR_DAYS)
        return f"{lately}, usually {per_day * _LATELY_DAYS:.1f}"

    def _spend(self) -> str:
        lately, quarter = self._net(_LATELY_DAYS), self._net(_QUARTER_DAYS)
        if self._past.life < _COMPARABLE_DAYS:
            return f"spent {lately:.2f} in the last {_LATELY_DAYS} days"
        if not quarter:
            return "spent nothing in the last 12 weeks"
        if not lately:
            return f"spent nothing in {_LATELY_DAYS} days, {quarter:.2f} in the last 12 weeks"
        usual = quarter * _LATELY_DAYS / min(self._past.life, _QUARTER_DAYS)
        change = lately / usual - 1.0
        if abs(change) < _SAME_WITHIN:
            return "spends as in the last 12 weeks"
        side = "less" if change < 0 else "more"
        return f"spends {abs(change):.0%} {side} than in the last 12 weeks"

    def _trend(self) -> str:
        if self._past.life < _COMPARABLE_DAYS:
            return "too new for a trend"
        lately = self._orders(_LATELY_DAYS)
        before = self._orders(_QUARTER_DAYS) - lately
        span = _QUARTER_DAYS - _LATELY_DAYS
        return f"{_counted(lately, 'order')} in {_LATELY_DAYS} days, {before} in the {span} before"

    def _engagement(self) -> str:
        seen_ms = self._row.engagement.last_at_ms
        if not seen_ms:
            return "never seen"
        unseen = max(self._at_ms - seen_ms, 0) / DAY_MS
        return f"not seen for {days(unseen)}" if unseen >= 1 else "seen within a day"

    def _service(self) -> str:
        told, helped = [], self._row.support
        if waiting := len(helped.open_tickets()):
            told.append(_counted(waiting, "open ticket"))
        if late := len(support.late_tickets(helped, self._at_ms, self._parameters)):
            told.append(f"{late} past the promised time")
        if helped.nps is not None:
            told.append(f"NPS {helped.nps.score:g} of 10")
        if helped.csat is not None:
            told.append(f"CSAT {helped.csat.score:g}")
        return ", ".join(told) or "no open tickets"

    def _silent_days(self) -> float:
        bought = self._row.purchases
        for order in reversed(bought.orders):
            if order.is_purchase and order.placed_at_ms <= self._at_ms:
                return (self._at_ms - order.placed_at_ms) / DAY_MS
        return max(self._at_ms - bought.retired_last_at_ms, 0) / DAY_MS

    def _orders(self, span: int) -> int:
        return window(self._row.purchases, self._at_ms, span)[0]

    def _net(self, span: int) -> float:
        """In the shop's currency."""
        net_minor = window(self._row.purchases, self._at_ms, span)[1]
        return net_minor / minor_per_unit(self._parameters.money.currency)


def _pattern(churn: Churn) -> str:
    formula = churn.scores().get(Scorer.BASELINE)
    if formula is None:
        return "the pattern of purchases is not learnt yet"
    within = f"within {days(churn.horizon_days)}"
    return f"by the pattern of purchases alone {formula:.0%} likely not to buy {within}"


def _age(life_days: float) -> str:
    if life_days < 60:
        return days(life_days)
    if life_days < 730:
        return f"{life_days / _MONTH_DAYS:.0f} months"
    return f"{life_days / 365.25:.1f} years"


def days(number: float) -> str:
    """Whole days in words."""
    return _counted(round(number), "day")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
