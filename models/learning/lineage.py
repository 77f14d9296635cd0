"""Checks whether snapshots can be the trainer's, as far as the snapshots themselves show it.

Each one continues its predecessor: by its version, by its hash, and by what was learnt. A program
that may write to ``model-snapshots`` can still imitate that; only access control on the topic keeps
it out.
"""

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from models.events.foreign import UNREADABLE
from models.learning.snapshot import Snapshot, SnapshotError

#: Versions that are remembered: the previous one is needed, and those of late repeats.
KNOWN_MAX = 512
#: A snapshot has the time of a lesson, which no valid event puts further into the future.
AHEAD_MAX_MS = DAY_MS


class _Learnt(Struct, rename="camel"):
    """What a trainer's state says about its past. ``previous``: the hash of the snapshot it
    continued from; empty in the first snapshot, and in those of releases that did not record it.
    """

    lessons: int = 0
    consumed: int = 0
    previous: str = ""


class _Drawn(Struct):
    created_at_ms: int
    learnt: _Learnt


class Lineage:
    """The chain of snapshots, in the order of their topic."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, _Drawn]] = {}
        self._first = 0

    def admit(self, snapshot: Snapshot, *, now_ms: int, is_cut: bool = False) -> None:
        """Add the next snapshot. Raises ``SnapshotError``, which says why it can't be the
        trainer's.

        ``is_cut``: the topic's first records were deleted, so any version may be the first.
        """
        drawn = _Drawn(snapshot.created_at_ms, _learnt(snapshot))
        if drawn.created_at_ms > now_ms + AHEAD_MAX_MS:
            raise SnapshotError("it is as of a time that is still to come")
        if snapshot.version < 1:
            raise SnapshotError("its version is none that a trainer draws")
        if not self._known:
            if not is_cut and snapshot.version != 1:
                raise SnapshotError(f"it is version {snapshot.version}, and there is none before")
            self._first = snapshot.version
        elif snapshot.version != self._first:
            self._require_parent(snapshot.version, drawn)
        self._known.setdefault(snapshot.version, {})[snapshot.sha256] = drawn
        if len(self._known) > KNOWN_MAX:
            del self._known[min(self._known)]

    def _require_parent(self, version: int, drawn: _Drawn) -> None:
        before = self._known.get(version - 1)
        if before is None:
            raise SnapshotError(f"it is version {version}, and version {version - 1} is not there")
        previous = drawn.learnt.previous
        if previous and previous not in before:
            raise SnapshotError(f"it does not go on from version {version - 1} as it is there")
        parents = [before[previous]] if previous else list(before.values())
        if not any(_goes_on(drawn, parent) for parent in parents):
            raise SnapshotError(f"it has learnt less than version {version - 1}")


def _learnt(snapshot: Snapshot) -> _Learnt:
    try:
        return msgspec.json.decode(snapshot.trainer, type=_Learnt | None) or _Learnt()
    except UNREADABLE as error:
        raise SnapshotError(f"its trainer's state cannot be read: {error}") from None


def _goes_on(later: _Drawn, earlier: _Drawn) -> bool:
    """Whether nothing was unlearnt. The position in the topic of lessons is compared only for
    snapshots that do not name their parent, because it restarts when the topic is created anew.
    """
    return (
        later.created_at_ms >= earlier.created_at_ms
        and later.learnt.lessons >= earlier.learnt.lessons
        and (bool(later.learnt.previous) or later.learnt.consumed >= earlier.learnt.consumed)
    )
