"""The preferred channel and hour of customers: the example by hand, and what must not count."""

from collections import Counter
from collections.abc import Iterable
from math import isnan
from random import Random
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS, DurationMs, MinuteOfDay
from config.parameters import Parameters
from config.rules import ActionRule, QuietHours, RuleError
from models.admission import decode_event
from models.customer.channels import CHANNELS
from models.customer.engagement import ENGAGEMENT
from models.customer.row import Row, encode_row
from models.customer.touches import (
    TOUCHES_MAX,
    ChannelParameters,
    Touches,
    channel_use,
    leading_channel,
    touch,
)
from models.decisions.policy import compile_policy
from models.decisions.quiet_hours import at_best_hour_ms
from models.decisions.trigger import NextBestAction, Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.events.wire import encode_event
from models.learning.lessons import Tally
from models.learning.tallies import Tallies
from models.parameters import load_parameters
from tests.models.lines import (
    PARAMETERS,
    PRIOR,
    Within,
    at,
    context,
    happened,
    lived,
    lived_with_effects,
    scene,
    waited,
)


def came(day: float, channel: str | None, name: str = "page", hour: float = 10) -> Event:
    at_ms = at(day, hours=hour)
    return happened(name, at_ms, channel=channel, message=f"{name} {at_ms} {channel}")


def bought(day: float, channel: str | None = None, hour: float = 9) -> Event:
    order = f"o-{day}-{hour}"
    return happened(
        "Order Completed", at(day, hours=hour), channel=channel, order_id=order, revenue=40
    )


def in_zone(day: float, hour: float, zone: str, **more: Any) -> Event:
    said = {
        "type": "page",
        "userId": "ada",
        "messageId": f"{day} {hour} {more}",
        "timestamp": iso(at(day, hours=hour)),
        "context": {"channel": "web", "timezone": zone, **more},
    }
    return decode_event(orjson.dumps(said), message_id="none")


def known(row: Row, day: float, within: Within | None = None) -> dict[str, Any]:
    now = scene(row, at(day), within)
    return {name: now[name] for name in CHANNELS.facts}


def shifts(effects: Iterable[Effect]) -> list[str]:
    found = [one for one in effects if isinstance(one, Trigger)]
    return [one.timestamp for one in found if one.kind == "channel-shift"]


def told(effects: Iterable[Effect]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == CHANNELS.name:
            for key, _day, amount in effect.sums:
                sums[key] += amount
    return +sums


def test_four_days_on_the_web_and_two_elsewhere() -> None:
    row = lived([came(d, "web") for d in range(4)] + [came(d, "social") for d in (4, 5)])

    assert 0.659 == round(known(row, 5.5)["channel_share"], 3)
    assert "web" == known(row, 5.5)["channel_preferred"]
    # Time alone changes nothing of it: all days fade alike.
    assert known(row, 5.5) == known(row, 200)


def test_another_channel_is_preferred_once_it_has_been_ahead_for_two_weeks() -> None:
    """Ahead by .02 on day 7, by .14 on day 8: on day 22 it has been so for 14 days."""
    row, effects = lived_with_effects([bought(0), *(came(d, "web") for d in range(4))])
    row, more = lived_with_effects([came(d, "social") for d in range(4, 23)], row=row)
    row, last = waited(row, at(40))

    assert ["2026-01-23T10:00:00.000Z"] == shifts([*effects, *more, *last])
    assert ("social", "web") == (
        known(row, 40)["channel_preferred"],
        known(row, 40)["channel_before"],
    )
    assert {"channel:social": 1, "hour:10": 1} == told([*effects, *more, *last])


def test_two_weeks_on_another_channel_move_nobody() -> None:
    """The customer who does not move: on holiday, by the app for twelve days, and then as
    before.
    """
    days = [came(d, "web", hour=20) for d in range(0, 120, 2)]
    holiday = [came(120 + d, "app", hour=9) for d in range(12)]
    after = [came(132 + d, "web", hour=20) for d in range(0, 30, 2)]
    row, effects = lived_with_effects([bought(0, "web"), *days, *holiday, *after])
    row, more = waited(row, at(200))

    assert [] == shifts([*effects, *more])
    assert "web" == known(row, 200)["channel_preferred"]


def test_somebody_who_comes_all_day_long_can_move_as_well() -> None:
    """With so many hours, fewer than fourteen days are kept."""
    events = [bought(0, "web"), *(came(d, "web") for d in range(9))]
    events += [came(d, "app", hour=h) for d in range(9, 50) for h in range(7, 14)]
    row, effects = lived_with_effects(events)
    row, more = waited(row, at(60))

    kept = [hour for hours in row.read(ENGAGEMENT).touches.values() for hour in hours]
    assert TOUCHES_MAX == len(kept)
    assert 1 == len(shifts([*effects, *more]))
    assert "app" == known(row, 60)["channel_preferred"]


def test_an_evening_of_browsing_is_one_day() -> None:
    browsing = [came(3, "web", hour=18 + n / 60) for n in range(200)]
    row = lived([came(d, "store") for d in range(3)] + browsing)

    assert "store" == known(row, 4)["channel_preferred"]


def test_a_purchase_counts_for_three_days() -> None:
    row = lived([came(0, "web"), came(1, "web"), bought(1, "store")])

    assert "store" == known(row, 2)["channel_preferred"]
    assert 0.6 == round(known(row, 2)["channel_share"], 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Email Opened", {}),
        ("Email Link Clicked", {}),
        ("Action Clicked", {"decision_id": "d"}),
        ("Unsubscribed", {}),
        ("Survey Responded", {"kind": "nps", "score": 9}),
        # Nor what they did not do.
        ("Email Delivered", {}),
        ("Ticket Replied", {"ticket_id": "t", "author": "agent"}),
    ],
)
def test_what_answers_our_own_messages_is_no_preference(name: str, said: dict[str, Any]) -> None:
    """Otherwise the preferred channel would be the one that we write to most."""
    ours = [happened(name, at(d, hours=8), channel="email", **said) for d in range(20)]

    row = lived([*ours, *(came(20 + d, "web") for d in range(3))])

    assert {"web": 1.0} == CHANNELS.sections[0].read(scene(row, at(24))).shares


