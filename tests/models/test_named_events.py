"""Rules that are evaluated when an event happens: for which events, and with which facts."""

from collections.abc import Sequence
from itertools import permutations
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Names, Parameters
from config.rules import Cap, RuleError, load_actions, load_triggers
from models.admission import admit
from models.customer.named_events import NAMED_EVENTS, TIMES_MAX
from models.customer.row import Row
from models.decisions.policy import compile_policy
from models.decisions.trigger import Decision, NextBestAction, Trigger, decision_id
from models.engine import Effect, Rehearsed, step
from models.events.event import Event
from models.events.times import iso
from models.plan import plan_for
from tests.models.lines import (
    PARAMETERS,
    PRIOR,
    at,
    context,
    happened,
    line,
    lived_with_effects,
    scene,
)

RULES = """\
triggers:
  - name: reader
    version: 1
    moment: event
    on: Asset Downloaded
    when: orders == 0
    cooldown: 0s
    because: [event_name, event_channel, event_count_24h]
"""
ACTIONS = """\
version: 1
holdout: 0
caps: []
actions:
  - name: related-content
    channel: email
    owner: desk
    due: 2d
    for: {reader: 1.0}
    when: orders == 0
    propensity: 0.3
    value: "100"
    cost: 3
    cooldown: 3d
"""


def ruled(
    directory: Path, *changes: tuple[str, str], parameters: Parameters = PARAMETERS
) -> Parameters:
    """The shipped parameters with these rules instead of their own."""
    files = directory / "triggers.yaml", directory / "actions.yaml"
    rules = RULES
    for wrong, right in changes:
        assert 1 == rules.count(wrong)
        rules = rules.replace(wrong, right)
    for file, text in zip(files, (rules, ACTIONS), strict=True):
        file.write_text(text)
    return replace(parameters, triggers=load_triggers(files[0]), actions=load_actions(files[1]))


def fired(parameters: Parameters, *events: Event) -> list[Trigger]:
    return triggers_of(lived_with_effects(events, within=context(parameters=parameters))[1])


def triggers_of(effects: Sequence[Effect]) -> list[Trigger]:
    return [effect for effect in effects if isinstance(effect, Trigger)]


def test_a_lead_who_downloads_gets_related_content_because_of_it(tmp_path: Path) -> None:
    parameters = ruled(tmp_path)
    download = happened("Asset Downloaded", at(hours=1), channel="web", message="m-1")
    _, effects = lived_with_effects([download], within=context(parameters=parameters))

    trigger, action = [one for one in effects if isinstance(one, Decision)]
    assert isinstance(trigger, Trigger)
    assert isinstance(action, NextBestAction)
    assert ("reader", "m-1", "related-content") == (
        trigger.kind,
        trigger.cause.message_id,
        action.action,
    )
    assert decision_id("reader", 1, "ada", trigger.cause) == trigger.id
    assert [
        ("event_name", "Asset Downloaded", "because of Asset Downloaded"),
        ("event_channel", "web", "on web"),
        ("event_count_24h", 1.0, "1 times in 24 hours"),
    ] == [(reason.code, reason.value, reason.words) for reason in trigger.reasons]


@pytest.mark.parametrize(
    ("on", "event", "name"),
    [
        ("Asset Downloaded", "Asset Downloaded", "Asset Downloaded"),
        ("asset_downloaded", "ASSET-DOWNLOADED", "Asset Downloaded"),
        ("[Event Attended, Asset Downloaded]", "AssetDownloaded", "Asset Downloaded"),
        # Another name of a known event, shipped and the shop's own.
        ("Completed Order", "Order Completed", "Order Completed"),
        ("Order Completed", "completedOrder", "Order Completed"),
        ("Whitepaper Pulled", "Asset Downloaded", "Asset Downloaded"),
        # Not done by the customer, and no event with a name.
        ("Invoice Overdue", "invoice overdue", "Invoice Overdue"),
        ("page", "page", "page"),
        # Nobody but the shop knows these.
        ("Video Watched", "Video Watched", "Video Watched"),
        ("Video Watched", "video_watched ", "Video Watched"),
        ("[Video Watched, Film gesehen]", "filmGesehen", "Film gesehen"),
        # Nearly known, and the shop says that it is another.
        ("Order Complete", "order complete", "Order Complete"),
    ],
)
def test_an_event_is_the_named_one_however_either_is_written(
    tmp_path: Path, on: str, event: str, name: str
) -> None:
    named = Names(own=("Order Complete",), aliases={"Whitepaper Pulled": "Asset Downloaded"})
    parameters = ruled(
        tmp_path,
        ("on: Asset Downloaded", f"on: {on}"),
        ("when: orders == 0", "when: orders >= 0"),
        parameters=replace(PARAMETERS, names=named),
    )
    raw = line(event, at(), properties={"revenue": 1.0})
    [trigger] = fired(parameters, admit(raw, parameters, message_id="m"))

    assert name == trigger.reasons[0].value


