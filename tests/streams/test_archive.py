"""What a worker seals, record by record, and how foreign records are handled."""

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from models.applied import ALREADY_APPLIED
from models.customer.row import Row
from models.events.event import Event, Source
from models.events.foreign import Foreign
from models.events.gone import Gone, encode_gone
from models.events.rejection import Rejected
from models.events.wire import decode_log_line, encode_event
from models.graves import Grave
from streams.archive.frames import (
    FRAME_BYTES_MAX,
    SealedRecord,
    decode_frame,
    encode_frame,
    frames_of,
    opened,
    sealed,
)
from streams.archive.key_reading import Keys
from streams.archive.unsealing import Unsealed, Unsealing
from streams.archive.writing import ArchiveWriter
from streams.customer_keys import PARTITION_KEY, CustomerKey, Secrets, read_key
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.log_records import log_line_of
from streams.row_keys import RowsWithKeys
from streams.set_aside import SetAside
from tests.models.lines import at, happened
from tests.properties.archives import Held, Written
from tests.streams.test_record_batches import FakeRecord

SECRETS = Secrets.drawn()


class Owned:
    """A partition with one row, ada's, and what is written to its archive."""

    def __init__(self, key: CustomerKey | None = None, grave: Grave | None = None) -> None:
        keys = RowsWithKeys({})
        self.rows, self.graves = CustomerRows(keys), CustomerGraves()
        self.rows.put("ada", Row())
        if key is not None:
            keys.set_key("ada", key.kept(b"ada"))
        if grave is not None:
            self.graves["ada"] = grave
        self.writer = ArchiveWriter(0, self.rows, keys, self.graves, SECRETS)
        # The partition's own key, with which it begins.
        (self.first,) = self.written()

    def take(self, offset: int, value: bytes) -> None:
        self.writer.take(offset, decode_log_line(value), value, ALREADY_APPLIED)

    def written(self) -> list[Written]:
        held: Any = Held()
        self.writer.write_to(held)
        records: list[Written] = held.records
        return records


def record_of(name: str, hours: float, **said: Any) -> bytes:
    event: Event = happened(name, at(hours=hours), **said)
    return encode_event(replace(event, source=Source("support", 0, 7, at(hours=hours))))


def entries_in(written: list[Written]) -> list[SealedRecord]:
    return [
        entry
        for record in written
        if record.topic == "customer-archive"
        for entry in decode_frame(record.value or b"", SECRETS.frame)
    ]


def test_a_record_read_again_is_not_sealed_with_the_key_of_whoever_came_later() -> None:
    owned = Owned(key=SECRETS.key_of(b"ada", 9))
    for offset in (3, 9):
        owned.take(offset, record_of("Ticket Opened", 1, ticket_id="t"))
    earlier, later = entries_in(owned.written())
    assert (b"", b"") == (earlier.key_id, earlier.content)
    assert SECRETS.key_of(b"ada", 9).id == later.key_id


def test_an_erasure_read_again_leaves_the_key_of_whoever_came_later() -> None:
    later = SECRETS.key_of(b"ada", 9).kept(b"ada")
    owned = Owned(CustomerKey.read(later, b"ada"), Grave(at_ms=at(hours=2), applied=5, erased=5))
    owned.take(5, record_of("User Erase Requested", 2))
    told = [(one.key, one.value) for one in owned.written() if one.topic == "customer-keys"]
    assert [] == told


def test_an_erasure_deletes_the_key_and_leaves_a_grave() -> None:
    owned = Owned(SECRETS.key_of(b"ada", 1), Grave(at_ms=at(hours=2), applied=5, erased=5))
    owned.rows.remove("ada", 5)
    owned.take(5, record_of("User Erase Requested", 2))
    written = owned.written()
    told = [(one.key, one.value) for one in written if one.topic == "customer-keys"]
    assert [(SECRETS.key_of(b"ada", 1).name(b"ada"), None)] == told
    (entry,) = entries_in(written)
    assert entry.gone is not None
    assert b"ada" not in encode_gone(entry.gone)
    assert [entry.gone.grave] == list(owned.graves.all_packed().values())