def test_a_click_says_when_they_read_and_an_opening_does_not() -> None:
    clicks = [happened("Email Link Clicked", at(d, hours=8), channel="email") for d in range(3)]
    opened = [happened("Email Opened", at(d, hours=8), channel="email") for d in range(3)]

    assert 8 == known(lived(clicks), 4)["best_hour"]
    assert isnan(known(lived(opened), 4)["best_hour"])


@pytest.mark.parametrize(
    ("zone", "hour"),
    # 23:30 in UTC; in summer an hour later than in winter, wherever clocks are set.
    [("UTC", 23), ("Europe/Berlin", 0), ("America/New_York", 18), ("Asia/Kolkata", 5)],
)
def test_the_hour_is_of_the_customers_day(zone: str, hour: int) -> None:
    row = lived([in_zone(day, 23.5, zone) for day in (0, 2, 4)])

    assert hour == known(row, 10)["best_hour"]


def test_the_hour_of_who_comes_after_work_stays_when_clocks_are_set() -> None:
    winter = [in_zone(day, 17, "Europe/Berlin") for day in (60, 70, 80)]
    summer = [in_zone(day, 16, "Europe/Berlin") for day in (90, 100, 110)]

    assert 18 == known(lived([*winter, *summer]), 120)["best_hour"]


@pytest.mark.parametrize("more", [{}, {"batched": True}])
def test_what_comes_in_batches_says_nothing_of_the_hour(more: dict[str, Any]) -> None:
    """A store's till sends everything at three in the night, or only has dates."""
    hour = 3 if more else 0
    row = lived([in_zone(day, hour, "UTC", **more) for day in range(5)])

    assert isnan(known(row, 10)["best_hour"])
    assert "web" == known(row, 10)["channel_preferred"]


def test_that_it_was_batched_stays_in_the_log() -> None:
    event = in_zone(0, 3, "UTC", batched=True)
    again = decode_event(encode_event(event), message_id="m")

    assert (True, True) == (event.batched, again.batched)
    assert not in_zone(0, 3, "UTC", batched="no").batched


def test_few_visits_are_drawn_towards_the_hour_that_is_usual() -> None:
    row = lived([came(d, "web", hour=h) for d, h in ((0, 4), (1, 4), (2, 19))])
    usual = Tallies({CHANNELS.name: {"hour:19": 900, "hour:12": 100}})
    within = context(snapshot=PRIOR.replace(usual, version=1))

    assert 4 == known(row, 3)["best_hour"]
    assert 19 == known(row, 3, within)["best_hour"]


def test_a_look_that_finds_nothing_new_leaves_the_row_as_it_is() -> None:
    row, effects = lived_with_effects([bought(0, "web"), *(came(d, "web") for d in range(6))])
    row, later = waited(row, at(20))
    looked = row.packed()[CHANNELS.code]
    row, more = waited(row, at(90))

    assert {"channel:web": 1, "hour:10": 1} == told([*effects, *later])
    assert {} == told(more)
    assert looked == row.packed()[CHANNELS.code]


