"""Graves in the changelog: erased customers stay erased, whoever wrote there and wherever it is
cut.
"""

from pathlib import Path

import pytest

from models.customer.row import Row, encode_row
from models.graves import Grave
from models.partition_state import PartitionState, encode_state
from streams.changelog import GRAVE_KEY, ChangelogRecord, Origin, row_record, state_record
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves, Fingerprints
from streams.recovery import ChangelogFold, RecoveryError
from streams.row_file import RowFile

SALT = "pepper"


def row(applied: int) -> Row:
    made = Row()
    made.applied = applied
    return made


def written(applied: int, customer: str = "ada") -> ChangelogRecord:
    return row_record(customer, encode_row(row(applied)))


def dug(at: int, customer: str = "ada", salt: str = SALT) -> ChangelogRecord:
    """The grave of a customer whom the record at offset ``at`` erased."""
    graves = CustomerGraves(salt)
    graves[customer] = Grave(at_ms=1_000, applied=at, erased=at)
    (record,) = graves.drain()
    return record


def gone(at: int, customer: str = "ada") -> ChangelogRecord:
    return row_record(customer, None, erased=at)


def state(applied: int) -> ChangelogRecord:
    return state_record(encode_state(PartitionState(applied=applied)), Origin(), 0)


def folded(*records: ChangelogRecord) -> ChangelogFold:
    fold = ChangelogFold(graves=CustomerGraves(SALT))
    for record in records:
        fold.add(*record)
    fold.bury()
    assert 0 == fold.quarantined
    return fold


BEFORE = (written(5), written(5, "zoe"), state(5))
ERASED = (dug(10), gone(10), state(12))
#: What the changelog has, whether ada has a row by it, and whether a stray row of hers is there.
CHANGELOGS: dict[str, tuple[tuple[ChangelogRecord, ...], bool, bool]] = {
    "nothing of it": (BEFORE, True, False),
    "all of it": ((*BEFORE, *ERASED), False, False),
    "no more than the grave": ((*BEFORE, dug(10)), False, True),
    "no state after it": ((*BEFORE, dug(10), gone(10)), False, False),
    "compacted": ((written(5, "zoe"), dug(10), state(12)), False, False),
    "a row of a worker that was replaced": ((*BEFORE, *ERASED, written(8)), False, True),
    "its row and its end": ((*BEFORE, *ERASED, written(8), dug(10), gone(10)), False, False),
    "a new person": ((*BEFORE, *ERASED, written(14), state(15)), True, False),
    "a new person in the same batch": ((*BEFORE, dug(10), written(11), state(12)), True, False),
    "an end by a worker that was replaced": (
        (*BEFORE, *ERASED, written(14), state(15), dug(10), gone(10)),
        True,
        False,
    ),
    "a new person, and a row of a worker that was replaced": (
        (*BEFORE, *ERASED, written(14), state(15), written(8)),
        True,
        False,
    ),
    "what others share, and a row of a worker that was replaced": (
        (*BEFORE, dug(10), written(10), state(12), written(8)),
        True,
        False,
    ),
    "what others share, and an end by a worker that was replaced": (
        (*BEFORE, dug(10), written(10), state(12), gone(10)),
        True,
        False,
    ),
    "erased again": ((*BEFORE, *ERASED, written(14), dug(20), gone(20), state(21)), False, False),
    "another's later grave": ((*BEFORE, dug(10, "bob"), written(8), state(12)), True, False),
}


@pytest.mark.parametrize(("records", "has_row", "is_stray"), CHANGELOGS.values(), ids=CHANGELOGS)
def test_who_was_erased_has_no_row(
    records: tuple[ChangelogRecord, ...], has_row: bool, is_stray: bool
) -> None:
    fold = folded(*records)

    assert has_row is ("ada" in fold.packed)
    assert "zoe" in fold.packed
    assert is_stray is ("ada" in fold.strays)
    # Redis may still show them.
    is_grave = fold.graves.get("ada") is not None
    is_compacted = records[0] == written(5, "zoe")
    assert (is_grave and not has_row and not is_compacted) is ("ada" in fold.gone)


def test_a_stray_row_is_ended_once_more() -> None:
    fold = folded(*BEFORE, *ERASED, written(8))

    rows = CustomerRows(fold.packed, strays=fold.strays)

    assert [gone(10)] == list(rows.drain())
    assert [] == list(rows.drain())


def test_a_row_that_is_removed_is_gone_at_once_and_its_end_is_written() -> None:
    rows = CustomerRows({"ada": encode_row(row(5)), "zoe": encode_row(row(5))})
    with rows.frozen() as frozen:
        assert rows.get("ada") is not None
        rows.remove("ada", 10)
        assert (None, None) == (rows.get("ada"), rows.peek("ada"))
        assert [gone(10)] == list(rows.drain())
        # Whoever began to read before goes on with what there was.
        assert encode_row(row(5)) == frozen["ada"]
    assert ["zoe"] == list(rows.customers())
    assert sum(map(len, rows.all_packed().values())) == rows.packed_bytes


def test_who_comes_after_in_one_batch_has_a_row() -> None:
    rows = CustomerRows({"ada": encode_row(row(5))})
    rows.remove("ada", 10)
    rows.put("ada", row(11))

    assert [written(11)] == list(rows.drain())


def test_a_grave_is_64_bytes_at_most_and_does_not_name_anybody() -> None:
    graves = CustomerGraves(SALT)
    graves["ada@example.com"] = Grave(2**42, 2**42, True, 2**40, 2**40)
    ((key, value, _),) = graves.drain()

    assert value is not None
    assert len(key.removeprefix(GRAVE_KEY)) + len(value) <= 64
    assert b"ada" not in key + value


def test_an_earlier_grave_changes_nothing() -> None:
    fold = folded(dug(20), dug(10))

    assert Grave(at_ms=1_000, applied=20, erased=20) == fold.graves.get("ada")


@pytest.mark.parametrize("salt", ["", "salt"])
def test_another_salt_would_know_nobody_again_and_is_refused(salt: str) -> None:
    fold = ChangelogFold(graves=CustomerGraves(salt))

    with pytest.raises(RecoveryError, match="another KEEPSTREAM_ERASURE_SALT"):
        fold.add(*dug(10))


def test_fingerprints_of_two_salts_have_nothing_in_common() -> None:
    names = {Fingerprints(salt).of("ada") for salt in ("", "a", "b")}

    assert 3 == len(names)


def test_nothing_of_a_row_stays_in_a_scratch_file(tmp_path: Path) -> None:
    rows = RowFile(tmp_path)
    rows["zoe"] = b"z" * 600
    for length in (40, 3_000, 700, 90):
        rows["ada"] = b"canary" * (length // 6)
    del rows["ada"]

    content = Path(f"/proc/self/fd/{rows._file}").read_bytes()
    assert b"canary" not in content
    assert b"z" * 600 == rows["zoe"]
