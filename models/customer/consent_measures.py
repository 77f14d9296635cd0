"""The sums over all customers of what they consented to, and the metrics computed from them."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from config.parameters import Parameters
from models.customer.consent_events import EMAIL
from models.customer.consent_purposes import Purpose
from models.customer.consent_state import Consent, winning_word
from models.customer.part import Sum
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

#: A share is reported from this many customers on.
_TOLD_MIN = 20
#: The sums over all customers: their keys, with the purpose and channel of each.
_SHARES: Mapping[str, tuple[str, str]] = {
    **{str(purpose): (str(purpose), "") for purpose in Purpose},
    "marketing_email": (Purpose.MARKETING, EMAIL),
}


class ConsentStanding(NamedTuple):
    """What an event may change: all words, reachability, and the customer's share of the sums."""

    words: tuple[tuple[tuple[str, str, int, bool], bool], ...]
    is_reachable: bool
    shares: dict[str, bool]


def standing(state: Consent) -> ConsentStanding:
    """What an event may change, as it is now."""
    shares = {}
    for share, (purpose, channel) in _SHARES.items():
        word = winning_word(state.words, purpose, channel, 0)
        if word is not None:
            shares[share] = word.granted
    words = tuple((word.key, word.granted) for word in state.words)
    return ConsentStanding(words, not state.unreachable_since_ms, shares)


def moved(before: Mapping[str, bool], after: Mapping[str, bool]) -> list[Sum]:
    """The change of the sums when a customer's shares change."""
    return [
        (f"{share}:{word}", NO_DAY, amount)
        for share in _SHARES
        if before.get(share) != after.get(share)
        for word, amount in _moves(before.get(share), after.get(share))
    ]


def sums_of(state: Consent) -> list[Sum]:
    """One customer's share of the sums."""
    shares = standing(state).shares.items()
    return [(f"{share}:{'granted' if word else 'revoked'}", NO_DAY, 1) for share, word in shares]


def _moves(before: bool | None, after: bool | None) -> Iterator[tuple[str, int]]:
    for word, amount in ((before, -1), (after, 1)):
        if word is not None:
            yield ("granted" if word else "revoked"), amount


_SHARE = Measure(
    "keepstream_consent_share",
    f"Share of those who said so that granted it, by purpose, from {_TOLD_MIN} customers on",
    ("purpose",),
)
_SAID = Measure(
    "keepstream_consent_customers",
    f"Customers who granted or revoked it, by purpose, from {_TOLD_MIN} on",
    ("purpose",),
)

MEASURES: Final = (_SHARE, _SAID)


def keys(_parameters: Parameters) -> list[str]:
    """The keys of all sums."""
    return [f"{share}:{word}" for share in _SHARES for word in ("granted", "revoked")]


def samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    """The metrics computed from the sums."""
    for share in _SHARES:
        granted, revoked = (sums.get(f"{share}:{word}", 0) for word in ("granted", "revoked"))
        said = granted + revoked
        if said >= _TOLD_MIN:
            yield Sample(_SAID, (share,), float(said))
            yield Sample(_SHARE, (share,), granted / said)
