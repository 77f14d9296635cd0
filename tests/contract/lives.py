"""Lives of customers, made only from what the parts declare about events, so that a new part's
events are in them as soon as it is in the registry.

Hypothesis draws a seed and which events to keep, so a failing life is shrunk by leaving out events.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple

from hypothesis import given, note
from hypothesis import strategies as st
from msgspec import inspect as shapes

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from models import engine
from models.admission import decode_event
from models.catalogue import KINDS, MISSPELT, UNKNOWN
from models.customer.churn import CHURN
from models.customer.consent_choices import CHOICE_FIELDS
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row, decode_row, encode_row
from models.decisions.trigger import Decision
from models.engine import Effect
from models.events.event import Event, Kind
from models.events.rejection import Rejected
from models.plan import Plan, plan_for
from tests.contract.parts import ALL_ON, STRANGE, present
from tests.models.lines import START_MS, line

#: All events within this time are in time, in any order of arrival.
SPAN_MS = ALL_ON.time.lateness - HOUR_MS
#: Few ids, so that several events concern one thing, and few numbers, so that some are equal.
IDS = ("A-1", "A-2", "A-3")
WORDS = ("agent", "customer", "billing", "too_expensive", "EUR", "web", "I am Ada")
#: Values for fields that only accept certain words, or only mean something with them.
WORDS_OF = {
    "priority": ("urgent", "High", "p3", "low"),
    "status": ("open", "pending", "solved", "spam", "with the night shift"),
    "author": ("agent", "customer", "Answer Bot", "I am Ada"),
    "category": ("billing", "other"),
    "scale": ("1-5", "0 to 10"),
    "company_size": ("1-9", "50-249", "unknown"),
    "plan": ("pro", "I am Ada", "unknown"),
}
#: Values for fields that accept anything, and are refused if it is not understood.
ANY_OF: Mapping[str, Sequence[Any]] = {
    **dict.fromkeys(("purpose", "purposes"), ("marketing", ["analytics", "marketing"], "service")),
    **dict.fromkeys(("channel", "channels"), ("email", ["sms", "Web Push"], "all")),
    **dict.fromkeys(CHOICE_FIELDS, (True, False, 1, "yes", "Opted In", "denied", "pending", "")),
}
CURRENCIES = (ALL_ON.money.currency, *ALL_ON.money.rates, " usd")
NUMBERS = (0.0, 1.0, 5.0, 9.0, 19.99, 100.0, 499.5, -5.0, 0.01, 1985.0)
CHANNELS = (None, "web", "store", "a channel with quite a long name of its own")
#: A name that is nearly a known one.
MISWRITTEN = "Order Complete"
#: How often an event is drawn until its part's own check accepts it.
_TRIES = 3
_SIZE_MAX = 16

#: Draws a text for a field of this name.
Texts = Callable[[str, Random], str]


def few_texts(ids: Sequence[str] = IDS) -> Texts:
    """Ids for id fields, and words that parts may know for the others."""
    return lambda name, rng: rng.choice(
        ids if name.endswith(("id", "sku")) else WORDS_OF.get(name, WORDS)
    )


def said(shape: shapes.Type, rng: Random, texts: Texts, name: str = "") -> Any:
    """A value of a declared type, as in JSON."""
    match shape:
        case shapes.StructType(fields=fields):
            return {
                field.encode_name: said(field.type, rng, texts, field.name)
                for field in fields
                if field.required or rng.random() < 0.7
            }
        case shapes.UnionType(types=types):
            some = [one for one in types if not isinstance(one, shapes.NoneType)]
            return said(rng.choice(some), rng, texts, name)
        case shapes.StrType() | shapes.AnyType():
            # Any other currency is refused.
            words = CURRENCIES if name == "currency" else ()
            words = words or (ANY_OF.get(name, ()) if isinstance(shape, shapes.AnyType) else ())
            return rng.choice(words) if words else texts(name, rng)
        case shapes.FloatType() | shapes.IntType():
            return _number(shape, rng)
        case shapes.BoolType():
            return rng.random() < 0.5
        case shapes.EnumType(cls=cls):
            return rng.choice([member.value for member in cls])
        case shapes.LiteralType(values=values):
            return rng.choice(values)
        case shapes.VarTupleType(item_type=item) | shapes.ListType(item_type=item):
            return [said(item, rng, texts, name) for _ in range(rng.randint(0, 2))]
        case shapes.DictType(value_type=item):
            return {texts(name, rng): said(item, rng, texts, name)}
    raise AssertionError(f"{name}: no life has a {shape} in it; teach tests/contract/lives.py")


def _number(shape: shapes.FloatType | shapes.IntType, rng: Random) -> float:
    low = max((bound for bound in (shape.ge, shape.gt) if bound is not None), default=-1e12)
    high = min((bound for bound in (shape.le, shape.lt) if bound is not None), default=1e12)
    ends = {shape.ge, shape.le}
    within = [number for number in NUMBERS if low < number < high or number in ends]
    number = rng.choice(within or [(low + high) / 2])
    return round(number) if isinstance(shape, shapes.IntType) else number


@cache
def shape_of(kind: Kind) -> shapes.Type:
    return shapes.type_info(kind.declared.shape)


@cache
def heard_by(part: Part[Any]) -> tuple[Kind, ...]:
    """The kinds of events that a part listens to, by the engine's own table."""
    routes = plan_for(ALL_ON, (part,)).routes
    return tuple(kind for kind in KINDS if routes[kind.number])


@cache
def _heard() -> tuple[Kind, ...]:
    """Every kind to which a part listens, once for each of these parts."""
    return tuple(kind for part in PARTS for kind in heard_by(part))


