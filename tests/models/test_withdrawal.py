"""A decision that is refused before it was delivered is withdrawn, once; and an action for the
control group is no success.
"""

from collections.abc import Sequence

import orjson
import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.contacts import Outcome
from models.customer.row import Row
from models.decisions.trigger import (
    ActionWithdrawn,
    NextBestAction,
    decode_decision,
    encode_decision,
)
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.replay import Replay
from tests.models.lines import (
    PARAMETERS,
    at,
    context,
    happened,
    line,
    lived,
    lived_with_effects,
    of,
    seen,
    waited,
    watermark,
)

#: Its cart brings a reminder, or a coupon, by e-mail within a day.
TREATED = replace(PARAMETERS, actions=replace(PARAMETERS.actions, holdout=0.0))
CONTROL = replace(PARAMETERS, actions=replace(PARAMETERS.actions, holdout=0.9999))


def decided(parameters: Parameters = TREATED) -> tuple[Row, NextBestAction]:
    """The decision about an abandoned cart: at one o'clock, due a day later."""
    within = context(parameters=parameters)
    put = happened("Product Added", at(), product_id="P", price=60.0)
    row, effects = waited(lived([put], within=within), at(hours=1), within=within)
    [action] = [found for found in effects if isinstance(found, NextBestAction)]
    return row, action


def withdrawals(effects: Sequence[Effect]) -> list[ActionWithdrawn]:
    return [found for found in effects if isinstance(found, ActionWithdrawn)]


def lived_on(
    row: Row, events: Sequence[Event], parameters: Parameters = TREATED
) -> list[ActionWithdrawn]:
    within = context(at(hours=1), parameters=parameters)
    return withdrawals(lived_with_effects(events, row=row, within=within)[1])


UNSUBSCRIBED = happened("Unsubscribed", at(hours=2))


def test_a_decision_that_is_refused_before_it_was_delivered_is_withdrawn_once() -> None:
    row, action = decided()
    within = context(at(hours=1), parameters=TREATED)
    again = happened("Consent Revoked", at(hours=3))
    after, effects = lived_with_effects([UNSUBSCRIBED, again], row=row, within=within)

    [told] = withdrawals(effects)
    assert (action.id, action.action, "email", "treated") == (
        told.decision_id,
        told.action,
        told.channel,
        told.group,
    )
    assert ("consent", iso(at(hours=2)), "marketing:email") == (told.because, told.since, told.what)
    assert UNSUBSCRIBED.message_id == told.cause.message_id
    assert told == decode_decision(encode_decision(told))
    assert [Outcome.WITHDRAWN] == [contact.outcome for contact in of(after).contacts.latest]
    assert ["withdrawn"] == [one.outcome for one in seen(after, at(hours=4)).decisions]
    # It was on its way already.
    late = happened("Action Delivered", at(hours=2, minutes=1), decision_id=action.id)
    assert [Outcome.DELIVERED] == [c.outcome for c in of(lived([late], row=after)).contacts.latest]


@pytest.mark.parametrize(
    ("event", "because"),
    [
        (replace(happened("page", at(hours=2)), consent=(("marketing", False),)), "consent"),
        (replace(happened("page", at(hours=2)), consent=(("analytics", False),)), None),
        (happened("Consent Revoked", at(hours=2), purpose="marketing"), "consent"),
        (happened("Email Bounced", at(hours=2)), "channel-opt-out"),
        (happened("Consent Revoked", at(hours=2), purpose="personalisation"), "impersonal"),
        # It had happened before the decision, and is only heard of now.
        (happened("Unsubscribed", at(minutes=30)), "consent"),
        (happened("SMS Opted Out", at(hours=2)), None),
        (happened("Consent Revoked", at(hours=2), purpose="analytics"), None),
        (happened("Unsubscribed", at(hours=2), machine=True), None),
        (happened("Unsubscribed", at(hours=2), list_id="another"), None),
        # Nobody carries it out any more.
        (happened("Unsubscribed", at(days=1, hours=1)), None),
        (happened("Unsubscribed", at(days=1, hours=1, ms=-1)), "consent"),
    ],
)
def test_only_what_is_refused_in_time_is_withdrawn(event: Event, because: str | None) -> None:
    row, action = decided()
    personal = "cart-coupon" == action.action

    assert personal
    assert [because] * (because is not None) == [w.because for w in lived_on(row, [event])]


def bought(at_ms: int, order_id: str = "o", name: str = "Order Completed") -> Event:
    return happened(name, at_ms, order_id=order_id, revenue=60.0)


@pytest.mark.parametrize(
    ("events", "since"),
    [
        ([bought(at(hours=2))], at(hours=2)),
        # It was bought before the decision, and that is only heard of now.
        ([bought(at(minutes=50))], at(minutes=50)),
        ([bought(at(days=1, hours=1))], None),
        ([bought(at(hours=2), name="Order Updated")], None),
        ([happened("Order Cancelled", at(hours=2), order_id="o")], None),
        ([happened("Cart Emptied", at(hours=2))], None),
    ],
)
def test_who_buys_before_it_was_delivered_is_not_reminded_any_more(
    events: list[Event], since: int | None
) -> None:
    row, action = decided()
    told = lived_on(row, events)

    found = [(one.decision_id, one.because, one.since) for one in told]
    assert ([] if since is None else [(action.id, "bought", iso(since))]) == found