@pytest.mark.parametrize("event", ["Asset Uploaded", "Order Completed", "page", "Asset Downloade"])
def test_any_other_event_and_a_misspelt_one_fire_nothing_and_leave_nothing(
    tmp_path: Path, event: str
) -> None:
    parameters = ruled(tmp_path, ("on: Asset Downloaded", "on: [Asset Downloaded, Video Watched]"))
    row, effects = lived_with_effects(
        [happened(event, at(), revenue=1.0)], within=context(parameters=parameters)
    )

    assert [] == triggers_of(effects)
    assert NAMED_EVENTS.empty == NAMED_EVENTS.pack(row.read(NAMED_EVENTS))


def test_events_cost_nothing_if_no_rule_names_one() -> None:
    assert all(NAMED_EVENTS not in route for route in plan_for(PARAMETERS).routes)


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("    on: Asset Downloaded\n", "", "needs the name of an event, or a list of names, such"),
        ("on: Asset Downloaded", "on: []", "the moment event needs the name of an event"),
        ("on: Asset Downloaded", "on: ''", "on has no name of an event"),
        ("on: Asset Downloaded", "on: _-", "on has no name of an event"),
        ("on: Asset Downloaded", "on: true", "expected a text or a list, got true or false"),
        ("moment: event", "moment: score", "`on` is of the moment event alone"),
        (
            "on: Asset Downloaded",
            "on: Asset Downlaoded",
            "names 'Asset Downlaoded', which counts as nothing; did you mean Asset Downloaded?",
        ),
        (
            "on: Asset Downloaded",
            "on: [Asset Downloaded, Order Complete]",
            "did you mean Order Completed? If it is an event of your own, name it in names.own",
        ),
        ("on: Asset Downloaded", "on: User Erase Requested", "nothing is decided for anybody"),
        ("on: Asset Downloaded", "on: Campaign Cost", "which is about no customer"),
        (
            "when: orders == 0",
            "when: event_value > 5",
            "event_value is never known of Asset Downloaded",
        ),
        (
            "when: orders == 0",
            "when: event_code == 'pdf'",
            "event_code is never known of Asset Downloaded",
        ),
        (
            "when: orders == 0",
            "when: event_name == 'Asset Download'",
            "event_name is never 'Asset Download'; did you mean Asset Downloaded?",
        ),
        (
            "when: orders == 0",
            "when: event_count_24h > 64",
            "`event_count_24h > 64` is never true, for event_count_24h is from 1 to 64",
        ),
        (
            "when: orders == 0",
            "when: not event_count_24h >= 1",
            "can never be true",
        ),
    ],
)
def test_a_rule_about_no_event_that_comes_is_refused_with_its_line(
    tmp_path: Path, wrong: str, right: str, words: str
) -> None:
    with pytest.raises(RuleError) as refused:
        compile_policy(ruled(tmp_path, (wrong, right)))

    assert str(refused.value).startswith(f"{tmp_path / 'triggers.yaml'}:2: reader: ")
    assert words in str(refused.value)


def test_facts_of_an_event_are_known_at_its_moment_alone(tmp_path: Path) -> None:
    at_score = ("moment: event\n    on: Asset Downloaded", "moment: score")
    with pytest.raises(RuleError, match="event_count_24h is known at the moment event alone"):
        compile_policy(ruled(tmp_path, at_score, ("orders == 0", "event_count_24h > 1")))


def test_an_event_of_one_s_own_is_told_of_and_may_be_named(tmp_path: Path) -> None:
    policy = compile_policy(
        ruled(tmp_path, ("on: Asset Downloaded", "on: [Asset Downloaded, Video Watched]"))
    )

    [warning] = policy.warnings
    assert warning == (
        f"{tmp_path / 'triggers.yaml'}:2: reader: on names 'Video Watched', which no part knows: "
        f"it is taken as an event of your own"
    )


