"""Each gate rejects for its own reason, and says since when and until when."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config.parameters import Parameters
from config.rules import load_actions
from models.customer.consent_state import ConsentParameters
from models.decisions.gates import GATE_NAMES
from models.decisions.trigger import NextBestAction, Suppressed
from models.events.event import Event
from models.events.times import iso
from tests.models.lines import PARAMETERS, at, context, happened, lived_with_effects, waited

OFFER = {
    "name": "offer",
    "channel": "email",
    "owner": "crm",
    "due": "1d",
    "for": {"cart-abandoned": 1},
    "when": "cart_value > 0",
    "propensity": 1,
    "value": "cart_value",
    "cost": 0,
    "cooldown": "0d",
}
#: May always be sent, so that there is a decision to read the gates of.
LETTER = {
    **OFFER,
    "name": "letter",
    "channel": "post",
    "propensity": 0.001,
    "service": True,
    "personal": False,
}


def shop(
    folder: Path, offer: Mapping[str, Any], *, base: Parameters = PARAMETERS, **catalogue: Any
) -> Parameters:
    """A shop whose abandoned carts lead to an offer by e-mail, or else a letter."""
    file = folder / "actions.yaml"
    actions = [{**OFFER, **offer}, LETTER]
    file.write_bytes(
        orjson.dumps({"version": 1, "holdout": 0, "caps": [], **catalogue, "actions": actions})
    )
    triggers = tuple(replace(rule, cooldown=0) for rule in base.triggers.triggers)
    return replace(
        base,
        actions=load_actions(file),
        triggers=replace(base.triggers, triggers=triggers),
    )


def cart(hours: float) -> Event:
    """An abandoned cart: the decision about it comes an hour later."""
    return happened("Product Added", at(hours=hours), product_id=f"P-{hours}", price=50.0)


def told(name: str, hours: float, **said: Any) -> Event:
    return happened(name, at(hours=hours), **said)


def decisions(parameters: Parameters, events: Sequence[Event]) -> list[NextBestAction]:
    """The decisions about carts during these events, and in the two hours after the last."""
    within = context(parameters=parameters)
    row, effects = lived_with_effects(events, within=within)
    more = waited(row, events[-1].occurred_at_ms + 2 * 3_600_000, within=within)[1]
    decided = [found for found in (*effects, *more) if isinstance(found, NextBestAction)]
    return [found for found in decided if "cart-abandoned" in found.triggers]


class Row(NamedTuple):
    """The events, and what the last decision says about the offer; None if it is chosen."""

    events: list[Event]
    told: Suppressed | None
    offer: Mapping[str, Any] = {}
    caps: Sequence[Mapping[str, Any]] = ()
    quiet: Sequence[Mapping[str, Any]] = ()


ONE_A_DAY = {"at_most": 1, "per": "1d"}
ROWS = {
    "nothing speaks against it": Row([cart(0)], None),
    "it answers another trigger": Row(
        [cart(0)], Suppressed("offer", "answers"), offer={"for": {"churn-risk": 1}}
    ),
    "its own condition does not hold": Row(
        [cart(0)], Suppressed("offer", "eligibility"), offer={"when": "cart_value > 50"}
    ),
    "marketing was revoked": Row(
        [told("Consent Revoked", 0, purpose="marketing"), cart(0)],
        Suppressed("offer", "consent", since=iso(at()), what="marketing"),
    ),
    "marketing was revoked at the moment of the decision": Row(
        [cart(0), told("Unsubscribed", 1)],
        Suppressed("offer", "consent", since=iso(at(hours=1)), what="marketing:email"),
    ),
    "marketing was revoked after the decision": Row([cart(0), told("Unsubscribed", 1.01)], None),
    "its list was left": Row(
        [told("Unsubscribed", 0, list_id="news"), cart(0)],
        Suppressed("offer", "consent", since=iso(at()), what="marketing:email:news"),
        offer={"list": "news"},
    ),
    "another list was left": Row(
        [told("Unsubscribed", 0, list_id="news"), cart(0)], None, offer={"list": "offers"}
    ),
    "another channel was refused": Row([told("SMS Opted Out", 0), cart(0)], None),
    "it is about what was bought": Row(
        [told("Unsubscribed", 0), cart(0)], None, offer={"service": True}
    ),
    "e-mail comes back, even about what was bought": Row(
        [told("Email Bounced", 0), cart(0)],
        Suppressed("offer", "channel-opt-out", since=iso(at()), what="email:unreachable"),
        offer={"service": True},
    ),
    "e-mail comes back, but it is a call": Row(
        [told("Email Bounced", 0), cart(0)], None, offer={"channel": "phone"}
    ),
    "it plays to another reason": Row(
        [cart(0)], Suppressed("offer", "reason", what="unknown"), offer={"plays": "price"}
    ),
    "it plays to this reason": Row([cart(0)], None, offer={"plays": ["price", "unknown"]}),
    "it plays to any reason": Row([cart(0)], None, offer={"plays": "any"}),
    "who the customer is must not decide": Row(
        [told("Consent Revoked", 0, purpose="personalisation"), cart(0)],
        Suppressed("offer", "impersonal", since=iso(at()), what="personalisation"),
    ),
    "who the customer is does not decide about it": Row(
        [told("Consent Revoked", 0, purpose="personalisation"), cart(0)],
        None,
        offer={"personal": False},
    ),
    "it is worth less, but priorities must not decide": Row(
        [told("Consent Revoked", 0, purpose="personalisation"), cart(0)],
        None,
        offer={"personal": False, "propensity": 0.0005},
    ),
    "a complaint is open": Row(
        [told("Complaint Filed", 0, ticket_id="T"), cart(0)],
        Suppressed("offer", "truce", since=iso(at()), what="complaint"),
    ),
    "a complaint was solved yesterday": Row(
        [
            told("Complaint Filed", 0, ticket_id="T"),
            told("Ticket Solved", 5, ticket_id="T"),
            cart(29),
        ],
        Suppressed(
            "offer", "truce", since=iso(at(hours=5)), until=iso(at(days=2, hours=5)), what="solved"
        ),
    ),
    "a complaint was solved two days ago": Row(
        [
            told("Complaint Filed", 0, ticket_id="T"),
            told("Ticket Solved", 5, ticket_id="T"),
            cart(52),
        ],
        None,
    ),
    "an answer is overdue": Row(
        [told("Ticket Opened", 0, ticket_id="T", priority="urgent"), cart(4)],
        Suppressed("offer", "truce", since=iso(at(hours=4)), what="promise"),
    ),
    "an answer is still in time": Row(
        [told("Ticket Opened", 0, ticket_id="T", priority="low"), cart(4)], None
    ),
    "an answer to a survey was poor": Row(
        [told("Survey Responded", 0, kind="nps", score=3), cart(4)],
        Suppressed("offer", "truce", since=iso(at()), until=iso(at(days=2)), what="answer"),
    ),
    "an answer to a survey was kind": Row(
        [told("Survey Responded", 0, kind="nps", score=9), cart(4)], None
    ),
    "a complaint is open, but it is about what was bought": Row(
        [told("Complaint Filed", 0, ticket_id="T"), cart(0)], None, offer={"service": True}
    ),
    "quiet hours end after it is due": Row(
        [cart(0)],
        Suppressed("offer", "quiet-hours", until=iso(at(hours=9)), what="UTC"),
        offer={"due": "7h"},
        quiet=[{"from": "22:00", "to": "09:00"}],
    ),
    "quiet hours end just in time": Row(
        [cart(0)], None, offer={"due": "8h"}, quiet=[{"from": "22:00", "to": "09:00"}]
    ),
    "another channel has quiet hours": Row(
        [cart(0)],
        None,
        offer={"due": "1h"},
        quiet=[{"from": "22:00", "to": "09:00", "channels": ["post"]}],
    ),
    "it was decided an hour before": Row(
        [cart(0), cart(2)],
        Suppressed("offer", "cooldown", iso(at(hours=1)), iso(at(hours=6))),
        offer={"cooldown": "5h"},
    ),
    "its cooldown has just ended": Row([cart(0), cart(5)], None, offer={"cooldown": "5h"}),
    "the customer was contacted twice within the day": Row(
        [cart(0), cart(2), cart(4)],
        Suppressed(
            "offer", "contact-cap", iso(at(hours=3)), iso(at(days=1, hours=1)), "customer: 2 per 1d"
        ),
        caps=[{"at_most": 2, "per": "1d"}],
    ),
    "the first of them was a day ago": Row(
        [cart(0), cart(2), cart(24)], None, caps=[{"at_most": 2, "per": "1d"}]
    ),
    "nobody is to be contacted at all": Row(
        [cart(0)],
        Suppressed("offer", "contact-cap", what="customer: 0 per 1d"),
        caps=[{"at_most": 0, "per": "1d"}],
    ),
    "enough e-mail for a day": Row(
        [cart(0), cart(2)],
        Suppressed(
            "offer", "contact-cap", iso(at(hours=1)), iso(at(days=1, hours=1)), "email: 1 per 1d"
        ),
        caps=[{**ONE_A_DAY, "channel": "email"}, {"at_most": 1, "per": "1h"}],
    ),
    "enough offers for half a day": Row(
        [cart(0), cart(2)],
        Suppressed(
            "offer", "contact-cap", iso(at(hours=1)), iso(at(hours=13)), "offer: 1 per 0.5d"
        ),
        caps=[{"at_most": 1, "per": "12h", "action": "offer"}],
    ),
    "a service message is not counted": Row(
        [cart(0), cart(2)], None, offer={"service": True}, caps=[ONE_A_DAY]
    ),
    "a discount for somebody who buys for less only": Row(
        [
            *(
                told("Order Completed", n / 100, order_id=f"D-{n}", revenue=6.0, discount=4.0)
                for n in range(5)
            ),
            cart(1),
        ],
        Suppressed("offer", "price-dependence", what="discount"),
        offer={"offer": "discount"},
    ),
    "it is worth nothing": Row([cart(0)], Suppressed("offer", "priority"), offer={"cost": 99}),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_the_first_shut_gate_is_told(tmp_path: Path, row: Row) -> None:
    decided = decisions(
        shop(tmp_path, row.offer, caps=row.caps, quiet_hours=row.quiet), row.events
    )[-1]

    if row.told is None:
        assert "offer" == decided.action
    else:
        assert ("letter", (row.told,)) == (decided.action, decided.suppressed)
    assert GATE_NAMES == decided.gates


def test_every_gate_has_a_row() -> None:
    assert set(GATE_NAMES) == {row.told.by for row in ROWS.values() if row.told is not None}


def test_the_order_of_the_gates() -> None:
    """False conditions come before refusals, and these before caps."""
    assert (
        "answers",
        "eligibility",
        "reason",
        "consent",
        "channel-opt-out",
        "impersonal",
        "truce",
        "price-dependence",
        "quiet-hours",
        "cooldown",
        "contact-cap",
        "priority",
    ) == GATE_NAMES


def test_a_decision_of_quiet_hours_waits_for_their_end(tmp_path: Path) -> None:
    night = [{"from": "22:00", "to": "09:00", "channels": ["email"]}]
    parameters = shop(tmp_path, {}, quiet_hours=night)

    [early, late] = decisions(parameters, [cart(0), cart(9)])

    assert (iso(at(hours=9)), iso(at(days=1, hours=1))) == (early.not_before, early.due_at)
    assert None is late.not_before


def test_in_an_opt_in_country_a_word_is_needed(tmp_path: Path) -> None:
    section = PARAMETERS.of(ConsentParameters)
    default = replace(section.default, marketing="denied")
    opt_in = PARAMETERS.with_section(replace(section, default=default))

    [silent] = decisions(shop(tmp_path, {}, base=opt_in), [cart(0)])
    [spoken] = decisions(shop(tmp_path, {}, base=opt_in), [told("Email Subscribed", 0), cart(0)])

    assert (Suppressed("offer", "consent", what="marketing"),) == silent.suppressed
    assert "offer" == spoken.action


#: What shuts each gate for a second cart, and leaves it open for the first: what the offer says,
#: what the catalogue says, and what happens between the two.
_SHUTS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], Sequence[Event]]] = {
    "eligibility": ({"when": "cart_value < 80"}, {}, []),
    "reason": ({"plays": "unknown"}, {}, [told("Coupon Denied", 1.5)]),
    "consent": ({}, {}, [told("Unsubscribed", 1.5)]),
    "channel-opt-out": ({}, {}, [told("Email Bounced", 1.5)]),
    "impersonal": ({}, {}, [told("Consent Revoked", 1.5, purpose="personalisation")]),
    "truce": ({}, {}, [told("Survey Responded", 1.5, kind="nps", score=0)]),
    "price-dependence": (
        {"offer": "discount"},
        {},
        [
            # Updated, for what is completed empties the cart; the first order, too.
            told("Order Updated", 1.5, order_id=order_id, revenue=5.0, discount=5.0)
            for order_id in ("O", "D-1", "D-2", "D-3", "D-4")
        ],
    ),
    "quiet-hours": ({"due": "5h"}, {"quiet_hours": [{"from": "02:00", "to": "12:00"}]}, []),
    "cooldown": ({"cooldown": "5h"}, {}, []),
    "contact-cap": ({}, {"caps": [ONE_A_DAY]}, []),
    "priority": ({"value": "100 - cart_value"}, {}, []),
}


@given(shut=st.sets(st.sampled_from(sorted(_SHUTS))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_several_shut_gates_the_first_is_told_and_nothing_is_lost(
    tmp_path: Path, shut: set[str]
) -> None:
    offer: dict[str, Any] = {}
    catalogue: dict[str, Any] = {}
    between: list[Event] = [told("Order Completed", -1, order_id="O", revenue=5.0)]
    for name in sorted(shut):
        offer |= _SHUTS[name][0]
        catalogue |= _SHUTS[name][1]
        between += _SHUTS[name][2]
    events = sorted([cart(0), *between, cart(2)], key=lambda event: event.occurred_at_ms)

    first, *_, second = decisions(shop(tmp_path, offer, **catalogue), events)

    assert "offer" == first.action
    by = {gate.action: gate.by for gate in second.suppressed}
    expected = [name for name in GATE_NAMES if name in shut]
    assert expected[:1] == [by[name] for name in by if name == "offer"]
    names = {second.action, *by, *(other.action for other in second.outranked)}
    assert {"offer", "letter"} == names


def test_every_gate_that_can_be_shut_later_is_tried() -> None:
    assert set(GATE_NAMES) == {"answers", *_SHUTS}
