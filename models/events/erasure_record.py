"""That somebody was erased, for readers of decisions: they have to delete what is theirs."""

from typing import Final

import msgspec
from msgspec import Struct

from models.events.foreign import Foreign, decoded
from models.events.times import iso

#: The event that asks for it.
ERASE_REQUESTED: Final = "User Erase Requested"
#: What it asks for: what is held is deleted; and nothing may come again; something may.
DELETE_ONLY, SUPPRESS, UNSUPPRESS = "DELETE_ONLY", "SUPPRESS_WITH_DELETE", "UNSUPPRESS"
MODES: Final = (DELETE_ONLY, SUPPRESS, UNSUPPRESS)


class Erased(Struct):
    """An id of an erased person. ``at_ms``: what is dated up to then is gone; ``was_known``:
    whether anything was held. ``partition`` and ``offset``: of the record that erased them.
    """

    customer: str
    at_ms: int
    mode: str
    was_known: bool
    partition: int = -1
    offset: int = -1


class ErasureNotice(
    Struct, frozen=True, rename="camel", tag="erased", tag_field="type", kw_only=True
):
    """On the topics of decisions, in the partition of those that it is about: whatever was decided
    for the customer before, readers have to delete. ``fingerprint``: of the customer's id, as
    docs/privacy.md says. ``timestamp``: what is dated up to then is gone. ``was_known``: whether
    anything was held.
    """

    id: str
    fingerprint: str
    timestamp: str
    mode: str
    was_known: bool


def notice_of(erased: Erased, fingerprint: bytes) -> ErasureNotice:
    """What readers are told of an id that was erased."""
    return ErasureNotice(
        id=f"erased-{erased.partition}-{erased.offset}",
        fingerprint=fingerprint.hex(),
        timestamp=iso(erased.at_ms),
        mode=erased.mode,
        was_known=erased.was_known,
    )


def encode_notice(notice: ErasureNotice) -> bytes:
    """The notice as plain JSON."""
    return msgspec.json.encode(notice)


_NOTICE: msgspec.json.Decoder[ErasureNotice] = msgspec.json.Decoder(ErasureNotice)


def notice_in(content: bytes) -> ErasureNotice | None:
    """The notice in a record of a topic of decisions; None for one that is none."""
    if b'"erased"' not in content[:64]:
        return None
    try:
        notice: ErasureNotice = decoded(_NOTICE, content, "a notice of an erasure")
        bytes.fromhex(notice.fingerprint)
    except (Foreign, ValueError):
        return None
    return notice
