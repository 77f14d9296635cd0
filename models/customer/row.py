"""A customer's row: every part of their state, packed for the changelog.

A row written by an earlier release is read by this one: new fields go to the end, with defaults.
A row written by a newer release is refused.
"""

import msgspec
from msgspec import Struct

from models.customer.cart import Cart
from models.customer.contacts import Decided
from models.customer.engagement import Engagement
from models.customer.evidence import Sign
from models.customer.pending import Pending
from models.customer.purchases import Purchases
from models.customer.support import Support

#: Raised when a field changes its meaning or its place.
ROW_VERSION = 1


class RowError(ValueError):
    """A stored row cannot be used; the message says why."""


class NewerRow(RowError):
    """A row was written by a newer release than this one."""


class Deadline(Struct, frozen=True, array_like=True, gc=False):
    """When silence of one kind becomes due (0: it doesn't), and until when it was dealt with."""

    due_ms: int = 0
    handled_ms: int = 0


class Deadlines(Struct, frozen=True, array_like=True, gc=False):
    """The silences that can fire or be observed."""

    cart: Deadline = Deadline()
    purchase: Deadline = Deadline()
    ticket: Deadline = Deadline()
    decision: Deadline = Deadline()
    label: Deadline = Deadline()

    @property
    def next_due_ms(self) -> int:
        """The earliest deadline; 0 when there is none."""
        due_ms, label_ms = self.next_decided_ms, self.label.due_ms
        return min(due_ms, label_ms) if due_ms and label_ms else due_ms or label_ms

    @property
    def next_decided_ms(self) -> int:
        """The earliest at which something is decided, which a label is not; 0 for none."""
        due = (self.cart.due_ms, self.purchase.due_ms, self.ticket.due_ms, self.decision.due_ms)
        return min((ms for ms in due if ms), default=0)


class Row(Struct, frozen=True, array_like=True):
    """One customer. ``applied`` is the offset in ``customer-events`` of the last change to it;
    ``messages`` the latest message ids, eight bytes each; ``fired_ms`` when each trigger last
    fired; ``latest_ms`` the time of the latest event; ``pending`` the labels that wait, earliest
    first; ``counted`` the cell of the population's count table the customer is in; ``at_risk``
    the triggers whose threshold the customer is above; ``decisions`` the latest actions;
    ``evidence`` what they ran into that people leave for.
    """

    version: int = ROW_VERSION
    applied: int = -1
    messages: bytes = b""
    purchases: Purchases = Purchases()
    engagement: Engagement = Engagement()
    cart: Cart = Cart()
    support: Support = Support()
    deadlines: Deadlines = Deadlines()
    fired_ms: dict[str, int] = {}
    latest_ms: int = 0
    pending: tuple[Pending, ...] = ()
    counted: tuple[int, int, int] | None = None
    at_risk: tuple[str, ...] = ()
    decisions: tuple[Decided, ...] = ()
    evidence: tuple[Sign, ...] = ()
    spend_counted: tuple[int, int, int] | None = None

    @property
    def next_due_ms(self) -> int:
        """The earliest deadline; 0 when there is none."""
        return self.deadlines.next_due_ms


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(Row)


def encode_row(row: Row) -> bytes:
    """The row's bytes; the same row always gives the same bytes."""
    return _ENCODER.encode(row)


def decode_row(content: bytes) -> Row:
    """Read a row. Raises ``NewerRow``, or ``RowError`` when it is not a row at all."""
    try:
        row = _DECODER.decode(content)
    except msgspec.DecodeError as error:
        if version_of(content) > ROW_VERSION:
            raise NewerRow("a row was written by a newer release; upgrade this worker") from None
        raise RowError(f"not a row: {error}") from None
    if row.version > ROW_VERSION:
        raise NewerRow("a row was written by a newer release; upgrade this worker")
    return row


def version_of(content: bytes) -> int:
    """The version that stored bytes begin with, whatever follows; 0 when they have none."""
    try:
        first = msgspec.msgpack.decode(content, type=list[msgspec.Raw])[0]
        return msgspec.msgpack.decode(first, type=int)
    except (msgspec.DecodeError, IndexError):
        return 0
