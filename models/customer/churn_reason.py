"""Why a customer may leave, read from the evidence that there is."""

from enum import StrEnum

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer import support
from models.customer.decay import decayed
from models.customer.evidence import Kind, Sign
from models.customer.rhythm import overdue_at_ms, typical_gap_days
from models.customer.row import Row

#: Silence means something once there is a gap to compare it with.
_ORDERS_MIN = 2
_WORDS_MAX = 3
_NO_WORD = "and nothing heard that says why"
#: How a sign reads where its event's name would not say what was meant.
_WORDS = {
    "Survey Responded": "poor answer to a survey",
    "Product Reviewed": "poor rating of a product",
    "Live Chat Conversation Started": "live chat",
    "Product Removed from Wishlist": "product taken off the wishlist",
}


class ReasonKind(StrEnum):
    """``silent``: they are going, and nothing says why; ``unknown``: not enough to say either."""

    PRICE = "price"
    PRODUCT = "product"
    SERVICE = "service"
    SILENT = "silent"
    UNKNOWN = "unknown"


class ChurnReason(Struct, frozen=True):
    """The likeliest reason to leave, what speaks for it in words, and the share of each kind in
    all evidence; no shares of evidence that altogether weighs less than a reason.
    """

    kind: ReasonKind
    evidence: tuple[str, ...] = ()
    shares: dict[str, float] = {}


def churn_reason(
    row: Row, at_ms: int, probability: float | None, gap_days: float, parameters: Parameters
) -> ChurnReason:
    """The kind with the largest decayed weight, if that is ``evidence.least`` or more.

    ``probability``: the churn score, None for who has none; ``gap_days``: the population's gap.
    """
    tuning = parameters.evidence
    late = len(support.late_tickets(row.support, at_ms, parameters))
    levels = dict.fromkeys(Kind, 0.0)
    for sign in row.evidence:
        levels[Kind(sign.kind)] += _level(sign, at_ms, tuning.half_life)
    levels[Kind.SERVICE] += late * tuning.late_ticket
    total = sum(levels.values())
    heard = total >= tuning.least
    shares = {str(kind): level / total for kind, level in levels.items()} if heard else {}
    # The first of equals, in the order of the kinds.
    strongest = max(levels, key=lambda kind: levels[kind])
    if levels[strongest] >= tuning.least:
        told = _told(row.evidence, strongest, at_ms, tuning.half_life)
        if late and strongest is Kind.SERVICE:
            told = [f"{late} ticket{'' if late == 1 else 's'} past the promised time", *told]
        return ChurnReason(ReasonKind(strongest), tuple(told[:_WORDS_MAX]), shares)
    if silence := _silence(row, at_ms, probability, gap_days, parameters):
        return ChurnReason(ReasonKind.SILENT, (silence,), shares)
    return ChurnReason(ReasonKind.UNKNOWN, (), shares)


def _level(sign: Sign, at_ms: int, half_life_ms: int) -> float:
    # The order of arrival shows in the last bits, and must not decide what is the larger.
    return round(decayed(sign.level, at_ms - sign.at_ms, half_life_ms), 9)


def _told(signs: tuple[Sign, ...], kind: Kind, at_ms: int, half_life_ms: int) -> list[str]:
    """The signs of a kind in words, the strongest first."""
    own = [sign for sign in signs if sign.kind == kind]
    own.sort(key=lambda sign: -_level(sign, at_ms, half_life_ms))
    return [_words(sign, at_ms) for sign in own]


def _words(sign: Sign, at_ms: int) -> str:
    days = max(at_ms - sign.at_ms, 0) // DAY_MS
    ago = "today" if not days else "1 day ago" if days == 1 else f"{days} days ago"
    return f"{_WORDS.get(sign.name, sign.name.lower())}, {ago}"


def _silence(
    row: Row, at_ms: int, probability: float | None, gap_days: float, parameters: Parameters
) -> str:
    """What is silent about who bought before, and is overdue or likely not to buy; else nothing."""
    bought = row.purchases
    if bought.count < _ORDERS_MIN:
        return ""
    is_overdue = 0 < overdue_at_ms(bought, gap_days, parameters) <= at_ms
    if is_overdue:
        usual = typical_gap_days(bought, gap_days, parameters.overdue.prior_weight)
        silent = max(at_ms - bought.last_at_ms, 0) / DAY_MS
        return f"usually every {usual:.0f} days, now {silent:.0f}, {_NO_WORD}"
    if probability is not None and probability >= parameters.evidence.at_risk:
        return f"{probability:.0%} likely not to buy, {_NO_WORD}"
    return ""
