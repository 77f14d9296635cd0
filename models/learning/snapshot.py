"""A snapshot: the models of all customers, versioned, immutable and identified by its hash."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from config.parameters import Parameters
from models.events.foreign import UNREADABLE
from models.learning.registry import DRAWN_TYPES, LEARNERS

#: Increased when a snapshot's layout changes. Formats 1 and 2 had a field for each model.
SNAPSHOT_FORMAT = 3


T = TypeVar("T", bound=Struct)


class SnapshotError(ValueError):
    """A snapshot cannot be used; the message says why."""


class SnapshotFormatError(SnapshotError):
    """A snapshot is in the format of another release; the message says what to do."""


class UnknownSnapshot(SnapshotError):
    """No snapshot has the requested version and hash; the message says what to do."""


class Snapshot:
    """The models that decisions use, as of ``created_at_ms`` of event time.

    ``drawn``: what each learner drew, by the learner's name; `of` looks it up by type. ``trainer``:
    the trainer's encoded state, which only the trainer reads. ``stored_sha256``: the hash of the
    bytes it was read from. It identifies the snapshot forever, because another release may encode
    it differently. Empty for a snapshot that is not stored yet.
    """

    __slots__ = ("_by_type", "created_at_ms", "drawn", "stored_sha256", "trainer", "version")

    def __init__(
        self,
        version: int,
        created_at_ms: int,
        drawn: Mapping[str, Struct],
        trainer: bytes = b"null",
        stored_sha256: str = "",
    ) -> None:
        self.version = version
        self.created_at_ms = created_at_ms
        self.drawn = drawn
        self.trainer = trainer
        self.stored_sha256 = stored_sha256
        self._by_type: dict[type[Struct], Struct] = {type(one): one for one in drawn.values()}

    def of(self, kind: type[T]) -> T:
        """The value of type ``kind``, drawn by the learner of that type."""
        found: Any = self._by_type[kind]
        return found  # type: ignore[no-any-return]

    def replace(self, *changed: Struct, **fields: Any) -> "Snapshot":
        """The same snapshot with some drawn values or fields replaced."""
        by_type = {type(one): one for one in changed}
        drawn = {name: by_type.get(type(one), one) for name, one in self.drawn.items()}
        known = {
            "version": self.version,
            "created_at_ms": self.created_at_ms,
            "drawn": drawn,
            "trainer": self.trainer,
        }
        return Snapshot(**{**known, **fields})

    @property
    def sha256(self) -> str:
        """The hash under which it is announced: the SHA-256 of its stored bytes."""
        return self.stored_sha256 or encode_snapshot(self)[1]


class _Stored(Struct, rename="camel"):
    """A snapshot as it is stored. ``drawn``: what each learner drew, by the learner's name."""

    format: int
    version: int
    created_at_ms: int
    drawn: dict[str, msgspec.Raw]
    trainer: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Stored)


def prior_snapshot(parameters: Parameters) -> Snapshot:
    """Version 0: the operator's priors, used before anything is learnt."""
    priors = {one.name: one.prior(parameters) for one in LEARNERS if one.prior is not None}
    return Snapshot(0, 0, priors)


def encode_snapshot(snapshot: Snapshot) -> tuple[bytes, str]:
    """The snapshot's bytes and their SHA-256; the same snapshot always gives the same bytes."""
    drawn = {name: msgspec.Raw(msgspec.json.encode(one)) for name, one in snapshot.drawn.items()}
    stored = _Stored(
        SNAPSHOT_FORMAT,
        snapshot.version,
        snapshot.created_at_ms,
        drawn,
        msgspec.Raw(snapshot.trainer),
    )
    content = msgspec.json.encode(stored)
    return content, sha256(content).hexdigest()


def decode_snapshot(content: bytes, expected_sha256: str | None = None) -> Snapshot:
    """Read a snapshot. Raises ``SnapshotError`` for a damaged or altered one, and
    ``SnapshotFormatError`` for an older or newer one.
    """
    if expected_sha256 is not None and sha256(content).hexdigest() != expected_sha256:
        raise SnapshotError("a snapshot differs from the one the log announced")
    _require_format(content)
    try:
        stored = _DECODER.decode(content)
        # Values of learners that this release does not have are dropped; a learner that is newer
        # than the snapshot gets its type's default.
        drawn = {
            name: msgspec.json.decode(stored.drawn.get(name, b"{}"), type=kind)
            for name, kind in DRAWN_TYPES.items()
        }
    except UNREADABLE as error:
        raise SnapshotError(f"not a snapshot: {error}") from None
    found = sha256(content).hexdigest()
    return Snapshot(stored.version, stored.created_at_ms, drawn, bytes(stored.trainer), found)


class _Format(Struct):
    """The fields that snapshots of all releases share; the first ones had no format."""

    version: int
    created_at_ms: int = msgspec.field(name="createdAtMs")
    format: int = 1


def _require_format(content: bytes) -> None:
    try:
        found = msgspec.json.decode(content, type=_Format)
    except UNREADABLE as error:
        raise SnapshotError(f"not a snapshot: {error}") from None
    if found.format < 1:
        raise SnapshotError("not a snapshot: it has no format")
    if found.format > SNAPSHOT_FORMAT:
        raise SnapshotFormatError(
            f"snapshot {found.version} was written by a newer release; upgrade this one"
        )
    if found.format < SNAPSHOT_FORMAT:
        raise SnapshotFormatError(
            f"snapshot {found.version} is in format {found.format}, which this release does not "
            f"read (it writes {SNAPSHOT_FORMAT}): start over with another KEEPSTREAM_TOPIC_PREFIX, "
            f"and publish the events again"
        )
