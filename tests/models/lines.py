"""Events and histories in few words, for the tests of the pure core."""

from collections.abc import Iterable
from typing import Any

import orjson
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters, load_parameters
from models.context import Context
from models.customer.profile import Profile, profile
from models.customer.row import Row
from models.decisions.policy import compile_policy
from models.engine import Effect, Fate, run_deadlines, step
from models.events.wire import Event, decode_event, iso
from models.learning.snapshot import Snapshot, prior_snapshot

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
#: 2026-01-01T00:00:00Z, a Thursday.
START_MS = 1_767_225_600_000

SHIPPED = load_parameters()
#: One horizon, so that one decision point is one label; who needs several asks for them.
PARAMETERS = replace(SHIPPED, churn=replace(SHIPPED.churn, horizon_days=(28.0,)))
PRIOR = prior_snapshot(PARAMETERS)
POLICY = compile_policy(PARAMETERS)
TYPES = frozenset({"identify", "page", "screen", "group", "alias"})


def at(days: float = 0, hours: float = 0, minutes: float = 0, ms: int = 0) -> int:
    """So long after the start of the story."""
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
    """An event in wire format; its message id follows from what it says unless it is given."""
    said: dict[str, Any] = {"type": name} if name in TYPES else {"type": "track", "event": name}
    said |= {"userId": customer, "timestamp": iso(at_ms)}
    if channel is not None:
        said["context"] = {"channel": channel}
    if properties:
        said["properties"] = properties
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


def context(
    clock_ms: int = 0,
    *,
    customer: str = "ada",
    snapshot: Snapshot = PRIOR,
    parameters: Parameters = PARAMETERS,
    label_delay_ms: int = 0,
) -> Context:
    """What a step may read; all is said to be delivered unless a delay is given."""
    policy = POLICY if parameters is PARAMETERS else compile_policy(parameters)
    return Context(customer, clock_ms, snapshot, parameters, policy, label_delay_ms)


def lived(
    events: Iterable[Event],
    *,
    row: Row | None = None,
    clock_ms: int = 0,
    within: Context | None = None,
) -> Row:
    """The row after ``events``, all of which must be applied."""
    return lived_with_effects(events, row=row, clock_ms=clock_ms, within=within)[0]


def lived_with_effects(
    events: Iterable[Event],
    *,
    row: Row | None = None,
    clock_ms: int = 0,
    within: Context | None = None,
) -> tuple[Row, list[Effect]]:
    within = within or context(clock_ms)
    row = row or Row()
    effects: list[Effect] = []
    for event in events:
        row, fate, more = step(row, event, within)
        assert fate is Fate.APPLIED
        effects += more
    return row, effects


def waited(row: Row, until_ms: int, *, within: Context | None = None) -> tuple[Row, list[Effect]]:
    """The row after silence up to ``until_ms``, deadlines at that moment included."""
    within = (within or context())._replace(clock_ms=until_ms)
    return run_deadlines(row, until_ms + 1, within)


def seen(row: Row, at_ms: int) -> Profile:
    return profile("ada", row, at_ms, PRIOR, PARAMETERS)
