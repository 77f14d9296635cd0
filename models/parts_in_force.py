"""Which parts were in force since which record of a partition's log.

A release knows parts that the one before did not, and an operator switches parts on and off. What a
row knows of a part is what came while it was in force. So the state of a partition notes it, and
whoever folds the log again to compare does so with the same parts at each record.

A customer takes up a part that has come into force (`Part.take_up`) with the first record after it
that concerns them, and at a time of their own if there is none within a day.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.fingerprint import fingerprint_once
from models.customer.row import Row

#: Switches that are kept; of still earlier ones nothing is known.
SWITCHES_MAX = 16
#: Rebuilds whose rows are not forgotten.
REPLACED_MAX = 2
#: Within so much of event time everybody has taken up what has come into force.
TAKEN_UP_WITHIN_MS: Final = DAY_MS
#: The parts of releases that did not note which they have, by their codes.
_UNNOTED = ("aq", "ca", "co", "cs", "en", "ev", "la", "lo", "ne", "pr", "pu", "sa", "su")


class InForce(Struct, array_like=True, frozen=True):
    """The codes of the ``parts`` in force from the record at offset ``since`` on, up to the next of
    these; ``at_ms``: as of when the partition's customers were then. ``is_taken_up``: customers
    take up those of them that were not in force before; under releases that did not know this they
    did not.
    """

    since: int = 0
    at_ms: int = 0
    parts: tuple[str, ...] = ()
    is_taken_up: bool = False


class Replaced(Struct, array_like=True, frozen=True):
    """The parts of rows that a rebuild replaced, which had decided and taught all up to the record
    before the offset ``until``.
    """

    until: int
    in_force: tuple[InForce, ...]


def known(noted: tuple[InForce, ...], applied: int) -> tuple[InForce, ...]:
    """What was in force in a partition that has applied so much: a release that noted nothing had
    its own parts.
    """
    return noted or (() if applied < 0 else (InForce(parts=_UNNOTED),))


def switched(
    noted: tuple[InForce, ...],
    since: int,
    at_ms: int,
    parts: tuple[str, ...],
    *,
    is_taken_up: bool = True,
) -> tuple[InForce, ...]:
    """``noted``, with these ``parts`` in force from the record at ``since`` on."""
    # What was to begin with the very same record never was.
    kept = tuple(one for one in noted if one.since < since)
    if kept and kept[-1].parts == parts:
        return kept
    begun = InForce(since, at_ms, parts, is_taken_up) if kept else InForce(parts=parts)
    return (*kept, begun)[-SWITCHES_MAX:]


def begun_later(noted: Sequence[InForce]) -> dict[str, InForce]:
    """The parts in force now that were not always, by their codes: with what they began, the last
    time.
    """
    begun: dict[str, InForce] = {}
    for before, after in pairwise(noted):
        for code in after.parts:
            if code not in before.parts:
                begun[code] = after
    now = noted[-1].parts if noted else ()
    return {code: begun[code] for code in now if code in begun}


class Awaited(NamedTuple):
    """Parts that not everybody has taken up yet: ``since`` which record each is in force, by its
    code. Whoever's row was changed last before the record at ``before`` has yet to, and does so by
    a time of their own after ``begun_ms``.
    """

    since: Mapping[str, int]
    before: int = -1
    begun_ms: int = 0

    def codes_for(self, applied: int) -> frozenset[str]:
        """What somebody has yet to take up whose row was changed last by this record."""
        return frozenset(code for code, since in self.since.items() if applied < since)

    def own_ms(self, customer: str) -> int:
        """When the customer takes it up, if nothing concerns them before."""
        return self.begun_ms + 1 + fingerprint_once(customer) % TAKEN_UP_WITHIN_MS

    def wakes_ms(self, row: Row, customer: str) -> int:
        """When a customer is due who has yet to take it up: then, or for a timer before."""
        wakes_ms, own_ms = row.wakes_ms, self.own_ms(customer)
        return min(wakes_ms, own_ms) if wakes_ms else own_ms


NOTHING_AWAITED: Final = Awaited({})


def awaited(begun: Mapping[str, InForce], clock_ms: int) -> Awaited:
    """What of the parts that have ``begun`` not everybody has taken up at this time."""
    later = {code: one for code, one in begun.items() if one.is_taken_up}
    if not later:
        return NOTHING_AWAITED
    latest = max(later.values(), key=lambda one: one.since)
    if clock_ms > latest.at_ms + TAKEN_UP_WITHIN_MS:
        return NOTHING_AWAITED
    return Awaited({code: one.since for code, one in later.items()}, latest.since, latest.at_ms)


def replaced(
    before: tuple[Replaced, ...],
    noted: tuple[InForce, ...],
    until: int,
    anew: tuple[InForce, ...],
) -> tuple[Replaced, ...]:
    """``before``, and that a rebuild has made rows ``anew`` that were ``noted`` to have other parts
    until then.
    """
    if not noted or noted == anew:
        return before
    return (*before, Replaced(until, noted))[-REPLACED_MAX:]