def test_what_is_of_the_past_of_somebody_erased_is_not_kept_with_whoever_came_later() -> None:
    owned = Owned(SECRETS.key_of(b"ada", 6), Grave(at_ms=at(hours=2), applied=5, erased=5))
    owned.take(7, record_of("Ticket Opened", 1, ticket_id="t"))
    owned.take(8, record_of("Ticket Opened", 3, ticket_id="t"))
    assert [b"", SECRETS.key_of(b"ada", 6).id] == [e.key_id for e in entries_in(owned.written())]


def test_a_key_that_was_deleted_cannot_be_drawn_again() -> None:
    later = SECRETS.after_forgetting(5)
    assert SECRETS.key_of(b"ada", 1) != later.key_of(b"ada", 1)
    assert SECRETS.frame == later.frame
    # Whoever folds the same log has the same.
    assert later == SECRETS.after_forgetting(5)


def test_a_row_without_a_key_is_written_with_the_one_that_is_drawn() -> None:
    """As with a row that a record did not change: a worker that recovers it must know the key."""
    owned = Owned()
    [*owned.rows.drain()]
    owned.take(4, record_of("Ticket Opened", 1, ticket_id="t"))
    (written,) = owned.rows.drain()
    key = SECRETS.key_of(b"ada", 4).kept(b"ada")
    assert (b"ada", ("key", key)) == (written.key, written.headers[1])
    assert [key] == [one.value for one in owned.written() if one.topic == "customer-keys"]


def test_each_owner_writes_the_partition_s_key_again_so_that_segments_end() -> None:
    """Also an owner that takes over: without new customers nothing else would be written."""
    owned = Owned()
    assert PARTITION_KEY == owned.first.key
    assert SECRETS.frame in (owned.first.value or b"")
    owned.take(4, record_of("Ticket Opened", 1, ticket_id="t"))
    assert PARTITION_KEY not in [one.key for one in owned.written()]


def test_keys_and_secrets_are_read_back_and_no_others() -> None:
    key = SECRETS.key_of(b"ada", 4)
    kept = key.kept(b"ada")
    assert (b"ada", key) == read_key(key.name(b"ada"), kept)
    assert SECRETS == Secrets.read(SECRETS.kept())
    assert Secrets.read(SECRETS.kept()[:-1] + b"?") is None
    later = SECRETS.key_of(b"ada", 5).name(b"ada")
    for name, torn in (
        (key.name(b"bob"), kept),
        (key.name(b"ada"), kept[:-1]),
        (key.name(b"ada"), b"canary"),
        (later, kept),
        (b"ada", kept),
        (b"", kept),
    ):
        with pytest.raises(Foreign):
            read_key(name, torn)


def test_secrets_are_not_shown() -> None:
    key = SECRETS.key_of(b"ada", 4)
    told = f"{SECRETS!r} {SECRETS} {key!r} {key}"
    assert "***" in told
    for secret in (SECRETS.frame, SECRETS.seed, key.secret):
        assert repr(secret)[2:-1] not in told
        assert secret.hex() not in told


def stored(name: bytes | None, value: bytes | None) -> Any:
    """A record of `customer-keys`."""
    return FakeRecord(0, 0, "customer-keys", 0, 0, name, value, [])


def unsealed(*frames: bytes, secret: bytes = SECRETS.frame) -> tuple[list[int], Unsealed]:
    keys, outcome = Keys(frame=secret), Unsealed()
    key = SECRETS.key_of(b"ada", 0)
    keys.add(stored(key.name(b"ada"), key.kept(b"ada")))
    unsealing = Unsealing(0, keys, outcome)
    return [one.offset for frame in frames for one in unsealing.take(frame)], outcome


def frame_of(*offsets: int) -> bytes:
    return encode_frame([SealedRecord(offset, b"clock") for offset in offsets], SECRETS.frame)


