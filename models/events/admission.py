"""What is let into ``customer-events``: the rules that need more than the event itself."""

from config.parameters import Parameters
from models.events import catalogue
from models.events.rejection import Reason, Rejected
from models.events.wire import EVENT_TYPES, Event, Line, Source, decode_line, event_of

#: Promises this engine does not keep yet; taking them in silence would be a lie.
NOT_SUPPORTED = frozenset({"User Erase Requested"})


def admit(
    raw: bytes,
    parameters: Parameters,
    *,
    message_id: str,
    topic: str = catalogue.CLICKSTREAM,
    source: Source | None = None,
) -> Event:
    """The event in ``raw`` as published on ``topic``. Raises ``Rejected``.

    ``message_id`` stands in where the event has none; ``source`` says when the broker took it, and
    an event further ahead of that than ``time.future`` is refused, so that one bad date cannot
    move everyone's clock.
    """
    return admit_line(
        decode_line(raw), parameters, message_id=message_id, topic=topic, source=source
    )


def admit_line(
    line: Line,
    parameters: Parameters,
    *,
    message_id: str,
    topic: str = catalogue.CLICKSTREAM,
    source: Source | None = None,
) -> Event:
    """``admit`` for a line that is decoded already."""
    event = event_of(line, message_id=message_id, source=source)
    known = event.name in catalogue.TOPIC_BY_NAME or event.name in EVENT_TYPES
    if event.name in NOT_SUPPORTED:
        raise Rejected(Reason.UNKNOWN_EVENT, "$.event", "not supported")
    if not known and topic != catalogue.CLICKSTREAM:
        raise Rejected(Reason.UNKNOWN_EVENT, "$.event", f"not an event of {topic}")
    if event.source is not None:
        ahead_ms = event.occurred_at_ms - event.source.received_at
        if ahead_ms > parameters.time.future:
            raise Rejected(Reason.OUT_OF_RANGE, "$.timestamp", "later than its arrival")
    _check_currency(event, parameters.money.currency)
    return event


def _check_currency(event: Event, currency: str) -> None:
    properties = event.properties
    if isinstance(properties, catalogue.Order | catalogue.OrderEnd | catalogue.CampaignCost):
        named = properties.currency
        if named is not None and named.upper() != currency:
            raise Rejected(
                Reason.OUT_OF_RANGE, "$.properties.currency", f"this shop's currency is {currency}"
            )
