"""What travels to the trainer: observations at check-ins, examples whose label has matured, costs.

None says who it is about. Each is placed by (partition, offset, index) in ``customer-events``,
by which the trainer drops what it has seen.
"""

from base64 import b64decode, b64encode

import msgspec
from msgspec import Struct

from models.customer.pending import Forecast
from models.learning.bgnbd import Cell
from models.learning.features import unpack
from models.learning.scorers import Said, unpack_said

#: Where a customer's money is counted: purchase days and mean spend as `gamma_gamma.SpendCell` has
#: them, and the net of the longest window in minor units.
Counted = tuple[int, int, int]


class Observation(Struct, frozen=True, rename="camel", tag="observation", tag_field="type"):
    """One customer as a check-in found them.

    The customer leaves one cell of the count table and enters another: the table is always that of
    every customer's latest check-in, with nobody in it twice. ``spend_enters`` and ``spend_leaves``
    are the same for their money. ``acquired``: at the first check-in, the channel of their first
    event, which may be empty.

    ``features``: as they are now, packed, in base64; ``gap_residuals``: `gap_residuals` of the
    purchase days since the last check-in. Drift is seen in both, without a label's delay.
    """

    timestamp_ms: int
    recency_days: float
    frequency: int
    monetary_minor: int
    gap_days: float | None
    enters: Cell
    leaves: Cell | None = None
    partition: int = 0
    offset: int = 0
    index: int = 0
    features: str = ""
    gap_residuals: tuple[float, ...] = ()
    spend_enters: Counted | None = None
    spend_leaves: Counted | None = None
    acquired: str | None = None

    def values(self) -> tuple[float, ...]:
        """The features as numbers. Raises ``ValueError`` for another release's, or none."""
        return unpack(b64decode(self.features))


class Example(Struct, frozen=True, rename="camel", tag="example", tag_field="type"):
    """A decision point and what became of it: whether nothing was bought in the horizon after it.

    ``weight``: how many decision points like it there were, of which this one was kept.
    ``features`` and ``said``: as they were, and what each scorer said, then; packed, in base64.
    ``spent_minor``: net revenue within the horizon; ``forecast``: what was expected of it.
    """

    timestamp_ms: int
    horizon_days: float
    kind: str
    churned: bool
    features: str
    weight: int = 1
    said: str = ""
    partition: int = 0
    offset: int = 0
    index: int = 0
    spent_minor: int = 0
    forecast: Forecast | None = None

    def values(self) -> tuple[float, ...]:
        """The features as numbers."""
        return unpack(b64decode(self.features))

    def scorers_said(self) -> Said | None:
        """What the scorers said; None if nobody did."""
        return unpack_said(b64decode(self.said)) if self.said else None


class Cost(Struct, frozen=True, rename="camel", tag="cost", tag_field="type"):
    """What was spent on winning customers through a channel, in minor units."""

    timestamp_ms: int
    channel: str
    amount_minor: int
    partition: int = 0
    offset: int = 0
    index: int = 0


Lesson = Observation | Example | Cost

_DECODER: msgspec.json.Decoder[Lesson] = msgspec.json.Decoder(Lesson)


def encode_lesson(lesson: Lesson) -> bytes:
    """The lesson as it travels."""
    return msgspec.json.encode(lesson)


def decode_lesson(content: bytes) -> Lesson:
    """Raises ``msgspec.DecodeError`` when ``content`` is none."""
    return _DECODER.decode(content)


def packed_text(packed: bytes) -> str:
    return b64encode(packed).decode()