def test_an_order_whose_page_is_shown_again_withdraws_once() -> None:
    row, _ = decided()

    assert 1 == len(lived_on(row, [bought(at(hours=2)), bought(at(hours=5)), UNSUBSCRIBED]))


def test_an_order_of_before_whose_page_is_shown_again_withdraws_nothing() -> None:
    within = context(parameters=TREATED)
    put = happened("Product Added", at(), product_id="P", price=60.0)
    before = bought(at(days=-1), "old")
    row, _ = waited(lived([before, put], within=within), at(hours=1), within=within)

    assert [] == lived_on(row, [bought(at(hours=2), "old")])


def test_an_action_that_is_not_until_they_buy_stays() -> None:
    rules = tuple(replace(one, until_bought=False) for one in TREATED.actions.actions)
    kept = replace(TREATED, actions=replace(TREATED.actions, actions=rules))
    row, _ = decided(kept)

    assert [] == lived_on(row, [bought(at(hours=2))], kept)


def test_what_was_delivered_or_is_of_the_control_group_is_not_withdrawn() -> None:
    row, action = decided()
    delivered = happened("Action Delivered", at(hours=1, minutes=5), decision_id=action.id)
    control, _ = decided(CONTROL)

    assert [] == lived_on(row, [delivered, UNSUBSCRIBED])
    assert [] == lived_on(control, [UNSUBSCRIBED], CONTROL)


def test_a_call_about_a_ticket_is_not_withdrawn_with_marketing() -> None:
    within = context(parameters=TREATED)
    events = [
        happened("Order Completed", at(), order_id="O", revenue=100.0),
        happened("Ticket Opened", at(hours=1), ticket_id="T", priority="urgent"),
    ]
    row, effects = waited(lived(events, within=within), at(hours=5), within=within)
    revoked = happened("Consent Revoked", at(hours=6))

    assert ["service-recovery"] == [e.action for e in effects if isinstance(e, NextBestAction)]
    assert [] == lived_on(row, [revoked])


@pytest.mark.parametrize(
    ("names", "stands"),
    [
        (["Delivered", "Clicked"], Outcome.CONTAMINATED),
        (["Accepted"], Outcome.CONTAMINATED),
        (["Failed"], Outcome.NONE),
    ],
)
def test_what_was_done_to_the_control_group_is_no_success(
    names: list[str], stands: Outcome
) -> None:
    row, action = decided(CONTROL)
    events = [
        happened(f"Action {name}", at(hours=2 + n), decision_id=action.id)
        for n, name in enumerate(names)
    ]
    after = lived(events, row=row)

    assert "control" == action.group
    assert [stands] == [contact.outcome for contact in of(after).contacts.latest]
    assert [str(stands)] == [one.outcome for one in seen(after, at(hours=9)).decisions]


def replayed(parameters: Parameters, *, of_whom: str = "ada") -> Replay:
    """A cart is abandoned; outcomes come for the decision about it, and for decisions that were not
    made.
    """
    replay = Replay(parameters)
    put = line("Product Added", at(), properties={"product_id": "P", "price": 60.0})
    outputs = [*replay.feed(put, 1), *replay.feed(watermark(at(hours=1)), 2)]
    [action] = [found for found in outputs if isinstance(found, NextBestAction)]
    for number, (name, decision) in enumerate(
        [("Delivered", action.id), ("Clicked", action.id), ("Clicked", "of nobody")], 3
    ):
        said = {"decision_id": decision}
        replay.feed(
            line(f"Action {name}", at(hours=number), customer=of_whom, properties=said), number
        )
    return replay


def test_outcomes_of_the_control_group_and_of_nobody_are_counted_as_that() -> None:
    treated, control = replayed(TREATED).summary(), replayed(CONTROL).summary()
    others = replayed(TREATED, of_whom="bob").summary()

    assert ({}, 1) == (treated.control_treated, treated.unknown_outcomes)
    assert ({"email": 2}, 1) == (control.control_treated, control.unknown_outcomes)
    assert ({}, 3) == (others.control_treated, others.unknown_outcomes)


@pytest.mark.parametrize(
    ("is_rehearsed", "context", "unknown"),
    [(False, None, 1), (True, None, 0), (False, {"historical": True}, 0)],
)
def test_history_may_name_what_other_systems_decided(
    is_rehearsed: bool, context: dict[str, bool] | None, unknown: int
) -> None:
    replay = Replay(PARAMETERS, is_rehearsed=is_rehearsed)
    replay.feed(line("page", at()), 1)
    said = {"decision_id": "of their mailer"}
    told = orjson.loads(line("Action Delivered", at(hours=1), properties=said))
    assert [] == replay.feed(orjson.dumps({**told, "context": context}), 2)

    assert unknown == replay.summary().unknown_outcomes


def test_a_withdrawal_is_among_the_outputs_of_a_replay() -> None:
    replay = replayed(TREATED)
    put = line("Product Added", at(days=9), properties={"product_id": "Q", "price": 90.0})
    replay.feed(put, 20)
    replay.feed(watermark(at(days=9, hours=1)), 21)

    outputs = replay.feed(line("Unsubscribed", at(days=9, hours=2)), 22)

    assert ActionWithdrawn in {type(found) for found in outputs}
    assert 1 == replay.summary().triggers["action-withdrawn"]
