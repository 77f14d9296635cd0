"""Which parts are in force from which record of a partition's log on.

A release knows parts that the one before did not, and an operator switches parts on and off. A row
only has the state that a part recorded while it was in force. So a partition's state notes when
that was, and an audit folds the log with the same parts at each record.

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

#: How many switches are kept; earlier ones are not known.
SWITCHES_MAX = 16
#: How many rebuilds are remembered with their rows' parts.
REPLACED_MAX = 2
#: Within this much event time, all customers take up what has come into force.
TAKEN_UP_WITHIN_MS: Final = DAY_MS
#: The parts, by code, of releases that did not note which ones they have.
_UNNOTED = ("aq", "ca", "co", "cs", "en", "ev", "la", "lo", "ne", "pr", "pu", "sa", "su")


class InForce(Struct, array_like=True, frozen=True):
    """The codes of the ``parts`` in force from the record at offset ``since`` on, until the next of
    these entries; ``at_ms``: the time of the partition's customers then. ``is_taken_up``: customers
    take up the parts that were not in force before; earlier releases did not do that.
    """

    since: int = 0
    at_ms: int = 0
    parts: tuple[str, ...] = ()
    is_taken_up: bool = False


class Replaced(Struct, array_like=True, frozen=True):
    """The parts of rows that a rebuild replaced. The decisions and lessons up to the record before
    the offset ``until`` are theirs.
    """

    until: int
    in_force: tuple[InForce, ...]


def known(noted: tuple[InForce, ...], applied: int) -> tuple[InForce, ...]:
    """The parts in force in a partition with this ``applied`` position. A release that noted
    nothing had its own parts.
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
    # An entry that was to begin with the same record never took effect.
    kept = tuple(one for one in noted if one.since < since)
    if kept and kept[-1].parts == parts:
        return kept
    begun = InForce(since, at_ms, parts, is_taken_up) if kept else InForce(parts=parts)
    return (*kept, begun)[-SWITCHES_MAX:]


def begun_later(noted: Sequence[InForce]) -> dict[str, InForce]:
    """The parts now in force that were not always so, by their codes, each with the entry with
    which it last began.
    """
    begun: dict[str, InForce] = {}
    for before, after in pairwise(noted):
        for code in after.parts:
            if code not in before.parts:
                begun[code] = after
    now = noted[-1].parts if noted else ()
    return {code: begun[code] for code in now if code in begun}


class Awaited(NamedTuple):
    """Parts that some customers have yet to take up: ``since`` which record each is in force, by
    its code. These customers' rows last changed before the record at ``before``; each takes the
    parts up at a time of its own after ``begun_ms``.
    """

    since: Mapping[str, int]
    before: int = -1
    begun_ms: int = 0

    def codes_for(self, applied: int) -> frozenset[str]:
        """The parts that a customer has yet to take up whose row last changed by this record."""
        return frozenset(code for code, since in self.since.items() if applied < since)

    def own_ms(self, customer: str) -> int:
        """When the customer takes them up, unless a record concerns them earlier."""
        return self.begun_ms + 1 + fingerprint_once(customer) % TAKEN_UP_WITHIN_MS

    def wakes_ms(self, row: Row, customer: str) -> int:
        """When to wake a customer who has yet to take them up: then, or earlier for a timer."""
        wakes_ms, own_ms = row.wakes_ms, self.own_ms(customer)
        return min(wakes_ms, own_ms) if wakes_ms else own_ms


NOTHING_AWAITED: Final = Awaited({})


def awaited(begun: Mapping[str, InForce], clock_ms: int) -> Awaited:
    """Those of the parts that have ``begun`` that some customers have yet to take up by this
    time.
    """
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
    """``before``, and that a rebuild has made rows ``anew`` that had the ``noted`` parts until
    then.
    """
    if not noted or noted == anew:
        return before
    return (*before, Replaced(until, noted))[-REPLACED_MAX:]
