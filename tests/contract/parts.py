"""The parts and settings under test, and how their states and facts are compared."""

from functools import reduce
from math import isclose, isnan
from typing import Any

import msgspec
import pytest

from config.duration import DAY_MS, DurationMs
from config.rules import TriggerRule, Triggers
from models.customer.calendar import CalendarParameters
from models.customer.named_events import EVENT
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Scene
from models.events.event import Event
from tests.contract.exceptions import AGED
from tests.models.lines import PARAMETERS, Within, context

every_part = pytest.mark.parametrize("part", PARTS, ids=[part.name for part in PARTS])


#: A name that no part declares.
STRANGE = "Confetti Thrown"
#: So that there are orders in several currencies.
_RATES: dict[str, float | dict[str, float]] = {"USD": 0.92, "JPY": {"2025-01-01": 0.006}}
#: No shipped rule names an event. These are of all kinds: with an amount, with a code, passive, an
#: event type, and one of the shop's own that no part knows.
NAMING = TriggerRule(
    name="named",
    version=1,
    moment=EVENT,
    on=("Order Completed", "Subscription Cancelled", "Invoice Overdue", "page", STRANGE),
    when="event_count_24h >= 1",
    cooldown=DurationMs(DAY_MS),
    because=("event_name", "event_value", "event_code", "event_channel", "event_count_24h"),
)
#: A calendar by which something is due within weeks, to everybody.
_CALENDAR = msgspec.structs.replace(
    PARAMETERS.of(CalendarParameters),
    **dict.fromkeys(("vip", "potential", "ordinary"), DurationMs(6 * DAY_MS)),
    days={"pay-day": ("01-28", "last friday of march + 2"), "new-year": "01-01"},
)
#: Parts that are shipped switched off must keep the contract, too.
ALL_ON = reduce(
    lambda parameters, part: part.switched(parameters, on=True),
    (part for part in PARTS if part.has_switch),
    msgspec.structs.replace(
        PARAMETERS.with_section(_CALENDAR),
        money=msgspec.structs.replace(PARAMETERS.money, rates=_RATES),
        identity=msgspec.structs.replace(PARAMETERS.identity, enabled=True),
        triggers=Triggers((*PARAMETERS.triggers.triggers, NAMING)),
    ),
)


def present(clock_ms: int = 0) -> Within:
    """What a step may read, with every part on."""
    return context(clock_ms, parameters=ALL_ON)


def state_of(row: Row, part: Part[Any]) -> Any:
    """The part's state as plain values, as it is packed."""
    return plain(part, row.read(part))


def _as_it_is(state: Any) -> Any:
    return state


def plain(part: Part[Any], state: Any) -> Any:
    """The state as plain values; bytes for a part with its own way of packing."""
    packed = part.pack(AGED.get(part.name, _as_it_is)(state))
    try:
        return msgspec.msgpack.decode(packed)
    except msgspec.DecodeError:
        return packed


def timers_of(row: Row, part: Part[Any]) -> list[tuple[int, int]]:
    """When each of the part's timers is due, and until when it was handled."""
    dues = [row.due(timer.code) for timer in part.timers]
    return [(due.due_ms, due.handled_ms) for due in dues]


def alike(one: Any, other: Any) -> bool:
    """Equal, except for the last bits of numbers that were added in another order.

    What remains of a hundred thousand minor units after they are subtracted again counts as 0.
    """
    if isinstance(one, int | float) and isinstance(other, int | float):
        both_unknown = isnan(one) and isnan(other)
        return both_unknown or isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    return bool(one == other)


def facts_of(
    part: Part[Any], row: Row, at_ms: int, event: Event | None = None
) -> dict[str, float | str]:
    """Every fact of the part at a moment, as rules see them."""
    scene = Scene(row, "ada", at_ms, present(at_ms).present, event)
    return {name: scene[name] for name in part.facts}


def sections_of(
    part: Part[Any], row: Row, at_ms: int, event: Event | None = None
) -> dict[str, Any]:
    """What the part shows in a profile, as plain values."""
    scene = Scene(row, "ada", at_ms, present(at_ms).present, event)
    return {section.name: msgspec.to_builtins(section.read(scene)) for section in part.sections}
