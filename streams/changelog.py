"""The records of the customers table's changelog: rows, and the state of each partition.

Headers say what the bytes don't: a checksum over key and value, which parts the writer of a row
knew, whether the row follows from everything that happened, and which topics a state belongs to.
Records without headers were written by older releases, and can be read as well.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

from models.customer.registry import VERSIONS
from models.customer.row_formats import ROW_FORMAT

#: The key of a partition's own state. No customer's id can contain a zero byte.
STATE_KEY = b"\x00partition"
#: Begins the key of a grave; the fingerprint follows. No customer's id either.
GRAVE_KEY = b"\x00grave:"
_CHECKSUM = "crc"
#: Of a row: its checksum, and a fingerprint of what its writer knew.
_ROW = "row"
_CHECKSUM_BYTES = 4
_SALT = "salt"
_ERASED = "erased"
_UNSOUND = "unsound"
_DAMAGED = "damaged"
#: Of a row, its customer's archive key; of a state, its partition's archive secrets.
_KEY = "key"
_SECRETS = "secrets"

Headers = Sequence[tuple[str, bytes]]


class ChangelogRecord(NamedTuple):
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Origin(NamedTuple):
    """The topics that a partition's state belongs to, by the broker's ids; "" where unknown.

    ``log``: the topic that the state is a fold of. ``table``: the topic with its rows. ``archive``
    and ``keys``: the archive of everything applied and its keys, where there is one.
    """

    log: str = ""
    table: str = ""
    archive: str = ""
    keys: str = ""


UNKNOWN_ORIGIN = Origin()


class Marks(NamedTuple):
    """What a record's headers say about it.

    ``is_intact``: nothing contradicts its checksum. ``is_verified``: it has a checksum over key and
    value, which is right. ``is_known``: the row's writer knew the same parts in the same versions,
    so nothing in it is newer. ``is_sound``: the row follows from everything that happened to the
    customer, as far as was known. ``damaged``: of a state, how many rows of its partition are not
    sound. ``key``: the archive key of a row's customer, as it is stored; b"" without. ``secrets``:
    the archive secrets of a state's partition, likewise. ``erased``: of a deleted row, the offset
    of the record that erased it. ``salt``: identifies the salt of a grave's fingerprint.
    """

    is_intact: bool = True
    is_sound: bool = True
    origin: Origin = UNKNOWN_ORIGIN
    damaged: int = 0
    is_verified: bool = False
    is_known: bool = False
    key: bytes = b""
    secrets: bytes = b""
    erased: int | None = None
    salt: bytes = b""


def known_by(versions: Mapping[str, int]) -> bytes:
    """A fingerprint of what a release knows: the row layout and the versions of parts."""
    told = (f"{code}:{version}" for code, version in sorted(versions.items()))
    return sha256(" ".join((str(ROW_FORMAT), *told)).encode()).digest()[:4]


#: What this release knows. A worker refuses a row in which something is newer.
KNOWN = known_by(VERSIONS)


def row_record(
    customer: str,
    packed: bytes | None,
    *,
    is_sound: bool = True,
    known: bytes = KNOWN,
    erased: int | None = None,
    key: bytes | None = None,
) -> ChangelogRecord:
    """A customer's row, or None for its deletion.

    ``erased``: the offset of the record that erased it, so that a later row is kept. ``is_sound``:
    False for a row continued from a damaged one; a header says so to whoever recovers it. ``key``:
    the customer's archive key.
    """
    name = customer.encode()
    headers = [(_ROW, _sum_of(name, packed) + known)]
    if key is not None:
        headers.append((_KEY, key))
    if erased is not None:
        headers.append((_ERASED, b"%d" % erased))
    if not is_sound:
        headers.append((_UNSOUND, b"1"))
    return ChangelogRecord(name, packed, headers)


def grave_record(fingerprint: bytes, packed: bytes, salt_mark: bytes) -> ChangelogRecord:
    """The grave of an erased customer, who is known by the fingerprint alone."""
    key = GRAVE_KEY + fingerprint
    return ChangelogRecord(key, packed, [(_CHECKSUM, _sum_of(key, packed)), (_SALT, salt_mark)])


def state_record(
    state: bytes, origin: Origin, damaged: int, secrets: bytes = b""
) -> ChangelogRecord:
    """A partition's state, how many of its rows are not sound, and its archive secrets."""
    headers = [(_CHECKSUM, _sum_of(STATE_KEY, state))]
    headers += [(name, value.encode()) for name, value in origin._asdict().items() if value]
    if damaged:
        headers.append((_DAMAGED, b"%d" % damaged))
    if secrets:
        headers.append((_SECRETS, secrets))
    return ChangelogRecord(STATE_KEY, state, headers)


def marks_of(key: bytes | None, value: bytes | None, headers: Headers) -> Marks:
    """What the headers say; a record without headers counts as intact and sound."""
    if not headers:
        return _INTACT
    if len(headers) == 1 and headers[0][0] == _ROW:
        # Nearly every row: a million of them in a takeover.
        stated = headers[0][1]
        if stated == _sum_of(key or b"", value) + KNOWN:
            return _KNOWN
    elif len(headers) == 2 and headers[0][0] == _ROW and headers[1][0] == _KEY:
        if headers[0][1] == _sum_of(key or b"", value) + KNOWN:
            return Marks(True, True, UNKNOWN_ORIGIN, 0, True, True, headers[1][1])
    found = dict(headers)
    stated = found.get(_ROW, found.get(_CHECKSUM, b""))
    is_verified = stated[:_CHECKSUM_BYTES] == _sum_of(key or b"", value)
    named = {name: found[name].decode(errors="replace") for name in Origin._fields if name in found}
    count = found.get(_DAMAGED, b"0")
    return Marks(
        is_intact=is_verified or not stated,
        is_sound=_UNSOUND not in found,
        origin=Origin(**named) if named else UNKNOWN_ORIGIN,
        damaged=int(count) if count.isdigit() else 0,
        is_verified=is_verified,
        is_known=is_verified and stated[_CHECKSUM_BYTES:] == KNOWN,
        key=found.get(_KEY, b""),
        secrets=found.get(_SECRETS, b""),
        erased=int(found[_ERASED]) if found.get(_ERASED, b"").isdigit() else None,
        salt=found.get(_SALT, b""),
    )


_INTACT = Marks()
_KNOWN = Marks(is_verified=True, is_known=True)


def _sum_of(key: bytes, value: bytes | None) -> bytes:
    return crc32(value or b"", crc32(key)).to_bytes(_CHECKSUM_BYTES, "big")