def kind_for(part: Part[Any], rng: Random) -> Kind:
    """Mostly a kind that the part listens to, or that causes its looks; sometimes one of any other
    part, each with the same chance.
    """
    own = heard_by(part) or (heard_by(CHURN) if part.look is not None else ())
    if own and rng.random() < 0.7:
        return rng.choice(own)
    return rng.choice(heard_by(rng.choice(PARTS)) or _heard())


def event_line(
    kind: Kind, at_ms: int, message: str, properties: dict[str, Any], channel: str | None = None
) -> bytes:
    """An event of this kind as it is published."""
    name = {UNKNOWN: STRANGE, MISSPELT: MISWRITTEN}.get(kind, kind.name)
    return line(name, at_ms, message=message, channel=channel, properties=properties)


def admitted(raw: bytes) -> Event | None:
    """The event, unless its part's own check refuses it: a shape does not express everything."""
    try:
        return decode_event(raw, message_id="none")
    except Rejected:
        return None


def some_event(
    kind: Kind,
    at_ms: int,
    message: str,
    rng: Random,
    texts: Texts | None = None,
    tries: int = _TRIES,
) -> Event | None:
    """An event of this kind; None if everything that was drawn is refused."""
    texts = texts or few_texts()
    for _ in range(tries):
        properties = said(shape_of(kind), rng, texts)
        event = admitted(event_line(kind, at_ms, message, properties, rng.choice(CHANNELS)))
        if event is not None:
            return event
    return None


def life(
    part: Part[Any],
    rng: Random,
    *,
    size: int,
    begin_ms: int = START_MS,
    span_ms: int = SPAN_MS,
    texts: Texts | None = None,
    message: str = "m",
) -> list[Event]:
    """At most ``size`` events in the order of time; ``part`` listens to most of them."""
    some_time = _one_of_two_times if rng.random() < 0.2 else _some_time
    times_ms = sorted(begin_ms + some_time(rng, span_ms) for _ in range(size))
    drawn = (
        some_event(kind_for(part, rng), at_ms, f"{message}-{number}", rng, texts)
        for number, at_ms in enumerate(times_ms)
    )
    return [event for event in drawn if event is not None]


def _some_time(rng: Random, span_ms: int) -> int:
    """Anywhere in the span, or in its first hours, where sessions and moments coincide."""
    if rng.random() < 0.3:
        return rng.randint(0, 12) * 10 * MINUTE_MS
    return rng.randint(0, 24) * (span_ms // 24)


def _one_of_two_times(rng: Random, span_ms: int) -> int:
    return rng.randint(0, 1) * span_ms


class Chance:
    """The source of a test's draws: a seed, and which of a life's events to keep."""

    def __init__(self, seed: int, kept: list[bool]) -> None:
        self.seed = seed
        self.kept = kept
        self.rng = Random(seed)

    def __repr__(self) -> str:
        return f"Chance({self.seed}, {self.kept})"


by_chance = given(
    chance=st.builds(
        Chance, st.integers(0, 2**32), st.lists(st.booleans(), min_size=1, max_size=_SIZE_MAX)
    )
)


def some_life(part: Part[Any], chance: Chance, **how: Any) -> list[Event]:
    """A random life; it is printed when the test fails."""
    whole = life(part, chance.rng, size=_SIZE_MAX, **how)
    events = [event for event, keep in zip(whole, chance.kept, strict=False) if keep]
    for event in events:
        note(f"{event.occurred_at_ms} {event.name} {event.channel} {event.properties}")
    return events


def shuffled(events: Sequence[Event], chance: Chance) -> list[Event]:
    """The same events in another order; it is printed when the test fails."""
    other = list(events)
    chance.rng.shuffle(other)
    note(f"in the order of {[events.index(event) for event in other]}")
    return other


def folded(events: Iterable[Event], clock_ms: int, row: Row | None = None) -> Row:
    """The row after its parts have recorded ``events``, without timers or decisions."""
    row, within = row or Row(), present(clock_ms)
    for event in events:
        engine.record(row, event, within.present, within.plan)
    return row


def stepped(
    events: Iterable[Event], row: Row, plan: Plan | None = None, *, clock_ms: int | None = None
) -> list[Effect]:
    """The engine's effects of ``events``, in place. The clock is at each event's time, or fixed."""
    effects: list[Effect] = []
    plan = plan or present().plan
    for event in events:
        at_ms = event.occurred_at_ms if clock_ms is None else clock_ms
        context = plan.context(present().snapshot, clock_ms=at_ms)
        effects += engine.step(row, event, context, plan)[1]
    return effects


class Past(NamedTuple):
    """A customer of some months: the row, when it was last touched, and the ids with which outside
    events may refer to their decisions.
    """

    stored: bytes
    until_ms: int
    ids: tuple[str, ...]

    @property
    def row(self) -> Row:
        return decode_row(self.stored)


@cache
def past_of(part: Part[Any], number: int = 0) -> Past:
    """A row full of the part's events, the same every time."""
    row, rng = Row(), Random(f"past {number} of {part.name}")
    events = life(part, rng, size=150, span_ms=120 * DAY_MS, message=f"past-{number}")
    decided = [one.id for one in stepped(events, row) if isinstance(one, Decision)]
    return Past(encode_row(row), row.latest_ms, (*IDS, *decided[-1:]))


def some_past(part: Part[Any], chance: Chance) -> Past:
    """No past at all, or one of some months."""
    nobody = Past(encode_row(Row()), START_MS, IDS)
    number = chance.rng.randint(-1, 2)
    return nobody if number < 0 else past_of(part, number)