@pytest.mark.parametrize(
    ("event", "said", "value", "code"),
    [
        ("Order Completed", {"revenue": 80, "total": 99.5}, 80.0, ""),
        ("Order Completed", {"total": 100, "currency": "USD"}, 92.0, ""),
        ("Order Refunded", {"order_id": "O", "total": 12.5}, 12.5, ""),
        ("Order Refunded", {"order_id": "O"}, None, ""),
        ("Product Added", {"product_id": "P", "price": 4.5, "quantity": 3}, 13.5, ""),
        ("Product Added", {"product_id": "P"}, None, ""),
        ("Product Added", {"product_id": "P", "price": 100, "currency": "USD"}, 92.0, ""),
        ("Product Added", {"product_id": "P", "price": 100, "currency": "CHF"}, None, ""),
        (
            "Checkout Started",
            {"products": [{"sku": "a", "price": 2}, {"sku": "b"}, {"sku": "c", "price": 3}]},
            5.0,
            "",
        ),
        ("Order Refunded", {"order_id": "O", "reason": "damaged"}, None, "damaged"),
        ("Order Cancelled", {"order_id": "O", "reason": "out_of_stock"}, None, "out_of_stock"),
        ("Order Cancelled", {"order_id": "O", "reason": ["?"]}, None, ""),
        ("Order Cancelled", {"order_id": "O", "reason": "Ask Ada, 12 Row"}, None, ""),
        ("Subscription Cancelled", {"reason": "too_expensive"}, None, "too_expensive"),
        ("Subscription Cancelled", {"reason": "Ask Ada, 12 Row"}, None, ""),
        ("Ticket Opened", {"ticket_id": "T", "category": "billing"}, None, "billing"),
        ("Ticket Opened", {"ticket_id": "T", "category": "call me on 0123"}, None, ""),
        ("Survey Responded", {"kind": "nps", "score": 3, "reason": "slow"}, None, "slow"),
        ("Email Bounced", {"bounce_type": "hard"}, None, "hard"),
        ("Points Adjusted", {"points": 5, "reason": "goodwill"}, None, "goodwill"),
        ("Asset Downloaded", {"revenue": 5, "code": "pdf"}, None, ""),
    ],
)
def test_an_event_s_value_is_in_the_shop_s_currency_and_its_code_is_no_free_text(
    tmp_path: Path, event: str, said: dict[str, Any], value: float | None, code: str
) -> None:
    parameters = ruled(tmp_path, ("on: Asset Downloaded", f"on: {event}"))
    money = replace(parameters.money, rates={"USD": 0.92})
    within = context(parameters=replace(parameters, money=money))
    told = scene(Row(), at(), within, happened(event, at(), **said))

    assert code == told["event_code"]
    found = told["event_value"]
    assert found == value if value is not None else isnan(float(found))


HOURS = (0, 1, 1, 23.5, 24, 24.5, 47, 47)


def counts(parameters: Parameters, events: Sequence[Event]) -> dict[str, float]:
    """For each event, the count that it would see as the last one."""
    within = context(parameters=parameters)
    row, _ = lived_with_effects(events, within=within)
    return {
        event.message_id: float(scene(row, event.occurred_at_ms, within, event)["event_count_24h"])
        for event in events
    }


def test_a_day_s_count_is_exact_whatever_comes_first(tmp_path: Path) -> None:
    parameters = ruled(tmp_path)
    events = [
        happened("Asset Downloaded", at(hours=hours), message=f"m-{number}")
        for number, hours in enumerate(HOURS)
    ]
    # Of (t - 24 h, t]: what happened exactly a day ago is not in it.
    exact = {
        f"m-{number}": float(len([h for h in HOURS if hours - 24 < h <= hours]))
        for number, hours in enumerate(HOURS)
    }
    assert [1, 3, 3, 4, 4, 5, 5, 5] == list(exact.values())

    for some in list(permutations(events))[::997]:
        assert exact == counts(parameters, some)


def test_names_are_counted_apart_and_a_repeat_not_at_all(tmp_path: Path) -> None:
    parameters = ruled(tmp_path, ("on: Asset Downloaded", "on: [Asset Downloaded, Video Watched]"))
    told = counts(
        parameters,
        [
            happened("Asset Downloaded", at(), message="a"),
            happened("Video Watched", at(hours=1), message="b"),
            happened("video watched", at(hours=2), message="c"),
            happened("Event Attended", at(hours=2), message="d"),
        ],
    )

    assert (1.0, 1.0, 2.0) == (told["a"], told["b"], told["c"])
    assert isnan(told["d"])


def test_more_than_are_counted_count_as_so_many(tmp_path: Path) -> None:
    parameters = ruled(tmp_path)
    events = [happened("Asset Downloaded", at(minutes=minute)) for minute in range(TIMES_MAX + 20)]

    assert float(TIMES_MAX) == counts(parameters, events)[events[-1].message_id]


def test_nothing_is_kept_for_longer_than_it_may_be_counted(tmp_path: Path) -> None:
    within = context(parameters=ruled(tmp_path))
    days = PARAMETERS.time.lateness / DAY_MS + 1
    row, _ = lived_with_effects(
        [happened("Asset Downloaded", at(days=day)) for day in (0, 0.5, days + 0.25)],
        within=within,
    )

    assert {"Asset Downloaded": [at(days=0.5), at(days=days + 0.25)]} == (
        row.read(NAMED_EVENTS).by_key
    )


