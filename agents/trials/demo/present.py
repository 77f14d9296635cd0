"""The shop in the present: what customers do now, at the real time."""

from collections.abc import Callable, Iterator
from itertools import chain, count

import orjson
from msgspec.structs import replace

from agents.trials.demo.agenda import ShopRecord, iso_timestamp
from agents.trials.demo.shop import ShopConfig, simulate


def going_on(config: ShopConfig, now_ms: Callable[[], int]) -> Iterator[ShopRecord]:
    """Yield endlessly what the customers of ``config`` do next, dated at the time it is taken.

    What takes days in the shop happens within minutes here, so the purchase rhythm of a customer is
    not lifelike; everything else is. No record is late, because none is from another day.
    """
    seasons = (simulate(replace(config, seed=config.seed + n)) for n in count(1))
    for record in chain.from_iterable(seasons):
        at_ms = now_ms()
        yield record._replace(value=_at(record.value, at_ms), occurred_at_ms=at_ms)


def _at(value: bytes, at_ms: int) -> bytes:
    """The event with another time; an event without a valid time stays unchanged."""
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    if not str(event.get("timestamp", "")).endswith("Z"):
        return value
    return orjson.dumps({**event, "timestamp": iso_timestamp(at_ms)})
