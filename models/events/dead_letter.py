"""A refused event, kept whole so that it can be repaired and sent again."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from models.events.event import Source
from models.events.foreign import Foreign, decoded
from models.events.rejection import Reason, Rejected

#: The step that refuses webhooks; their letters hold a vendor's request instead of an event.
WEBHOOK: Final = "webhook"


class DeadLetter(Struct, frozen=True, rename="camel"):
    """``raw``: the refused bytes in base64; ``path``: the JSON path of the fault; ``fix``: how to
    mend it, empty in letters of older releases; ``step``: the step that refused it: collector,
    webhook, ingest or profile. ``source``: the record it was read from; null in letters of a
    replay, which have ``line`` instead, and of the collector, which have ``sender``, the source
    that sent it. A webhook is kept as it came, with the ``headers`` that identify it.
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
    headers: dict[str, str] | UnsetType = UNSET

    def content(self) -> bytes:
        """The refused bytes as they came."""
        return b64decode(self.raw)


class Closing(Struct, frozen=True, tag_field="type", tag="dead-letters-closed"):
    """Says that the letters at ``offsets`` were put back; they are in the same partition as this
    record.
    """

    offsets: tuple[int, ...]


_DECODER = msgspec.json.Decoder(DeadLetter)
_CLOSING = msgspec.json.Decoder(Closing)
#: The first bytes of a closing, so that no letter is decoded just to tell the two apart.
_CLOSES = b'{"type":"dead-letters-closed"'


def dead_letter(
    rejected: Rejected,
    raw: bytes,
    *,
    step: str,
    source: Source | None = None,
    line: int | None = None,
    sender: str = "",
    headers: Mapping[str, str] | None = None,
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
        headers=UNSET if headers is None else dict(headers),
    )


def encode_dead_letter(letter: DeadLetter) -> bytes:
    return msgspec.json.encode(letter)


def encode_closing(closing: Closing) -> bytes:
    return msgspec.json.encode(closing)


def decode_entry(content: bytes) -> DeadLetter | Closing:
    """A record of the topic. Raises ``Foreign`` if ``content`` is neither of the two."""
    if content.startswith(_CLOSES):
        closing: Closing = decoded(_CLOSING, content, "a closing of dead letters")
        return closing
    return decode_dead_letter(content)


def decode_dead_letter(content: bytes) -> DeadLetter:
    """Raises ``Foreign`` if ``content`` is not a dead letter."""
    letter: DeadLetter = decoded(_DECODER, content, "a dead letter")
    try:
        letter.content()
    except ValueError:
        raise Foreign("not a dead letter: it holds no bytes") from None
    return letter
