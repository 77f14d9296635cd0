"""Limits how late an event of a file may be: a row from the future must not move all clocks.

Live, the broker says when it took an event. A file has no such time, but no event can be read
before it happened.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from time import time

from config.parameters import Parameters
from models.events.rejection import Rejected
from models.events.wire import decode_line, timestamp_ms

#: How many lines decide whether a log is a simulation.
BEGINNING_LINES = 1_000


def beginning_of(lines: Iterable[bytes]) -> tuple[list[bytes], Iterator[bytes]]:
    """The first lines, and all lines."""
    source = iter(lines)
    beginning = list(islice(source, BEGINNING_LINES))
    return beginning, chain(beginning, source)


def latest_of(beginning: list[bytes], parameters: Parameters) -> int | None:
    """The latest time that an event of this log may have. None if most of its beginning is later
    than that: then the log is a simulation of the future.

    An event up to ``time.lateness`` ahead of now doesn't make present events late. So a longer
    lateness allows later events, and where nothing is ever late, any.
    """
    latest_ms = int(time() * 1_000) + max(parameters.time.future, parameters.time.lateness)
    times = [at_ms for raw in beginning if (at_ms := _time_of(raw)) is not None]
    later = sum(at_ms > latest_ms for at_ms in times)
    return None if later * 2 > len(times) else latest_ms


def _time_of(raw: bytes) -> int | None:
    try:
        return timestamp_ms(decode_line(raw))
    except Rejected:
        return None
