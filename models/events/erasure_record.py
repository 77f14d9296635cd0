"""Erasure notices: they tell readers of decisions to delete what they keep of a customer."""

from typing import Final

import msgspec
from msgspec import Struct

from models.events.foreign import Foreign, decoded
from models.events.times import iso

#: The event that requests an erasure.
ERASE_REQUESTED: Final = "User Erase Requested"
#: The modes of an erasure: delete what is held; also refuse later events; accept events again.
DELETE_ONLY, SUPPRESS, UNSUPPRESS = "DELETE_ONLY", "SUPPRESS_WITH_DELETE", "UNSUPPRESS"
MODES: Final = (DELETE_ONLY, SUPPRESS, UNSUPPRESS)


class Erased(Struct):
    """An id of an erased person. ``at_ms``: everything dated up to then is erased; ``was_known``:
    whether anything was held. ``partition`` and ``offset``: the record that erased the person.
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
    """A notice on the topics of decisions, in the partition of the customer's decisions: readers
    must delete the customer's earlier decisions. ``fingerprint``: of the customer's id, as
    docs/privacy.md defines it. ``timestamp``: everything dated up to then is erased. ``was_known``:
    whether anything was held.
    """

    id: str
    fingerprint: str
    timestamp: str
    mode: str
    was_known: bool


def notice_of(erased: Erased, fingerprint: bytes) -> ErasureNotice:
    """The notice for an erased id."""
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
    """The notice in a record of a topic of decisions; None for any other record."""
    if b'"erased"' not in content[:64]:
        return None
    try:
        notice: ErasureNotice = decoded(_NOTICE, content, "a notice of an erasure")
        bytes.fromhex(notice.fingerprint)
    except (Foreign, ValueError):
        return None
    return notice
