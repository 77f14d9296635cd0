"""Remembers which events were taken before, in bounded memory."""

RECENT_MAX = 200_000


class RecentIds:
    """Remembers the last ids: at least half of ``most``, and at most ``most``.

    Only for counting: the engine drops repeats by itself, and remembers ids for longer.
    """

    def __init__(self, most: int = RECENT_MAX) -> None:
        self._half = max(1, most // 2)
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def add(self, source: str, message_id: str) -> bool:
        """Remember an id; return whether it was known."""
        mark = hash((source, message_id))
        is_known = mark in self._newer or mark in self._older
        self._newer.add(mark)
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, set()
        return is_known
