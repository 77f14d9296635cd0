"""Which snapshots the trainer can have drawn, as far as snapshots themselves show it.

Each goes on from the one before: by its version, its hash, and by what was learnt. Whoever may
write to ``model-snapshots`` can still imitate that; access to the topic is what keeps them out.
"""

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from models.events.foreign import UNREADABLE
from models.learning.snapshot import Snapshot, SnapshotError

#: Versions whose descent is remembered: the one before is asked for, and late repeats.
KNOWN_MAX = 512
#: A snapshot is as of a lesson's time, which no sound event puts further ahead of now.
AHEAD_MAX_MS = DAY_MS


class _Learnt(Struct, rename="camel"):
    """What a trainer's state says of its past. ``previous``: the hash of the snapshot that it went
    on from; empty in the first, and in those of releases that did not say it.
    """

    lessons: int = 0
    consumed: int = 0
    previous: str = ""


class _Drawn(Struct):
    created_at_ms: int
    learnt: _Learnt


class Lineage:
    """The snapshots that go on from each other, taken in the order of their topic."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, _Drawn]] = {}
        self._first = 0

    def admit(self, snapshot: Snapshot, *, now_ms: int, is_cut: bool = False) -> None:
        """Take the next snapshot. Raises ``SnapshotError``, which says why it is not the trainer's.

        ``is_cut``: the topic's first records were deleted, so that any version may be the first.
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
    """Whether nothing was unlearnt. The place in the topic of lessons is only asked of snapshots
    that do not name their parent: it begins anew with a topic that was made anew.
    """
    return (
        later.created_at_ms >= earlier.created_at_ms
        and later.learnt.lessons >= earlier.learnt.lessons
        and (bool(later.learnt.previous) or later.learnt.consumed >= earlier.learnt.consumed)
    )
