"""The trainer's input: observations at check-ins, examples with a matured label, costs, and sums
over all customers.

No lesson names its customer. Each has a position (partition, offset, index) in ``customer-events``,
by which the trainer drops repeats.
"""

from binascii import a2b_base64, b2a_base64
from typing import ClassVar, NamedTuple

import msgspec
from msgspec import Struct

from models.events.foreign import decoded
from models.learning.bgnbd import Cell
from models.learning.feature_names import unpack
from models.learning.scorers import Said, unpack_said

#: A customer's cell for money: purchase days and mean spend as in `gamma_gamma.SpendCell`, and net
#: revenue within the longest window, in minor units.
Counted = tuple[int, int, int]


class Forecast(Struct, frozen=True, array_like=True, gc=False):
    """Expected spend within the horizon, by the formula and by the challenger. Amounts are in minor
    units; ``features`` are the challenger's; ``order_minor``: the typical order at the time.
    """

    formula_minor: float
    challenger_minor: float | None
    order_minor: float
    features: tuple[float, ...]


class Taught(Struct, rename="camel", tag_field="type", kw_only=True):
    """The position in ``customer-events``; ``index`` counts the lessons of one record.

    Use this type to test for a lesson: ``isinstance`` with the union takes several times as long.
    """

    partition: int = 0
    offset: int = 0
    index: int = 0


class Observation(Taught, tag="observation", kw_only=False):
    """One customer at a check-in.

    The customer moves from one cell of the count table to another, so that the table counts every
    customer once, at their latest check-in. ``spend_enters`` and ``spend_leaves`` do the same for
    money. ``acquired``: at the first check-in, the channel of the first event, which may be empty.

    ``features`` are packed, in base64; ``gap_residuals`` are those of the purchase days since the
    last check-in. Both show drift without waiting for labels. ``labels_thousandths``: labels
    expected from the decision points since then, in thousandths; 0 unless
    ``learning.lessons_per_s`` limits them.
    """

    timestamp_ms: int
    recency_days: float
    frequency: int
    monetary_minor: int
    gap_days: float | None
    enters: Cell
    leaves: Cell | None = None
    features: str = ""
    gap_residuals: tuple[float, ...] = ()
    spend_enters: Counted | None = None
    spend_leaves: Counted | None = None
    acquired: str | None = None
    labels_thousandths: int = 0

    def values(self) -> tuple[float, ...]:
        """The features as numbers. Raises ``ValueError`` without features of this release."""
        return unpack(a2b_base64(self.features))


class Example(Taught, tag="example", kw_only=False):
    """A decision point and its label: ``churned`` if nothing was bought in the horizon after it.

    ``weight``: how many decision points this kept one stands for. ``features`` and ``said``:
    features and log odds at the decision, packed, in base64. ``spent_minor``: net revenue within
    the horizon; ``forecast``: the spend expected at the decision.
    """

    timestamp_ms: int
    horizon_days: float
    kind: str
    churned: bool
    features: str
    weight: int = 1
    said: str = ""
    spent_minor: int = 0
    forecast: Forecast | None = None

    def values(self) -> tuple[float, ...]:
        """The features as numbers."""
        return unpack(a2b_base64(self.features))

    def scorers_said(self) -> Said | None:
        """The scorers' log odds; None if there were none."""
        return unpack_said(a2b_base64(self.said)) if self.said else None


class Cost(Taught, tag="cost", kw_only=False):
    """The cost of a channel, in minor units, spread evenly over ``period_days`` from its time on;
    ``is_retention``: spent to keep customers rather than to win them.
    """

    timestamp_ms: int
    channel: str
    amount_minor: int
    period_days: int = 1
    is_retention: bool = False


class Tally(Taught, tag="tally", kw_only=False):
    """Amounts that a part adds to sums over all customers.

    ``sums`` are (key, UTC day since 1970, amount); a correction subtracts the old amount from the
    day it was first added to. ``window_days``: how far back sums count, 0 without a limit.
    """

    timestamp_ms: int
    part: str
    window_days: int
    sums: tuple[tuple[str, int, int], ...]
    #: A tally counts as one; `AddedUp` counts several.
    tallies: ClassVar[int] = 1


class AddedUp(NamedTuple):
    """The sum of several ``tallies`` of a part, in the order of keys and days; ``timestamp_ms`` and
    ``window_days`` are those of the latest one.
    """

    timestamp_ms: int
    part: str
    window_days: int
    sums: tuple[tuple[str, int, int], ...]
    tallies: int


class DayEnd(Taught, tag="dayEnd", kw_only=False):
    """A partition's clock passed the end of a day: all its lessons up to then come before this.

    It teaches nothing. The trainer waits for it, so that a snapshot holds whole days.
    """

    timestamp_ms: int


Lesson = Observation | Example | Cost | Tally | DayEnd

_DECODER: msgspec.json.Decoder[Lesson] = msgspec.json.Decoder(Lesson)
_ENCODER = msgspec.json.Encoder()


def encode_lesson(lesson: Lesson) -> bytes:
    """The lesson as JSON."""
    return _ENCODER.encode(lesson)


def decode_lesson(content: bytes) -> Lesson:
    """Raises ``Foreign`` if ``content`` is not a lesson."""
    lesson: Lesson = decoded(_DECODER, content, "a lesson")
    return lesson


def own_lesson(content: bytes) -> Lesson:
    """Read what `encode_lesson` wrote in this process; use `decode_lesson` for content from
    elsewhere.
    """
    return _DECODER.decode(content)


def packed_text(packed: bytes) -> str:
    """Packed bytes in base64, for JSON."""
    return b2a_base64(packed, newline=False).decode()
