"""Which parts were in force since which record of a partition's log.

A release knows parts that the one before did not, and an operator switches parts on and off. What a
row knows of a part is what came while it was in force. So the state of a partition notes it, and
whoever folds the log again to compare does so with the same parts at each record.
"""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

#: Switches that are kept; of still earlier ones nothing is known.
SWITCHES_MAX = 16
#: Rebuilds whose rows are not forgotten.
REPLACED_MAX = 2
#: The parts of releases that did not note which they have, by their codes.
_UNNOTED = ("aq", "ca", "co", "cs", "en", "ev", "la", "lo", "ne", "pr", "pu", "sa", "su")


class InForce(Struct, array_like=True, frozen=True):
    """The codes of the ``parts`` in force from the record at offset ``since`` on, up to the next of
    these; ``at_ms``: as of when the partition's customers were then.
    """

    since: int = 0
    at_ms: int = 0
    parts: tuple[str, ...] = ()


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
    noted: tuple[InForce, ...], since: int, at_ms: int, parts: tuple[str, ...]
) -> tuple[InForce, ...]:
    """``noted``, with these ``parts`` in force from the record at ``since`` on."""
    # What was to begin with the very same record never was.
    kept = tuple(one for one in noted if one.since < since)
    if kept and kept[-1].parts == parts:
        return kept
    begun = InForce(since, at_ms, parts) if kept else InForce(parts=parts)
    return (*kept, begun)[-SWITCHES_MAX:]


def begun_later(noted: Sequence[InForce]) -> dict[str, int]:
    """The parts in force now that were not always, by their codes: as of when they began, the last
    time.
    """
    begun: dict[str, int] = {}
    for before, after in pairwise(noted):
        for code in after.parts:
            if code not in before.parts:
                begun[code] = after.at_ms
    now = noted[-1].parts if noted else ()
    return {code: begun[code] for code in now if code in begun}


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