def test_only_the_rules_that_name_the_event_are_looked_at(tmp_path: Path) -> None:
    second = RULES.partition("\n")[2].replace("reader", "viewer").replace("Asset Downloaded", "[b]")
    file = tmp_path / "triggers.yaml"
    parameters = ruled(tmp_path)
    file.write_text(RULES + second)
    parameters = replace(parameters, triggers=load_triggers(file))

    told = fired(parameters, happened("b", at()), happened("Asset Downloaded", at(hours=1)))

    assert ["viewer", "reader"] == [trigger.kind for trigger in told]


def test_a_cooldown_and_a_condition_hold_for_events_too(tmp_path: Path) -> None:
    parameters = ruled(
        tmp_path,
        ("cooldown: 0s", "cooldown: 2d"),
        ("when: orders == 0", "when: orders == 0 and event_count_24h >= 2"),
    )
    hours = (0, 1, 2, 48, 49.5, 100)
    told = fired(parameters, *(happened("Asset Downloaded", at(hours=hour)) for hour in hours))

    # The second of the first day, and the second within a day after two days of silence.
    assert [
        "2026-01-01T01:00:00.000Z",
        "2026-01-03T01:30:00.000Z",
    ] == [trigger.timestamp for trigger in told]


def test_history_is_rehearsed(tmp_path: Path) -> None:
    parameters = ruled(tmp_path)
    plan = plan_for(parameters)
    present = plan.context(PRIOR, clock_ms=at(days=1))
    old = replace(happened("Asset Downloaded", at()), historical=True)
    row = Row()

    _, effects = step(row, old, present, plan)

    assert [] == triggers_of(effects)
    assert [Rehearsed("reader")] == [one for one in effects if isinstance(one, Rehearsed)]


def test_a_climb_that_a_cooldown_holds_back_is_looked_at_with_the_next_event(
    tmp_path: Path,
) -> None:
    parameters = ruled(
        tmp_path,
        ("cooldown: 0s", "rises: {fact: event_count_24h, to: 2, rearm: 1}\n    cooldown: 10d"),
    )
    days = (0, 0.1, 3, 6, 6.1, 20, 23, 23.1)
    told = fired(parameters, *(happened("Asset Downloaded", at(days=day)) for day in days))

    assert ["2026-01-01T02:24:00.000Z", "2026-01-24T02:24:00.000Z"] == [
        trigger.timestamp for trigger in told
    ]


def late(parameters: Parameters, *hours: float) -> list[Decision]:
    """The decisions about downloads that arrive in this order."""
    downloads = [happened("Asset Downloaded", at(hours=hour)) for hour in hours]
    effects = lived_with_effects(downloads, within=context(parameters=parameters))[1]
    return [effect for effect in effects if isinstance(effect, Decision)]


def test_without_a_cooldown_an_event_fires_however_late_it_is_heard_of(tmp_path: Path) -> None:
    parameters = ruled(tmp_path)

    assert 2 == len(triggers_of(late(parameters, 5, 4)))


def test_a_cooldown_is_counted_from_the_latest_though_an_earlier_is_heard_of_later(
    tmp_path: Path,
) -> None:
    """The trigger of hour 4 does not allow another one 24 hours after it."""
    day = ruled(tmp_path, ("cooldown: 0s", "cooldown: 24h"))
    assert 1 == len(triggers_of(late(day, 5, 4, 28.5)))
    assert 2 == len(triggers_of(late(day, 5, 4, 29)))

    def cooled(*hours: float) -> tuple[str | None, str | None]:
        decided = late(ruled(tmp_path), *hours)[-1]
        assert isinstance(decided, NextBestAction)
        [gate] = decided.suppressed
        return gate.since, gate.until

    assert (iso(at(hours=5)), iso(at(days=3, hours=5))) == cooled(5, 4, 6)


def test_a_cap_opens_when_its_oldest_contact_ends_though_that_was_heard_of_last(
    tmp_path: Path,
) -> None:
    parameters = ruled(tmp_path)
    [action] = parameters.actions.actions
    actions = replace(
        parameters.actions, actions=(replace(action, cooldown=0),), caps=(Cap(2, DAY_MS),)
    )
    decided = late(replace(parameters, actions=actions), 5, 4, 6)[-1]

    assert isinstance(decided, NextBestAction)
    [gate] = decided.suppressed
    assert (iso(at(hours=5)), iso(at(days=1, hours=4))) == (gate.since, gate.until)
