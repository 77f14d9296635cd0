"""A refused event, kept whole so that it can be repaired and sent again."""

from base64 import b64decode, b64encode

import msgspec
from msgspec import Struct

from models.events.event import Source
from models.events.foreign import Foreign, decoded
from models.events.rejection import Reason, Rejected


class DeadLetter(Struct, frozen=True, rename="camel"):
    """``raw``: the refused bytes in base64; ``path``: the JSON path of the fault; ``fix``: what
    mends it, empty in letters of older releases; ``step``: the step that refused them: collector,
    ingest or profile; ``source``: where they were read (null in a replay, which has ``line``
    instead, and of the collector, which has ``sender``: whose write key they came with).
    """

    reason: Reason
    path: str
    detail: str
    step: str
    raw: str
    source: Source | None = None
    line: int | None = None
    fix: str = ""
    sender: str = ""

    def content(self) -> bytes:
        """The refused bytes as they came."""
        return b64decode(self.raw)


_DECODER = msgspec.json.Decoder(DeadLetter)


def dead_letter(
    rejected: Rejected,
    raw: bytes,
    *,
    step: str,
    source: Source | None = None,
    line: int | None = None,
    sender: str = "",
) -> DeadLetter:
    return DeadLetter(
        reason=rejected.reason,
        path=rejected.path,
        detail=rejected.detail,
        step=step,
        raw=b64encode(raw).decode(),
        source=source,
        line=line,
        fix=rejected.fix,
        sender=sender,
    )


def encode_dead_letter(letter: DeadLetter) -> bytes:
    return msgspec.json.encode(letter)


def decode_dead_letter(content: bytes) -> DeadLetter:
    """Raises ``Foreign`` if ``content`` is not a dead letter."""
    letter: DeadLetter = decoded(_DECODER, content, "a dead letter")
    try:
        letter.content()
    except ValueError:
        raise Foreign("not a dead letter: it holds no bytes") from None
    return letter