def test_frames_of_others_are_left_out_and_what_was_in_them_is_missing() -> None:
    sound = frame_of(2, 3)
    torn = sound[:40] + bytes([sound[40] ^ 1]) + sound[41:]
    of_others = encode_frame([SealedRecord(2, b"clock")], os.urandom(32))
    for foreign in (torn, of_others, b"", b"canary", sound[:20], b"\x02" + sound[1:]):
        given, found = unsealed(frame_of(0, 1), foreign, frame_of(4))
        assert [0, 1, 4] == given
        assert (1, 2) == (found.foreign, found.missing)


def test_what_is_written_again_is_given_once() -> None:
    given, found = unsealed(frame_of(0, 1, 2), frame_of(1, 2, 3), frame_of(0), frame_of(4))
    assert [0, 1, 2, 3, 4] == given
    assert Unsealed(records=5) == found


def test_a_content_that_its_key_does_not_open_is_foreign() -> None:
    key = SECRETS.key_of(b"ada", 0)
    wrong = sealed(AESGCM(os.urandom(32)), os.urandom(12), b"told")
    frame = encode_frame([SealedRecord(0, wrong, key.id, Gone(3))], SECRETS.frame)
    given, found = unsealed(frame, frame_of(1))
    assert ([1], 1, 1) == (given, found.foreign, found.missing)
    with pytest.raises(Foreign):
        opened(AESGCM(key.secret), SealedRecord(0, b"short", key.id))


def test_frames_stay_small_enough_for_a_request() -> None:
    entries = [SealedRecord(offset, bytes(FRAME_BYTES_MAX // 3)) for offset in range(10)]
    frames = list(frames_of(entries, SECRETS.frame))
    assert [4, 4, 2] == [len(decode_frame(frame, SECRETS.frame)) for frame in frames]


def test_the_key_of_a_partition_is_known_by_its_name_alone() -> None:
    keys = Keys()
    kept = CustomerKey(SECRETS.frame, 0).kept(PARTITION_KEY)
    for name, value in ((PARTITION_KEY, kept), (b"ada", b"canary"), (None, b"canary")):
        keys.add(stored(name, value))
    assert (SECRETS.frame, {}, 2) == (keys.frame, keys.by_customer(), keys.foreign)


def test_a_deletion_that_comes_late_leaves_the_key_of_whoever_came_later() -> None:
    keys = Keys()
    earlier, later = SECRETS.key_of(b"ada", 1), SECRETS.after_forgetting(5).key_of(b"ada", 9)
    for key in (earlier, later):
        keys.add(stored(key.name(b"ada"), key.kept(b"ada")))
    keys.add(stored(earlier.name(b"ada"), None))
    assert {later.id: later.secret} == keys.secrets()
    assert {b"ada": later.kept(b"ada")} == keys.by_customer()


def test_a_key_that_is_written_again_after_its_customer_was_erased_is_known() -> None:
    keys, graves = Keys(), CustomerGraves()
    earlier, later = SECRETS.key_of(b"ada", 1), SECRETS.after_forgetting(5).key_of(b"ada", 9)
    for key in (earlier, later):
        keys.add(stored(key.name(b"ada"), key.kept(b"ada")))
    assert [] == keys.outlived(graves)
    graves["ada"] = Grave(at_ms=at(hours=2), applied=5, erased=5)
    assert [earlier.name(b"ada")] == keys.outlived(graves)


def test_a_key_that_was_deleted_opens_nothing_when_it_is_written_again() -> None:
    keys, key = Keys(), SECRETS.key_of(b"ada", 1)
    name, kept = key.name(b"ada"), key.kept(b"ada")
    for value in (kept, None, kept):
        keys.add(stored(name, value))
    assert ({}, {}) == (keys.secrets(), keys.by_customer())
    # Also if the grave is not written yet.
    assert [name] == keys.outlived(CustomerGraves())
    keys.add(stored(name, None))
    assert [] == keys.outlived(CustomerGraves())


def test_what_is_left_of_a_record_is_refused_in_the_log_itself() -> None:
    value = encode_gone(Gone(3, at(hours=1)), "ada", b"a row of a stranger's")
    record = FakeRecord(0, 0, "customer-events", 0, 0, None, value, [])
    with pytest.raises(Rejected):
        log_line_of(record, SetAside())
