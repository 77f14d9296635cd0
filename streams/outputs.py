"""Every kind of effect and the record that it becomes, one line each. This is the profile agent's
only list of them.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from config.topics import (
    CUSTOMER_EVENTS,
    LABELLED_EXAMPLES,
    NEXT_BEST_ACTIONS,
    RETENTION_TRIGGERS,
)
from models.decisions.trigger import (
    ActionWithdrawn,
    Decision,
    NextBestAction,
    Trigger,
    does_nothing,
    encode_decision,
)
from models.events.link_record import LinkRecord, encode_link_record
from models.learning.lessons import Cost, DayEnd, Example, Observation, Tally, encode_lesson


class Output(NamedTuple):
    """How an effect is written to Kafka.

    ``topic`` and ``key`` are those of its record. ``is_partitioned``: whether it goes to the
    customer's own partition, or to the topic's only one. ``is_of_key``: whether it goes to the
    partition of its key, which may be another customer's. ``type_name``: its CloudEvents type; with
    one it has headers, and its latency is measured. ``fate``: its labels (kind, fate) in
    ``keepstream_decisions_total``. ``passed_over``: labels (action, gate) in
    ``keepstream_suppressed_actions_total``. ``ledger_key``: if set, the record is also written to
    the decision ledger, under this key, in the same partition.
    """

    topic: str
    encode: Callable[[Any], bytes]
    key: Callable[[Any], bytes | None] = lambda _: None
    is_partitioned: bool = False
    is_of_key: bool = False
    type_name: Callable[[Any], str] | None = None
    fate: Callable[[Any], tuple[str, str]] | None = None
    passed_over: Callable[[Any], Iterable[tuple[str, str]]] = lambda _: ()
    ledger_key: Callable[[Any], bytes] | None = None


def _customer(decided: Decision) -> bytes:
    return decided.user_id.encode()


def _id(decided: Decision) -> bytes:
    return decided.id.encode()


def _rejected(action: NextBestAction) -> Iterable[tuple[str, str]]:
    return [(other.action, other.by) for other in action.suppressed]


_TRIGGER = Output(
    RETENTION_TRIGGERS,
    encode_decision,
    key=_customer,
    is_partitioned=True,
    type_name=lambda trigger: f"keepstream.retention-trigger.{trigger.kind}.v1",
    fate=lambda trigger: (trigger.kind, "fired"),
    ledger_key=_id,
)
_ACTION = Output(
    NEXT_BEST_ACTIONS,
    encode_decision,
    key=_customer,
    is_partitioned=True,
    type_name=lambda action: f"keepstream.{action.kind}.v1",
    fate=lambda action: (action.kind, "nothing" if does_nothing(action) else action.group),
    passed_over=_rejected,
    ledger_key=_id,
)
_WITHDRAWAL = Output(
    NEXT_BEST_ACTIONS,
    encode_decision,
    key=_customer,
    is_partitioned=True,
    type_name=lambda withdrawn: f"keepstream.{withdrawn.kind}.v1",
    fate=lambda withdrawn: (withdrawn.kind, withdrawn.group),
    ledger_key=_id,
)
_LESSON = Output(LABELLED_EXAMPLES, encode_lesson)
_LINK = Output(
    CUSTOMER_EVENTS,
    encode_link_record,
    key=lambda record: record.customer.encode(),
    is_of_key=True,
)

OUTPUTS: dict[type, Output] = {
    Trigger: _TRIGGER,
    NextBestAction: _ACTION,
    ActionWithdrawn: _WITHDRAWAL,
    Observation: _LESSON,
    Example: _LESSON,
    Cost: _LESSON,
    Tally: _LESSON,
    DayEnd: _LESSON,
    LinkRecord: _LINK,
}
