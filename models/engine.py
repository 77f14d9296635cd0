"""One event in; the next state and what should happen.

No I/O, no clock, no randomness: the same log gives the same decisions. Start reading here.
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec.structs import replace

from config.parameters import Parameters
from models.advance import STATE_CHANGING, advance
from models.context import Context
from models.customer.engagement import CHANNEL_MAX, is_interaction
from models.customer.fingerprint import fingerprint_bytes
from models.customer.purchases import minor_units
from models.customer.row import Row
from models.customer.support import Answer, answer_of
from models.decisions.facts import Scene
from models.decisions.policy import SCORE, SURVEY
from models.decisions.trigger import Decision
from models.events.catalogue import CLICKSTREAM, TOPIC_BY_NAME, CampaignCost, Survey, SurveyKind
from models.events.wire import Event
from models.learning.examples import Cost, Lesson
from models.silence import decide, run_deadline

Effect = Decision | Lesson


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


def step(row: Row, event: Event, context: Context) -> Step:
    """Advance one customer by one event."""
    message = fingerprint_bytes(event.message_id)
    if _is_repeat(row, message):
        return Step(row, Fate.DUPLICATE, [])
    parameters = context.parameters
    if event.occurred_at_ms < context.clock_ms - parameters.time.lateness:
        return Step(row, Fate.LATE, [])

    # Silence first: what was due before this event must not see it.
    row, effects = run_deadlines(row, event.occurred_at_ms, context)

    sessions = row.engagement.session_count
    row = advance(row, event, context)
    row = replace(row, messages=(row.messages + message)[-8 * parameters.bounds.messages :])
    if isinstance(event.properties, CampaignCost):
        effects.append(_cost(event, event.properties, parameters))
    moments = _moments(event, begins_session=row.engagement.session_count > sessions)
    if moments:
        scene = Scene(row, event.occurred_at_ms, context, _survey(event))
        effects += decide(scene, moments, event.message_id)
        row = scene.row
    return Step(row, Fate.APPLIED, effects)


def _cost(event: Event, cost: CampaignCost, parameters: Parameters) -> Cost:
    amount_minor = minor_units(cost.amount, parameters.money.currency)
    return Cost(event.occurred_at_ms, cost.channel[:CHANNEL_MAX], amount_minor)


def run_deadlines(row: Row, before_ms: int, context: Context) -> tuple[Row, list[Effect]]:
    """Run this customer's deadlines earlier than ``before_ms``, each at its own time.

    A label waits for the clock all the same: an event does not say that what is older has come.
    """
    effects: list[Effect] = []
    while 0 < (due_ms := _next_ms(row, context.clock_ms)) < before_ms:
        row, more = run_deadline(row, due_ms, context)
        effects += more
    return row, effects


def _next_ms(row: Row, clock_ms: int) -> int:
    deadlines = row.deadlines
    is_ripe = deadlines.label.due_ms <= clock_ms
    return deadlines.next_due_ms if is_ripe else deadlines.next_decided_ms


def _moments(event: Event, *, begins_session: bool) -> list[str]:
    """Which rules an event makes worth looking at: a score is asked for when something it depends
    on has changed; one more page view changes only the state.
    """
    moments = [SURVEY] if isinstance(event.properties, Survey) else []
    elsewhere = TOPIC_BY_NAME.get(event.name, CLICKSTREAM) != CLICKSTREAM
    if begins_session or (elsewhere and (event.name in STATE_CHANGING or is_interaction(event))):
        moments.append(SCORE)
    return moments


def _survey(event: Event) -> tuple[SurveyKind, Answer] | None:
    survey = event.properties
    if not isinstance(survey, Survey):
        return None
    return survey.kind, answer_of(survey, event.occurred_at_ms)


def _is_repeat(row: Row, message: bytes) -> bool:
    at = row.messages.find(message)
    # Eight bytes may also match across two neighbours; only a whole one counts.
    while at > 0 and at % 8:
        at = row.messages.find(message, at + 1)
    return at >= 0
