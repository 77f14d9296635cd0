"""Deadlines that become overdue in hindsight, because an id joins or leaves, fire nothing."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from config.duration import DAY_MS, DurationMs
from config.parameters import Parameters
from config.rules import TriggerRule
from models.decisions.trigger import Trigger
from models.replay import Replay
from tests.models.lines import PARAMETERS

#: Whatever is late by less than a year is heard of.
LENIENT = replace(PARAMETERS, time=replace(PARAMETERS.time, lateness=400 * DAY_MS))
Said = dict[str, Any]
VISITOR, ADA = {"anonymousId": "a1"}, {"userId": "ada"}
BOTH = {**VISITOR, **ADA}
#: Triggers of deadlines that depend on whose an id is.
KINDS = ("purchase-overdue", "cart-abandoned")


def said(name: str, time: str, who: dict[str, str], **properties: Any) -> Said:
    """An event at ``time``, such as "03-30 10:05" of 2026 or with its year."""
    kind = {"type": name} if name in ("page", "identify") else {"type": "track", "event": name}
    stamp = moment(time)
    message = f"{name} {stamp} {sorted(who.items())}"
    return {**kind, **who, "messageId": message, "timestamp": stamp, "properties": properties}


def moment(time: str) -> str:
    day, hour = time.split(" ")
    year = day if day.count("-") == 2 else f"2026-{day}"
    return f"{year}T{hour}:00.000Z"


def ordered(day: str, who: dict[str, str]) -> Said:
    return said("Order Completed", f"{day} 10:00", who, order_id=day, revenue=80, currency="EUR")


def put_in_cart(time: str, who: dict[str, str], product: str) -> Said:
    return said("Product Added", time, who, product_id=product, price=80, quantity=1)


def watermark(time: str) -> Said:
    return {"type": "watermark", "timestamp": moment(time)}


def historical(events: Sequence[Said]) -> list[Said]:
    return [
        {**event, "context": {"historical": True}} if "messageId" in event else event
        for event in events
    ]


def split(time: str) -> Said:
    return said("Customer Split", time, ADA, id="a1")


#: Every ten days one of them buys, so that each by themselves buys every twenty.
IN_TURNS = [
    ordered(day, who)
    for day, who in (
        ("01-09", ADA),
        ("01-19", VISITOR),
        ("01-29", ADA),
        ("02-08", VISITOR),
        ("02-18", ADA),
        ("02-28", VISITOR),
    )
]
#: As one person, they are overdue on 03-26 at 21:42.
OVERDUE = ("2026-03-26T21:42:41.779Z", "ada", "purchase-overdue")
#: ada buys every ten days, and stops; her other id goes on.
TAKEN_OVER = [
    said("page", "2025-12-20 09:00", VISITOR),
    said("identify", "2025-12-20 09:05", BOTH),
    *(ordered(day, ADA) for day in ("2025-12-30", "01-09", "01-19", "01-29")),
    *(ordered(day, VISITOR) for day in ("02-03", "02-08", "02-13", "02-18", "02-23", "02-28")),
    *(ordered(day, VISITOR) for day in ("03-05", "03-10", "03-15", "03-20", "03-25")),
]
LOGGED_IN = [said("page", "03-30 09:00", VISITOR), said("identify", "03-30 09:05", BOTH)]


def carts(first: dict[str, str], second: dict[str, str]) -> list[Said]:
    """Both put something into the cart; the second of them pays for it."""
    return [
        *LOGGED_IN,
        put_in_cart("03-30 10:00", first, "p1"),
        put_in_cart("03-30 10:50", second, "p2"),
        said("Order Completed", "03-30 11:00", second, order_id="o1", revenue=80, currency="EUR"),
        watermark("04-02 10:00"),
        split("04-02 10:05"),
        watermark("04-02 20:00"),
    ]


def replayed(
    log: Sequence[Said], parameters: Parameters = PARAMETERS, kinds: Sequence[str] = KINDS
) -> tuple[Replay, list[tuple[str, str, str]]]:
    """The triggers of these kinds, each as (moment, customer, kind)."""
    replay, decided = Replay(parameters), list[tuple[str, str, str]]()
    for number, line in enumerate(log, 1):
        for one in replay.feed(orjson.dumps(line), number):
            if isinstance(one, Trigger) and str(one.kind) in kinds:
                decided.append((one.timestamp, one.user_id, str(one.kind)))
    assert replay.summary().events["deadLettered"] == 0
    return replay, decided


def linked(time: str, until: str = "03-30 20:00") -> list[Said]:
    """They are linked at this time, with the clock five minutes behind."""
    at, before = f"{time} 10:05", f"{time} 10:00"
    return [*IN_TURNS, watermark(before), said("identify", at, BOTH), watermark(until)]


ON_TIME = {
    "overdue since before the login": (linked("03-30"), PARAMETERS),
    "overdue by now, as history tells it later": (
        [
            said("page", "03-29 09:00", {"userId": "zed"}),
            watermark("03-29 09:30"),
            *historical([*IN_TURNS, said("identify", "03-26 10:05", BOTH)]),
            watermark("03-30 20:00"),
        ],
        LENIENT,
    ),
    "overdue since before going live": (
        [
            *IN_TURNS,
            {"type": "live", "timestamp": moment("03-29 00:00")},
            said("identify", "03-30 10:00", BOTH),
            watermark("03-30 20:00"),
        ],
        LENIENT,
    ),
    "overdue without the id that leaves": (
        [*TAKEN_OVER, watermark("03-30 10:00"), split("03-30 10:05"), watermark("03-30 20:00")],
        PARAMETERS,
    ),
    "a cart that the id had paid for which leaves": (carts(ADA, VISITOR), PARAMETERS),
    "a cart of the id that leaves": (carts(VISITOR, ADA), PARAMETERS),
}


@pytest.mark.parametrize(("log", "parameters"), ON_TIME.values(), ids=ON_TIME)
def test_what_was_due_before_an_id_came_or_went_is_told_by_nobody(
    log: list[Said], parameters: Parameters
) -> None:
    replay, decided = replayed(log, parameters)

    assert [] == decided
    # Nor is a cooldown or a cap used up by it.
    profiles = {profile.user_id: profile for profile in replay.profiles()}
    assert profiles["ada"].decisions == ()


def test_what_falls_due_after_an_id_came_is_told_on_time() -> None:
    _, decided = replayed(linked("03-20"))

    assert [OVERDUE] == decided


def test_what_fell_due_between_a_login_and_the_news_of_it_is_told() -> None:
    late = [*IN_TURNS, watermark("03-29 09:30"), said("identify", "03-26 10:05", BOTH)]

    assert [OVERDUE] == replayed([*late, watermark("03-30 20:00")], LENIENT)[1]


def _told_at(moment: str) -> TriggerRule:
    return TriggerRule(
        moment, version=1, moment=moment, when="ids > 0", cooldown=DurationMs(0), because=()
    )


CHANGES = ("identity-linked", "identity-split")
TELLING = replace(
    PARAMETERS,
    triggers=replace(PARAMETERS.triggers, triggers=tuple(map(_told_at, CHANGES))),
    actions=replace(PARAMETERS.actions, actions=()),
)
_COME_AND_GONE = (
    said("page", "03-30 09:00", VISITOR),
    said("identify", "03-30 09:05", BOTH),
    split("03-30 09:10"),
)


@pytest.mark.parametrize("live", [0, 1, 2, 3])
def test_what_history_says_of_whose_an_id_is_is_not_told_aloud(live: int) -> None:
    """Of the events from a point on, the next is what happens live."""
    begun, linked_, left = _COME_AND_GONE
    events = [*historical([begun, linked_, left][: 3 - live]), *_COME_AND_GONE[3 - live :]]

    _, decided = replayed([*events, watermark("03-30 20:00")], TELLING, CHANGES)

    aloud = {"identity-linked": live >= 2, "identity-split": live >= 1}
    assert [change for change in CHANGES if aloud[change]] == [kind for *_, kind in decided]


def test_an_id_that_returns_tells_nothing_of_the_past() -> None:
    moments = ("consent-changed", *CHANGES)
    triggers = replace(PARAMETERS.triggers, triggers=tuple(map(_told_at, moments)))
    log = [
        said("page", "03-20 09:00", VISITOR),
        said("identify", "03-20 09:05", BOTH),
        said("identify", "03-20 09:10", {**VISITOR, "userId": "bob"}),
        said("Unsubscribed", "03-20 09:20", VISITOR, channel="email"),
        said("page", "03-20 09:30", VISITOR),
        watermark("03-30 10:00"),
        split("03-30 10:05"),
        watermark("03-30 20:00"),
    ]

    _, decided = replayed(log, replace(TELLING, triggers=triggers), moments)

    # What it refused while a second user had it is new to the customer that it is again.
    assert ["03-20T09:20", "03-30T10:05"] == [at[5:16] for at, who, _ in decided if who == "a1"]
