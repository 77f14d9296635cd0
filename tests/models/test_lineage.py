"""A snapshot is the trainer's if it continues from the one before."""

import msgspec
import pytest

from models.learning.lineage import AHEAD_MAX_MS, Lineage
from models.learning.snapshot import Snapshot, SnapshotError

NOW_MS = 1_700_000_000_000


def drawn(version: int, created_at_ms: int = NOW_MS, **learnt: object) -> Snapshot:
    """A snapshot that was read from its topic under an id of its own."""
    trainer = msgspec.json.encode({"lessons": 100 * version, "consumed": 200 * version, **learnt})
    return Snapshot(version, created_at_ms, {}, trainer, f"hash-{version}")


def admitted(*snapshots: Snapshot, is_cut: bool = False) -> Lineage:
    lineage = Lineage()
    for snapshot in snapshots:
        lineage.admit(snapshot, now_ms=NOW_MS, is_cut=is_cut)
    return lineage


@pytest.mark.parametrize(
    "snapshots",
    [
        [drawn(1), drawn(2), drawn(3)],
        # The hash of the one before, and once it is not named: by a release that did not.
        [drawn(1), drawn(2, previous="hash-1"), drawn(3), drawn(4, previous="hash-3")],
        # Written twice, by a trainer that was killed or taken for dead.
        [drawn(1), drawn(1), drawn(2), drawn(3), drawn(2), drawn(3)],
        # The topic of lessons was made anew, and the trainer goes on.
        [drawn(1), drawn(2, previous="hash-1", consumed=0)],
        [drawn(1, NOW_MS + AHEAD_MAX_MS)],
    ],
)
def test_what_goes_on_from_the_one_before_is_admitted(snapshots: list[Snapshot]) -> None:
    admitted(*snapshots)


@pytest.mark.parametrize(
    ("before", "forged", "words"),
    [
        ([], drawn(7), "version 7, and there is none before"),
        ([], drawn(0), "none that a trainer draws"),
        ([], drawn(-1), "none that a trainer draws"),
        ([drawn(1)], drawn(3), "version 3, and version 2 is not there"),
        ([drawn(1), drawn(2)], drawn(10**15), "is not there"),
        ([drawn(1)], drawn(2, previous="hash-x"), "does not go on from version 1"),
        ([drawn(1)], drawn(2, lessons=99), "learnt less than version 1"),
        ([drawn(1)], drawn(2, consumed=199), "learnt less than version 1"),
        ([drawn(1)], drawn(2, NOW_MS - 1), "learnt less than version 1"),
        ([drawn(1)], drawn(2, previous="hash-1", lessons=99), "learnt less than version 1"),
        ([drawn(1)], drawn(2, NOW_MS + AHEAD_MAX_MS + 1), "still to come"),
        ([drawn(1)], drawn(2, lessons="many"), "cannot be read"),
        ([drawn(1)], Snapshot(2, NOW_MS, {}, b'"state"', "hash-2"), "cannot be read"),
    ],
)
def test_what_does_not_go_on_is_refused_and_changes_nothing(
    before: list[Snapshot], forged: Snapshot, words: str
) -> None:
    lineage = admitted(*before)
    with pytest.raises(SnapshotError, match=words):
        lineage.admit(forged, now_ms=NOW_MS)
    lineage.admit(drawn(len(before) + 1), now_ms=NOW_MS)


def test_a_topic_whose_beginning_was_deleted_begins_with_any_version() -> None:
    admitted(drawn(7), drawn(8), is_cut=True)
    with pytest.raises(SnapshotError, match="version 9, and version 8 is not there"):
        admitted(drawn(7), drawn(9), is_cut=True)
