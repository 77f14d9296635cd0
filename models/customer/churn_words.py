"""What a customer did, in words by group of features: the numbers that a marketer would check."""

from config.duration import DAY_MS
from models.customer.engagement import engagement
from models.customer.purchase_windows import last_until, window
from models.customer.purchases import history, purchases
from models.customer.rhythm import clock_of
from models.customer.scene import Scene
from models.customer.support import late_tickets, support
from models.customer.words import counted
from models.learning.churn import Churn
from models.learning.explanation import Group
from models.learning.population import Population
from models.learning.scorers import LOG_ODDS_MAX, Scorer, log_odds_of
from models.money import digits

#: The readings of other parts that the words use.
READS = (engagement, history, late_tickets, purchases, support)

_LATELY_DAYS, _QUARTER_DAYS, _YEAR_DAYS = 28, 84, 365
#: A newer customer has no earlier period to compare with.
_COMPARABLE_DAYS = 2 * _LATELY_DAYS
_SAME_WITHIN = 0.05
_MONTH_DAYS = 30.44
_ROUNDING = 1e-9


class Words:
    """A customer with a purchase, at one moment, in words; later orders are left out."""

    def __init__(self, scene: Scene) -> None:
        past = scene.of(history)
        assert past is not None
        self._scene = scene
        self._past = past
        self._told: dict[Group, str] = {}

    def of(self, group: Group, churn: Churn) -> str:
        """The facts behind a group's contribution to ``churn``."""
        if group is Group.PATTERN:
            return _pattern(churn)
        if group is Group.LIMIT:
            return _limit(churn)
        # The words are the same for every horizon.
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
            case _:
                return self._service()

    def _rhythm(self) -> str:
        gap_days = self._scene.snapshot.of(Population).gap_days
        clock = clock_of(self._past.days, gap_days, self._scene.parameters.overdue)
        usual, silent = clock.expected_days, self._silent_days()
        if not self._past.repeats:
            return f"bought once, {days(silent)} ago; others usually again after {days(usual)}"
        times = f"usually every {days(usual) if usual >= 1.5 else 'day'}, now {silent:.0f}"
        if silent <= usual:
            return f"bought on time: {times}"
        return f"{'overdue' if silent >= clock.overdue_days else 'late'}: {times}"

    def _frequency(self) -> str:
        if not self._past.repeats:
            return "one purchase so far"
        lately = f"{counted(self._orders(_LATELY_DAYS), 'order')} in {_LATELY_DAYS} days"
        if self._past.life < _COMPARABLE_DAYS:
            return lately
        per_day = self._orders(_YEAR_DAYS) / min(self._past.life, _YEAR_DAYS)
        return f"{lately}, usually {per_day * _LATELY_DAYS:.1f}"

    def _spend(self) -> str:
        lately, quarter = self._net(_LATELY_DAYS), self._net(_QUARTER_DAYS)
        if self._past.life < _COMPARABLE_DAYS:
            return f"spent {self._amount(lately)} in the last {_LATELY_DAYS} days"
        if not quarter:
            return "spent nothing in the last 12 weeks"
        if not lately:
            before = f"{self._amount(quarter)} in the last 12 weeks"
            return f"spent nothing in {_LATELY_DAYS} days, {before}"
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
        return f"{counted(lately, 'order')} in {_LATELY_DAYS} days, {before} in the {span} before"

    def _engagement(self) -> str:
        seen_ms = self._scene.of(engagement).last_at_ms
        if not seen_ms:
            return "never seen"
        unseen = max(self._scene.at_ms - seen_ms, 0) / DAY_MS
        return f"not seen for {days(unseen)}" if unseen >= 1 else "seen within a day"

    def _service(self) -> str:
        told, helped = [], self._scene.of(support)
        if waiting := len(helped.open_tickets()):
            told.append(counted(waiting, "open ticket"))
        if late := len(self._scene.of(late_tickets)):
            told.append(f"{late} past the promised time")
        if (nps := helped.answers.get("nps")) is not None:
            told.append(f"NPS {nps.score:g} of 10")
        if (csat := helped.answers.get("csat")) is not None:
            told.append(f"CSAT {csat.score:g}")
        return ", ".join(told) or "no open tickets"

    def _silent_days(self) -> float:
        at_ms = self._scene.at_ms
        return max(at_ms - last_until(self._scene.of(purchases), at_ms), 0) / DAY_MS

    def _orders(self, span: int) -> int:
        return window(self._scene.of(purchases), self._scene.at_ms, span)[0]

    def _amount(self, amount: float) -> str:
        return digits(amount, self._scene.parameters.money.currency, "")

    def _net(self, span: int) -> float:
        """In the shop's currency."""
        return self._scene.money(window(self._scene.of(purchases), self._scene.at_ms, span)[1])


def _pattern(churn: Churn) -> str:
    formula = churn.scores().get(Scorer.BASELINE)
    if formula is None:
        return "the pattern of purchases is not learnt yet"
    within = f"within {days(churn.horizon_days)}"
    return f"by the pattern of purchases alone {formula:.0%} likely not to buy {within}"


def _limit(churn: Churn) -> str:
    if abs(log_odds_of(churn.probability)) >= LOG_ODDS_MAX - _ROUNDING:
        return "a score is never surer than this"
    return "no surer of silence than within a shorter time, no less than within a longer one"


def _age(life_days: float) -> str:
    if life_days < 60:
        return days(life_days)
    if life_days < 730:
        return f"{life_days / _MONTH_DAYS:.0f} months"
    return f"{life_days / 365.25:.1f} years"


def days(number: float) -> str:
    """Whole days in words."""
    return counted(round(number), "day")
