"""What travels to the trainer: observations at check-ins, and examples whose label has matured.

Neither says who it is about. Each is placed by (partition, offset, index) in ``customer-events``,
by which the trainer drops what it has seen.
"""

from base64 import b64decode, b64encode

import msgspec
from msgspec import Struct

from models.learning.bgnbd import Cell
from models.learning.features import unpack
from models.learning.scorers import Said, unpack_said


class Observation(Struct, frozen=True, rename="camel", tag="observation", tag_field="type"):
    """One customer as a check-in found them.

    The customer leaves one cell of the count table and enters another: the table is always that of
    every customer's latest check-in, with nobody in it twice.

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

    def values(self) -> tuple[float, ...]:
        """The features as numbers. Raises ``ValueError`` for another release's, or none."""
        return unpack(b64decode(self.features))


class Example(Struct, frozen=True, rename="camel", tag="example", tag_field="type"):
    """A decision point and what became of it: whether nothing was bought in the horizon after it.

    ``weight``: how many decision points like it there were, of which this one was kept.
    ``features`` and ``said``: as they were, and what each scorer said, then; packed, in base64.
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

    def values(self) -> tuple[float, ...]:
        """The features as numbers."""
        return unpack(b64decode(self.features))

    def scorers_said(self) -> Said | None:
        """What the scorers said; None if nobody did."""
        return unpack_said(b64decode(self.said)) if self.said else None


Lesson = Observation | Example

_DECODER: msgspec.json.Decoder[Lesson] = msgspec.json.Decoder(Lesson)


def encode_lesson(lesson: Lesson) -> bytes:
    """The lesson as it travels."""
    return msgspec.json.encode(lesson)


def decode_lesson(content: bytes) -> Lesson:
    """Raises ``msgspec.DecodeError`` when ``content`` is neither."""
    return _DECODER.decode(content)


def packed_text(packed: bytes) -> str:
    return b64encode(packed).decode()
