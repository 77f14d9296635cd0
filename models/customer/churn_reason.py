"""The likely reason why a customer may leave, from the evidence so far."""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.decay import decayed
from models.customer.part import Line
from models.customer.row import State

_EVIDENCE_TOLD_MAX = 3
#: The words for a sign whose event's name would be unclear.
_SIGN_WORDS = {
    "Survey Responded": "poor answer to a survey",
    "Product Reviewed": "poor rating of a product",
    "Live Chat Conversation Started": "live chat",
    "Product Removed from Wishlist": "product taken off the wishlist",
}


class EvidenceKind(StrEnum):
    """The reasons that evidence can support; ties go to the first member."""

    PRICE = "price"
    PRODUCT = "product"
    SERVICE = "service"


#: Iterating over the enumeration itself takes several times as long.
_KINDS: Final = tuple(EvidenceKind)


class Sign(State):
    """Evidence for one kind from events of one name: ``level`` as of ``at_ms``, the latest one."""

    kind: str
    name: str
    level: float
    at_ms: int

    def level_at(self, at_ms: int, half_life_ms: int) -> float:
        """The level decayed to ``at_ms``."""
        # Rounded, because the last bits depend on the order of arrival and must not break ties.
        return round(decayed(self.level, at_ms - self.at_ms, half_life_ms), 9)

    def words(self, at_ms: int) -> str:
        """The sign in words, with its age in days."""
        days = max(at_ms - self.at_ms, 0) // DAY_MS
        ago = "today" if not days else "1 day ago" if days == 1 else f"{days} days ago"
        return f"{_SIGN_WORDS.get(self.name, self.name.lower())}, {ago}"


class ReasonKind(StrEnum):
    """``silent``: likely to leave, without evidence why; ``unknown``: too little evidence."""

    PRICE = "price"
    PRODUCT = "product"
    SERVICE = "service"
    SILENT = "silent"
    UNKNOWN = "unknown"


class ChurnReason(Struct, frozen=True):
    """The likeliest reason to leave, its evidence in words, and the share of each kind in all
    evidence; no shares if all evidence together weighs less than a reason needs.
    """

    kind: ReasonKind
    evidence: tuple[str, ...] = ()
    shares: dict[str, float] = {}


def churn_reason(
    signs: Sequence[Sign],
    at_ms: int,
    half_life_ms: int,
    least: float,
    late_tickets: tuple[int, float],
    silence: Callable[[], str],
) -> ChurnReason:
    """The kind with the largest decayed weight, if that is ``least`` or more.

    ``late_tickets``: the number of tickets past the promised time, and the weight of one.
    ``silence`` gives the customer's silence in words, or ""; it is called if no kind has evidence.
    """
    late, late_weight = late_tickets
    if not signs and not late:
        # Most customers have no evidence.
        return _unsaid(silence(), {})
    levels: dict[str, float] = dict.fromkeys(_KINDS, 0.0)
    for sign in signs:
        # A kind is looked up by its text.
        levels[sign.kind] += sign.level_at(at_ms, half_life_ms)
    levels[EvidenceKind.SERVICE] += late * late_weight
    total = 0.0
    for level in levels.values():
        total += level
    heard = total >= least
    shares = {str(kind): level / total for kind, level in levels.items()} if heard else {}
    # Ties go to the first kind.
    strongest = max(levels, key=levels.__getitem__)
    if levels[strongest] >= least:
        own = [sign for sign in signs if sign.kind == strongest]
        own.sort(key=lambda sign: -sign.level_at(at_ms, half_life_ms))
        told = [sign.words(at_ms) for sign in own]
        if late and strongest == EvidenceKind.SERVICE:
            told = [f"{late} ticket{'' if late == 1 else 's'} past the promised time", *told]
        return ChurnReason(ReasonKind(strongest), tuple(told[:_EVIDENCE_TOLD_MAX]), shares)
    return _unsaid(silence(), shares)


def _unsaid(silence: str, shares: dict[str, float]) -> ChurnReason:
    """The reason if evidence is missing or too weak: silence, or unknown."""
    if silence:
        return ChurnReason(ReasonKind.SILENT, (silence,), shares)
    return ChurnReason(ReasonKind.UNKNOWN, (), shares)


def in_words(reason: ChurnReason, _as_of: str, _currency: str) -> Iterator[Line]:
    """The reason and its evidence, for a profile in words."""
    shares = [f"{kind} {share:.0%}" for kind, share in reason.shares.items() if share]
    heard = f" ({', '.join(shares)} of what was heard)" if shares else ""
    yield Line("reason to leave", f"{reason.kind}{heard}")
    for words in reason.evidence:
        yield Line("evidence", words)
