"""Events that rules name: the moment at which those rules are evaluated, and the facts about the
event itself, which are known only then.

Of events that rules name, only the times are kept; of other events, nothing.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from math import nan
from typing import Final, NamedTuple

from msgspec import field

from config.duration import DAY_MS
from config.names import folded
from config.parameters import Money, Parameters
from models.customer.engagement import CHANNEL_LENGTH_MAX
from models.customer.part import NAMED_BY_RULES, Fact, Part
from models.customer.row import State
from models.customer.scene import Scene
from models.events.codes import code
from models.events.event import Event
from models.money import foreign, has_rate, shop_minor

EVENT: Final = "event"
#: Times that are kept of one name. A day with more events counts as a day with this many.
TIMES_MAX: Final = 64


class Times(State):
    """The times of the events that rules name, ascending, by the event's key. Kept are those that
    may still be counted: at most the latest `TIMES_MAX`, back to a day before the earliest event
    that would not be late.
    """

    by_key: dict[str, list[int]] = field(default_factory=dict)


def key_of(name: str, *, is_known: bool) -> str:
    """An event's key in rules: its name if that is known, else its name folded, so that spelling
    does not matter.
    """
    return name if is_known else folded(name)


class Happened(NamedTuple):
    """The scene's event, under its key and the name that rules have for it."""

    event: Event
    key: str
    name: str


def named_event(scene: Scene) -> Happened | None:
    """The scene's event, if a rule names it."""
    event = scene.event
    if event is None or not scene.context.named:
        return None
    key = key_of(event.name, is_known=event.kind.is_known)
    name = scene.context.named.get(key)
    return Happened(event, key, name) if name is not None else None


def _record(state: Times, event: Event, scene: Scene) -> None:
    happened = scene.of(named_event)
    # All unknown names are of one kind, so most of those that come here are named by no rule.
    if happened is None:
        return
    insort(state.by_key.setdefault(happened.key, []), event.occurred_at_ms)
    _let_go(state, happened.key, scene.parameters)
    scene.raise_moment(EVENT)


def _let_go(state: Times, key: str, parameters: Parameters) -> None:
    times = state.by_key[key]
    since_ms = times[-1] - DAY_MS - parameters.time.lateness
    del times[: max(bisect_right(times, since_ms), len(times) - TIMES_MAX)]


def _united(states: Sequence[Times], parameters: Parameters) -> Times:
    """A person did whatever any of their ids did."""
    one = Times()
    for key in sorted({key for state in states for key in state.by_key}):
        one.by_key[key] = sorted(at for state in states for at in state.by_key.get(key, ()))
        _let_go(one, key, parameters)
    return one


def _count(scene: Scene) -> float:
    happened = scene.of(named_event)
    if happened is None:
        return nan
    times = scene.row.read(NAMED_EVENTS).by_key.get(happened.key, [])
    count = bisect_right(times, scene.at_ms) - bisect_right(times, scene.at_ms - DAY_MS)
    return float(count) if count else nan


def amount_minor(event: Event, money: Money) -> int | None:
    """The amount of money that an event is about; None if there is none, or no rate for it."""
    value = event.kind.declared.value
    amount = value(event.properties) if value is not None else None
    if amount is None:
        return None
    at_ms = event.occurred_at_ms
    currency = foreign(getattr(event.properties, "currency", None), money)
    return shop_minor(amount, currency, at_ms, money) if has_rate(currency, at_ms, money) else None


def _value(scene: Scene) -> float:
    happened = scene.of(named_event)
    if happened is None:
        return nan
    minor = amount_minor(happened.event, scene.parameters.money)
    return nan if minor is None else scene.money(minor)


def _code(scene: Scene) -> str:
    happened = scene.of(named_event)
    said = happened.event.kind.declared.code if happened is not None else None
    # Free text may be personal: a receipt would carry it further than the event.
    found = code(said(happened.event.properties)) if happened is not None and said else None
    return found or ""


def _text(read: Callable[[Happened], str | None]) -> Callable[[Scene], str]:
    def text(scene: Scene) -> str:
        happened = scene.of(named_event)
        return (read(happened) or "") if happened is not None else ""

    return text


FACTS: dict[str, Fact] = {
    "event_name": Fact(
        _text(lambda happened: happened.name),
        "because of {}",
        "the event that the rule is looked at for, by the name in `on`",
        str,
        moment=EVENT,
    ),
    "event_channel": Fact(
        _text(lambda happened: (happened.event.channel or "")[:CHANNEL_LENGTH_MAX]),
        "on {}",
        "the channel on which it happened",
        str,
        moment=EVENT,
    ),
    "event_value": Fact(
        _value,
        "worth {}",
        "the amount it is about, such as an order's, in the shop's currency",
        moment=EVENT,
        least=0.0,
        is_money=True,
    ),
    "event_code": Fact(
        _code,
        "{}",
        "the code it gives, such as the reason of a cancellation",
        str,
        moment=EVENT,
    ),
    "event_count_24h": Fact(
        _count,
        "{:.0f} times in 24 hours",
        f"how often it happened in the last 24 hours, with this time; counted up to {TIMES_MAX}",
        moment=EVENT,
        least=1.0,
        most=float(TIMES_MAX),
    ),
}

NAMED_EVENTS: Part[Times] = Part(
    name="named_events",
    code="ne",
    about="Events that rules name: the moment they happen, and how often they did in a day.",
    state=Times,
    united=_united,
    listens=NAMED_BY_RULES,
    record=_record,
    moments={EVENT: "an event that its `on` names happens"},
    facts=FACTS,
)
