"""One event in; the next state and what should happen.

No I/O, no clock, no randomness: the same log gives the same decisions. Start reading here.
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec.structs import replace

from config.parameters import Parameters
from models.advance import advance
from models.customer.fingerprint import fingerprint_bytes
from models.customer.row import Row
from models.decisions.decide import decide
from models.decisions.trigger import Trigger
from models.events.wire import Event
from models.learning.population import Observation
from models.learning.snapshot import Snapshot
from models.silence import run_deadline

Effect = Trigger | Observation


class Fate(StrEnum):
    """What became of an event; every event has exactly one, or was refused before it got here."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"


class Step(NamedTuple):
    """The next row, the event's fate, and the effects in the order they were decided."""

    row: Row
    fate: Fate
    effects: list[Effect]


def step(
    customer: str,
    row: Row,
    event: Event,
    clock_ms: int,
    snapshot: Snapshot,
    parameters: Parameters,
) -> Step:
    """Advance one customer by one event."""
    message = fingerprint_bytes(event.message_id)
    if _is_repeat(row, message):
        return Step(row, Fate.DUPLICATE, [])
    if event.occurred_at_ms < clock_ms - parameters.time.lateness:
        return Step(row, Fate.LATE, [])

    # Silence first: what was due before this event must not see it.
    row, effects = run_deadlines(customer, row, event.occurred_at_ms, snapshot, parameters)

    row = advance(row, event, clock_ms, snapshot, parameters)
    row = replace(row, messages=(row.messages + message)[-8 * parameters.bounds.messages :])
    row, decisions = decide(customer, row, event, snapshot, parameters)
    return Step(row, Fate.APPLIED, [*effects, *decisions])


def run_deadlines(
    customer: str, row: Row, before_ms: int, snapshot: Snapshot, parameters: Parameters
) -> tuple[Row, list[Effect]]:
    """Run this customer's deadlines earlier than ``before_ms``, each at its own time."""
    effects: list[Effect] = []
    while 0 < (due_ms := row.next_due_ms) < before_ms:
        row, more = run_deadline(customer, row, due_ms, snapshot, parameters)
        effects += more
    return row, effects


def _is_repeat(row: Row, message: bytes) -> bool:
    at = row.messages.find(message)
    # Eight bytes may also match across two neighbours; only a whole one counts.
    while at > 0 and at % 8:
        at = row.messages.find(message, at + 1)
    return at >= 0
