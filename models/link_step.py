"""What both sides of a link share: the row of an id, and the row of the person it belongs to."""

from typing import NamedTuple

import msgspec

from models.admission import event_of
from models.customer.identities import IDENTITIES, Identities
from models.customer.row import Row, decode_row
from models.customer.row_formats import RowError
from models.customer.scene import Context
from models.engine import Effect, Fate, pass_over
from models.events.event import Event
from models.events.link_record import FORWARDED, LinkRecord, LinkSaid, not_ours, row_bytes
from models.events.rejection import Rejected
from models.events.wire import decode_log_line, encode_event
from models.plan import Plan


class Stepped(NamedTuple):
    """What an event or a record did to a row. ``fate`` is None for a record, and if a part
    ``refused`` the event. ``row``: the row afterwards, which may be another one. ``passed_on``: the
    event that the record brought to its person.
    """

    row: Row
    effects: list[Effect]
    fate: Fate | None = None
    refused: Rejected | None = None
    passed_on: Event | None = None


def passed_over(row: Row, record: LinkRecord, context: Context, plan: Plan) -> list[Effect]:
    """Deadlines have changed, because an id came or went. Those that passed before that moment get
    no effects: either the id had them on time, or they never applied to anybody.
    """
    if row.read(IDENTITIES).is_mirror:
        return []
    said, before_ms = record.said, context.clock_ms + 1
    if not said.historical:
        before_ms = min(before_ms, max(record.at_ms, said.since))
    return pass_over(row, record.customer, before_ms, context, plan)


def row_in(record: LinkRecord) -> Row:
    """The row in the record. Raises ``Rejected``."""
    try:
        return decode_row(row_bytes(record.said.row))
    except RowError:
        raise not_ours("$.properties.row") from None


def event_in(record: LinkRecord, plan: Plan) -> Event:
    """The event in the record, as an event of its id. Raises ``Rejected``."""
    line = decode_log_line(bytes(record.said.event))
    event = event_of(line, message_id="", own=plan.parameters.names.own)
    return msgspec.structs.replace(event, customer=record.said.id)


def passed_on(state: Identities, event: Event) -> list[LinkRecord]:
    """A record that forwards the event to the id's person; none if the event stays with the id."""
    is_its_own = bool(state.shared_ms) and event.occurred_at_ms >= state.shared_ms
    if not state.person or state.is_leaving or is_its_own:
        return []
    content = msgspec.Raw(encode_event(event))
    said = LinkSaid(event.customer, state.person, event=content)
    return [LinkRecord(FORWARDED, state.person, event.occurred_at_ms, said)]