def test_a_quiet_customer_takes_few_bytes() -> None:
    off = load_parameters(assignments=["channels.enabled=false"])
    events = [bought(0, "web"), came(1, "web"), came(9, "web")]
    sizes = []
    for parameters in (PARAMETERS, off):
        within = context(parameters=parameters)
        row, _ = waited(lived(events, within=within), at(40), within=within)
        sizes.append(len(encode_row(row)))

    assert sizes[0] - sizes[1] <= 2 * 40


def asks(**more: Any) -> Parameters:
    """Shipped rules, and one action that answers an order."""
    action = replace(
        next(one for one in PARAMETERS.actions.actions if one.name == "personal-call"),
        name="thanks",
        contexts={"channel-shift": 1.0},
        when="orders >= 1",
        value="100",
        channel="email",
        due=DurationMs(2 * DAY_MS),
        **more,
    )
    quiet = (QuietHours(begin=MinuteOfDay(22 * 60), end=MinuteOfDay(7 * 60)),)
    return replace(
        PARAMETERS, actions=replace(PARAMETERS.actions, actions=(action,), quiet_hours=quiet)
    )


def decided(parameters: Parameters, channel: str, hour: float) -> NextBestAction:
    """The decision about a customer who moved from the web to another channel."""
    within = context(parameters=parameters)
    events = [bought(0), *(came(d, "web", hour=hour) for d in range(4))]
    events += [came(d, channel, hour=hour) for d in range(4, 22)]
    row, effects = lived_with_effects(events, within=within)
    effects += waited(row, at(30), within=within)[1]
    [found] = [one for one in effects if isinstance(one, NextBestAction)]
    assert found.action == "thanks"
    return found


def test_an_action_goes_out_by_the_channel_that_they_prefer_if_it_says_so() -> None:
    assert "email" == decided(asks(), "phone", 10).channel
    assert "phone" == decided(asks(prefer=("app", "phone")), "phone", 10).channel
    assert "email" == decided(asks(prefer="app"), "phone", 10).channel


def test_an_action_waits_for_their_hour_if_it_says_so() -> None:
    """The move is found on day 22 at the hour of the visit on day 8."""
    now = decided(asks(best_hour=True), "app", 10)
    assert ("2026-01-23T10:00:00.000Z", None) == (now.timestamp, now.not_before)


def test_quiet_hours_hold_for_those_who_come_at_night() -> None:
    """Found at two in the night, the hour at which they come: it waits until seven."""
    assert "2026-01-23T07:00:00.000Z" == decided(asks(best_hour=True), "app", 2).not_before


def test_what_is_refused() -> None:
    with pytest.raises(RuleError, match="each once, and not email itself"):
        compile_policy(asks(prefer=("email",)))
    with pytest.raises(RuleError, match="prefer is empty"):
        compile_policy(asks(prefer=(" ",)))
    with pytest.raises(ValueError, match="hours_min is 32 at most"):
        load_parameters(assignments=["channels.hours_min=33"])


def test_somebody_who_waits_for_the_evening_is_written_to_within_that_hour() -> None:
    row = lived([came(d, "web", hour=19) for d in range(3)])
    now = scene(row, at(10, hours=11), context(parameters=asks()))
    found = at_best_hour_ms(now, "email", now.at_ms, now.at_ms + DAY_MS)

    assert at(10, hours=19) <= found < at(10, hours=20)
    # Nothing waits beyond the time it has.
    assert now.at_ms == at_best_hour_ms(now, "email", now.at_ms, now.at_ms + 2 * HOUR_MS)


def test_rules_of_actions_say_their_channels() -> None:
    rule: ActionRule = asks(prefer=("app", "phone")).actions.actions[0]

    assert ("email", "app", "phone") == rule.channels


def test_who_leads_is_who_leads_in_all_of_the_use() -> None:
    """A look only checks this far, as long as the former leader still leads. Within few days many
    channels are level, and within years some days are too long ago to be looked up.
    """
    rng, section = Random(1), PARAMETERS.of(ChannelParameters)
    for number in range(600):
        days = (2, 90, 900)[number % 3]
        touches: Touches = {}
        channels = rng.sample(["web", "app", "store", None], rng.randint(1, 4))
        for _ in range(rng.randint(1, TOUCHES_MAX)):
            happens = rng.choice((came, bought))
            event = happens(rng.randrange(days), rng.choice(channels), hour=rng.randrange(24))
            touch(touches, event.channel or "", event)

        assert channel_use(touches, section).leader == leading_channel(touches, section)
