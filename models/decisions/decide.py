"""Turning reasons into triggers, under their cooldowns."""

from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.row import Row
from models.customer.support import answer_of
from models.decisions import rules
from models.decisions.trigger import Cause, Kind, ReasonCode, Trigger, trigger
from models.events.catalogue import Survey
from models.events.wire import Event
from models.learning.snapshot import Snapshot


def decide(
    customer: str, row: Row, event: Event, snapshot: Snapshot, parameters: Parameters
) -> tuple[Row, list[Trigger]]:
    """What ``event`` itself calls for, beyond what silence will."""
    survey = event.properties
    if not isinstance(survey, Survey):
        return row, []
    at_ms = event.occurred_at_ms
    reasons = rules.low_satisfaction(answer_of(survey, at_ms), survey.kind, parameters)
    if reasons is None:
        return row, []
    cause = Cause(message_id=event.message_id)
    return fire(Kind.LOW_SATISFACTION, customer, row, at_ms, cause, reasons, snapshot, parameters)


def fire(
    kind: Kind,
    customer: str,
    row: Row,
    at_ms: int,
    cause: Cause,
    reasons: tuple[ReasonCode, ...],
    snapshot: Snapshot,
    parameters: Parameters,
) -> tuple[Row, list[Trigger]]:
    """The trigger, unless its kind fired for this customer within its cooldown."""
    last_ms = row.fired_ms.get(kind)
    if last_ms is not None and at_ms < last_ms + rules.cooldown_ms(kind, parameters):
        return row, []
    decided = trigger(
        kind,
        rule_version=rules.rule_version(kind, parameters),
        customer=customer,
        at_ms=at_ms,
        cause=cause,
        reasons=reasons,
        model_version=snapshot.version,
    )
    return replace(row, fired_ms={**row.fired_ms, kind: at_ms}), [decided]
