"""Short ways to write events and histories, for the tests of the pure core.

The engine changes rows in place. Here every function leaves its row unchanged and returns another
one, so that one past may have several futures.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import orjson
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from config.parameters import Parameters
from models import engine
from models.admission import decode_event
from models.customer.cart import CART
from models.customer.cart_state import Cart
from models.customer.churn import CHURN
from models.customer.contacts import CONTACTS, Contacts
from models.customer.engagement import ENGAGEMENT, Engagement
from models.customer.evidence import EVIDENCE, Evidence
from models.customer.labels import Labels
from models.customer.profile import profile
from models.customer.purchase_state import Purchases
from models.customer.purchases import PURCHASES
from models.customer.row import Row, decode_row, encode_row
from models.customer.scene import Context, Scene
from models.customer.support import SUPPORT
from models.customer.support_state import Support
from models.engine import Effect, Fate
from models.events.event import Event
from models.events.times import iso
from models.learning.snapshot import Snapshot, prior_snapshot
from models.parameters import load_parameters
from models.plan import Plan, plan_for

__all__ = ["DAY_MS", "HOUR_MS", "MINUTE_MS"]

#: 2026-01-01T00:00:00Z, a Thursday.
START_MS = 1_767_225_600_000

SHIPPED = load_parameters()
#: One horizon, so that one decision point is one label; tests that need several set them.
PARAMETERS = replace(SHIPPED, churn=replace(SHIPPED.churn, horizon_days=(28.0,)))
PRIOR = prior_snapshot(PARAMETERS)
TYPES = frozenset({"identify", "page", "screen", "group", "alias"})


def at(days: float = 0, hours: float = 0, minutes: float = 0, ms: int = 0) -> int:
    """This long after the start of the story."""
    return START_MS + round(days * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS) + ms


def line(
    name: str,
    at_ms: int,
    *,
    customer: str = "ada",
    message: str | None = None,
    channel: str | None = None,
    properties: dict[str, Any] | None = None,
) -> bytes:
    """An event in wire format; unless its message id is given, it is derived from the content."""
    said: dict[str, Any] = {"type": name} if name in TYPES else {"type": "track", "event": name}
    said |= {"userId": customer, "timestamp": iso(at_ms)}
    if channel is not None:
        said["context"] = {"channel": channel}
    if properties:
        said["traits" if name in ("identify", "group") else "properties"] = properties
    words = orjson.dumps(properties or {}, option=orjson.OPT_SORT_KEYS).decode()
    said["messageId"] = message or f"{name} {at_ms} {customer} {words}"[:256]
    return orjson.dumps(said)


def happened(
    name: str, at_ms: int, /, *, message: str | None = None, channel: str | None = None, **said: Any
) -> Event:
    """An event of the customer ada."""
    raw = line(name, at_ms, message=message, channel=channel, properties=said)
    return decode_event(raw, message_id="none")


def watermark(at_ms: int) -> bytes:
    return orjson.dumps({"type": "watermark", "timestamp": iso(at_ms)})


class Within(NamedTuple):
    """What a step may read: the customer, the partition's present, and the parameters."""

    customer: str
    clock_ms: int
    snapshot: Snapshot
    parameters: Parameters
    label_delay_ms: int

    @property
    def plan(self) -> Plan:
        return _plan(_Known(self.parameters))

    @property
    def present(self) -> Context:
        """The partition's present, as the engine takes it."""
        return self.plan.context(
            self.snapshot, clock_ms=self.clock_ms, label_delay_ms=self.label_delay_ms
        )


class _Known:
    """Identifies parameters by object: they contain tables, and so have no hash."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self.parameters is other.parameters

    def __hash__(self) -> int:
        return id(self.parameters)


@cache
def _plan(known: _Known) -> Plan:
    return plan_for(known.parameters)


def context(
    clock_ms: int = 0,
    *,
    customer: str = "ada",
    snapshot: Snapshot = PRIOR,
    parameters: Parameters = PARAMETERS,
    label_delay_ms: int = 0,
) -> Within:
    """What a step may read; everything counts as delivered unless a delay is given."""
    return Within(customer, clock_ms, snapshot, parameters, label_delay_ms)


def copied(row: Row) -> Row:
    """The row, stored and read back."""
    return decode_row(encode_row(row))


def step(row: Row, event: Event, within: Within) -> tuple[Row, Fate, list[Effect]]:
    """The row after one event, with the event's fate and effects."""
    after = copied(row)
    fate, effects = engine.step(after, event, within.present, within.plan)
    return after, fate, effects


def run_due(row: Row, before_ms: int, within: Within) -> tuple[Row, list[Effect]]:
    """The row after all timers that are due before then."""
    after = copied(row)
    return after, engine.run_due(after, within.customer, before_ms, within.present, within.plan)


def lived(
    events: Iterable[Event],
    *,
    row: Row | None = None,
    clock_ms: int = 0,
    within: Within | None = None,
) -> Row:
    """The row after ``events``, all of which must be applied."""
    return lived_with_effects(events, row=row, clock_ms=clock_ms, within=within)[0]


def lived_with_effects(
    events: Iterable[Event],
    *,
    row: Row | None = None,
    clock_ms: int = 0,
    within: Within | None = None,
) -> tuple[Row, list[Effect]]:
    within = within or context(clock_ms)
    row = copied(row) if row is not None else Row()
    effects: list[Effect] = []
    for event in events:
        fate, more = engine.step(row, event, within.present, within.plan)
        assert fate is Fate.APPLIED
        effects += more
    return row, effects


def waited(row: Row, until_ms: int, *, within: Within | None = None) -> tuple[Row, list[Effect]]:
    """The row after silence up to ``until_ms``, including deadlines at that moment."""
    within = (within or context())._replace(clock_ms=until_ms)
    return run_due(row, until_ms + 1, within)


def scene(row: Row, at_ms: int, within: Within | None = None, event: Event | None = None) -> Scene:
    """The customer at a moment, for reading facts."""
    within = within or context()
    return Scene(row, within.customer, at_ms, within.present, event)


def seen(row: Row, at_ms: int, within: Within | None = None) -> Any:
    """The customer's profile."""
    within = within or context()
    return profile(within.customer, row, at_ms, within.present)


class Parts(NamedTuple):
    """The states of a row's parts, by name."""

    purchases: Purchases
    engagement: Engagement
    cart: Cart
    support: Support
    contacts: Contacts
    evidence: Evidence
    labels: Labels


def of(row: Row) -> Parts:
    """The states of a row's parts; read only."""
    return Parts(
        row.read(PURCHASES),
        row.read(ENGAGEMENT),
        row.read(CART),
        row.read(SUPPORT),
        row.read(CONTACTS),
        row.read(EVIDENCE),
        row.read(CHURN),
    )
