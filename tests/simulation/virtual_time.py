"""An event loop with virtual time, which jumps ahead whenever there is nothing left to do."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

#: The first moment: any number but zero, which some code takes for "never".
BEGIN_S = 1_000.0


class Stuck(AssertionError):
    """Nothing can happen any more, and the run is not over."""


class _Selector(selectors.BaseSelector):
    """Waits by advancing the clock."""

    def __init__(self) -> None:
        self.now_s = BEGIN_S
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        # The loop's own pipe, with which threads would wake it; there are no threads.
        key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("every task waits for something that nothing will do")
        self.now_s += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs tasks in the order of their virtual times: the same way each time."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual.now_s
