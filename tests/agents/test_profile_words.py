"""A profile in words: the score and its scorer, and the decisions and their outcomes."""

import io
import re
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from agents.words.profile import profile_in_words
from models.customer.anomaly import Anomaly
from models.customer.calendar import CalendarView
from models.customer.cart import CartView
from models.customer.channels import ChannelsView
from models.customer.churn_reason import ChurnReason, ReasonKind
from models.customer.consent_words import ConsentView, WordView
from models.customer.contacts import (
    MOMENTS_MAX,
    DecidedView,
    DecisionView,
    Outcome,
    RejectedView,
    SuppressionView,
)
from models.customer.engagement import EngagementView
from models.customer.holdout import CONTROL, TREATED, HoldoutView
from models.customer.identities import IdentityView, IdView
from models.customer.key_customers import KeyView
from models.customer.life_stages import CustomerClass, LifeStage
from models.customer.lifecycle import LifecycleView
from models.customer.loyalty import LoyaltyView
from models.customer.part import ProfileSection
from models.customer.prices import PricesView
from models.customer.profile import SECTIONS, Profile
from models.customer.purchase_words import RfmView, RhythmView, Window
from models.customer.relationship import Relationship, RelationshipView
from models.customer.rfm import Segment
from models.customer.risk import RiskView
from models.customer.risk_state import RiskBand
from models.customer.satisfaction_measures import Result
from models.customer.satisfaction_words import OpinionView, SatisfactionView
from models.customer.score_words import ChurnView
from models.customer.segments import MembershipView
from models.customer.support import AnswerView, SupportView
from models.customer.tier_state import Tier
from models.customer.tiers import TierView
from models.customer.timeline import EventView
from models.customer.traits import TraitView
from models.learning.churn import Source
from models.learning.explanation import Direction, Explanation, Group, GroupContribution
from models.learning.value import HorizonView, ValueView, Worth
from models.money import digits
from models.replay import Replay
from tests.models.lines import PARAMETERS, at, line


@pytest.fixture(scope="module")
def view() -> Any:
    """A customer who bought now and then, and left a cart alone."""
    replay = Replay(PARAMETERS)
    cart = {"product_id": "p", "price": 30, "quantity": 2}
    lines = [
        line("Order Completed", at(0), properties={"revenue": 40}),
        line("Order Completed", at(20), properties={"revenue": 60}),
        line("Product Added", at(40), properties=cart),
        b'{"type":"watermark","timestamp":"2026-02-12T00:00:00Z"}',
    ]
    for number, raw in enumerate(lines, 1):
        replay.feed(raw, number)
    [found] = replay.profiles()
    return found


def rows(view: Any, currency: str = "EUR") -> list[tuple[str, str]]:
    """(name, words) of every line."""
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(profile_in_words(view, currency))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    found = [text_line.split("  ", 1) for text_line in text.splitlines()[1:]]
    return [(name.strip(), words.strip()) for name, words in found]


def said(view: Any, name: str, currency: str = "EUR") -> list[str]:
    return [words for found, words in rows(view, currency) if found == name]


def test_what_was_decided_is_told_with_what_came_of_it(view: Any) -> None:
    [decision] = view.decisions
    [words] = said(view, "action")
    assert words.startswith(f"{decision.action} by {decision.channel}, ")
    assert "before" in words
    [churn] = said(view, "churn")
    assert "30% likely to buy nothing within 28 days: assumed, as nothing was learnt yet" in churn


@pytest.mark.parametrize(
    ("group", "outcome", "words"),
    [
        (TREATED, Outcome.NONE, "nothing heard of it yet"),
        (TREATED, Outcome.CLICKED, "clicked"),
        (TREATED, Outcome.FAILED, "could not be delivered"),
        (CONTROL, Outcome.NONE, "not taken, for the customer is in the control group"),
    ],
)
def test_every_outcome_and_both_groups_have_words(
    view: Any, group: str, outcome: Outcome, words: str
) -> None:
    made = DecisionView("call", "phone", view.as_of, group, str(outcome))

    assert [f"call by phone, just before: {words}"] == said(
        replace(view, decisions=(made,)), "action"
    )


def test_the_latest_decisions_come_first_and_not_all_of_them(view: Any) -> None:
    made = tuple(
        DecisionView(f"a{n}", "email", f"2026-01-{n:02d}T00:00:00.000Z", TREATED, "none")
        for n in range(1, 9)
    )

    shown = [words.split(" ")[0] for words in said(replace(view, decisions=made), "action")]
    assert ["a8", "a7", "a6", "a5", "a4"] == shown


@pytest.mark.parametrize("source", list(Source))
def test_a_score_says_whose_word_it_is(view: Any, source: Source) -> None:
    scores = (
        ChurnView(0.734, 28.0, source, 12, "blend", {"blend": 0.734}),
        ChurnView(0.2, 90.0, source, 0, None, {}),
    )
    first, second = said(replace(view, churn=scores), "churn")

    assert first.startswith("73% likely to buy nothing within 28 days: ")
    named = "champion blend" if source is Source.CHAMPION else source
    assert first.endswith(f"({named}, version 12)")
    assert second.startswith("20% likely to buy nothing within 90 days: ")


def test_a_score_is_told_as_a_sum_and_with_the_reason_to_leave(view: Any) -> None:
    groups = (
        GroupContribution(Group.RHYTHM, 1.25, Direction.RAISES, "late: usually every 9 days"),
        GroupContribution(Group.SERVICE, -0.5, Direction.LOWERS, "no open tickets"),
    )
    reason = ChurnReason(
        ReasonKind.PRICE, ("coupon denied, 2 days ago",), {"price": 0.75, "product": 0.25}
    )
    told = replace(view, explanations=(Explanation(-1.0, groups, -0.25),), churn_reason=reason)

    assert ["+1.25 rhythm: late: usually every 9 days"] == said(told, "raises")
    assert ["-0.50 service: no open tickets"] == said(told, "lowers")
    assert ["-0.25, of which everybody has -1.00"] == said(told, "log odds")
    assert ["price (price 75%, product 25% of what was heard)"] == said(told, "reason to leave")
    assert ["coupon denied, 2 days ago"] == said(told, "evidence")


def test_whoever_has_not_bought_has_no_score(view: Any) -> None:
    visitor = replace(view, churn=(), explanations=(), churn_reason=None)

    for name in ("churn", "log odds", "reason to leave"):
        assert [] == said(visitor, name)
        assert 1 == len(said(view, name))


def test_a_profile_read_back_from_the_store_reads_the_same(view: Any) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(view), type=Profile)

    assert rows(view) == rows(stored)


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        (0.1, "0.10 of 1: keeps to their own rhythm"),
        (0.7, "0.70 of 1: buys less than by their own rhythm"),
        (0.9, "0.90 of 1: is thinning out, by their own rhythm"),
    ],
)
def test_silent_churn_has_words(view: Any, silent: float, words: str) -> None:
    assert [] == said(view, "silent churn")
    assert [words] == said(replace(view, silent_churn=silent), "silent churn")


@pytest.mark.parametrize(
    ("deviations", "ratio", "words"),
    [
        (-1.2, 0.5, "last 14 days as usual for this customer (-1.2 deviations)"),
        (-5.0, 0.5, "last 14 days half as often as usual for this customer (-5.0 deviations)"),
        (-3.0, 0.25, "last 14 days 25% as often as usual for this customer (-3.0 deviations)"),
        (-4.0, 0.0, "nothing in the last 14 days, unlike usual (-4.0 deviations)"),
        (3.0, 2.5, "last 14 days 2.5 times as often as usual for this customer (+3.0 deviations)"),
    ],
)
def test_what_is_unusual_has_words(view: Any, deviations: float, ratio: float, words: str) -> None:
    found = Anomaly(deviations, ratio)
    both = replace(view, activity_anomaly=found, purchase_anomaly=found)

    assert [words] == said(both, "activity") == said(both, "buying")
    assert [] == said(view, "activity") == said(view, "buying")


def test_a_lifetime_value_is_told_with_its_terms(view: Any) -> None:
    horizons = (
        HorizonView(28.0, 0.4, 13.5, Worth.CHALLENGER),
        HorizonView(90.0, 1.25, 41.0, Worth.FORMULA),
    )
    valued = replace(view, value=ValueView(1_204.5, 0.3, 2.5, 12.0, 891.375, horizons))

    assert ["891.38 EUR = 1,204.50 a year x 30% margin x 2.50 years - 12.00 to win them"] == said(
        valued, "lifetime value"
    )
    first, second = said(valued, "expected")
    assert first.startswith("0.40 purchases, 13.50 EUR within 28 days: says the model")
    assert second.startswith("1.25 purchases, 41.00 EUR within 90 days: says the formula")
    assert [] == said(view, "lifetime value")


AS_OF = "2026-02-12T00:00:00.000Z"
BEFORE = "2026-02-10T00:00:00.000Z"
WINDOWS = (Window(30, 1, 123_450), Window(365, 2, 1_000))
RFM = RfmView(
    2.25, 2, 1_234_500, "2026-01-01T00:00:00.000Z", BEFORE, WINDOWS, (), 4, 2, 3, Segment.LOYAL
)
REASON = ChurnReason(ReasonKind.SERVICE, ("ticket t-1 waits",), {"service": 1.0, "price": 0.0})
GROUPS = (GroupContribution(Group.TREND, 0.5, Direction.RAISES, "1 order in 28 days"),)
HORIZONS = (HorizonView(28.0, 0.4, 1_013.5, Worth.FORMULA),)
VALUE = ValueView(1_204.5, 0.3, 2.5, 12.0, 891.375, HORIZONS)
ANSWER = OpinionView("nps", "delivery", 0.9, "promoter", BEFORE)
SHOP_NPS = Result(kind="nps", touchpoint="", answers=250, nps=12.0, nps_margin=7.0)

#: What each section of the profile says in the shop's currency, by the section's name.
SAID: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "rfm": (
        RFM,
        [
            ("segment", "loyal: buys regularly, and still does"),
            ("scores", "recency 4, frequency 2, monetary 3, of 5"),
            ("last purchase", "2.2 days before (2026-02-10 00:00 UTC)"),
            ("purchases", "2 orders, 12,345.00 EUR net, since 2026-01-01 00:00 UTC"),
            ("last 30 days", "1 order, 1,234.50 EUR"),
            ("last 365 days", "2 orders, 10.00 EUR"),
        ],
    ),
    "churn": (
        (ChurnView(0.3, 28.0, Source.BASELINE, 2, "baseline", {}),),
        [
            (
                "churn",
                (
                    "30% likely to buy nothing within 28 days: says the formula over the rhythm of "
                    "purchases (baseline, version 2)"
                ),
            )
        ],
    ),
    "identity": (
        IdentityView(
            False,
            (
                IdView("00ff00ff00ff00ff", "2026-01-05T10:30:00.000Z", "event"),
                IdView("11ff00ff00ff00ff", "2026-01-06T10:30:00.000Z", "merged"),
            ),
            "2026-01-07T10:30:00.000Z",
        ),
        [
            ("visitor", "has not said who they are"),
            ("id", "00ff00ff00ff00ff since 2026-01-05 10:30 UTC, by event"),
            ("id", "11ff00ff00ff00ff since 2026-01-06 10:30 UTC, by merged"),
            ("shared", "by several users since 2026-01-07 10:30 UTC"),
        ],
    ),
    "timeline": (
        tuple(
            EventView(name, f"2026-02-0{day}T00:00:00.000Z", amount, channel)
            for day, (name, amount, channel) in enumerate(
                (
                    ("screen", None, "app"),
                    ("page", None, None),
                    ("identify", None, "web"),
                    ("Order Completed", 123_450, "web"),
                    ("Order Refunded", 450, None),
                    (None, None, "store"),
                ),
                start=4,
            )
        ),
        [
            ("happened", "an event of the shop's own by store, 3 days before"),
            ("happened", "Order Refunded of 4.50 EUR, 4 days before"),
            ("happened", "Order Completed of 1,234.50 EUR by web, 5 days before"),
            ("happened", "identify by web, 6 days before"),
            ("happened", "page, 7 days before"),
        ],
    ),
    "churn_reason": (
        REASON,
        [
            ("reason to leave", "service (service 100% of what was heard)"),
            ("evidence", "ticket t-1 waits"),
        ],
    ),
    "explanations": (
        (Explanation(-1.0, GROUPS, -0.5),),
        [
            ("raises", "+0.50 trend: 1 order in 28 days"),
            ("log odds", "-0.50, of which everybody has -1.00"),
        ],
    ),
    "silent_churn": (0.9, [("silent churn", "0.90 of 1: is thinning out, by their own rhythm")]),
    "value": (
        VALUE,
        [
            (
                "lifetime value",
                "891.38 EUR = 1,204.50 a year x 30% margin x 2.50 years - 12.00 to win them",
            ),
            (
                "expected",
                (
                    "0.40 purchases, 1,013.50 EUR within 28 days: says the formula over rhythm and "
                    "amounts (formula)"
                ),
            ),
        ],
    ),
    "engagement": (
        EngagementView(5.96, 0.1, 1_205, 1, 5, BEFORE, "web"),
        [
            ("engagement", "intensity 6.0: 1,205 interactions, 1 view, 5 sessions"),
            ("last seen", "2 days before, last by web"),
        ],
    ),
    "activity_anomaly": (
        Anomaly(-4.0, 0.0),
        [("activity", "nothing in the last 14 days, unlike usual (-4.0 deviations)")],
    ),
    "rhythm": (
        RhythmView(("2026-01-05", "2026-01-25"), 20.0, BEFORE, "2026-03-01T00:00:00.000Z"),
        [("next purchase", "expected about 2026-02-10, overdue from 2026-03-01")],
    ),
    "purchase_anomaly": (
        Anomaly(-1.2, 0.5),
        [("buying", "last 14 days as usual for this customer (-1.2 deviations)")],
    ),
    "cart": (
        CartView(1, 123_450, "2026-02-11T22:00:00.000Z"),
        [("cart", "1 product, 1,234.50 EUR, touched 2 hours before")],
    ),
    "support": (
        SupportView(1, 3, "2026-02-13T10:30:00.000Z", AnswerView(9.0, BEFORE), None, None),
        [
            ("support", "1 open ticket of 3, answer due 2026-02-13 10:30 UTC"),
            ("surveys", "NPS 9 (2 days before)"),
        ],
    ),
    "consent": (
        ConsentView(
            analytics=True,
            personalisation=True,
            marketing=False,
            words=(
                WordView("marketing", None, None, "revoked", "2026-02-10T10:00:00.000Z", "web"),
                WordView("marketing", "email", "news", "granted", "2026-02-09T10:00:00.000Z", ""),
            ),
            email_unreachable_since="2026-02-11T10:00:00.000Z",
        ),
        [
            ("consent", "revoked marketing, 1 day before"),
            ("consent", "granted marketing by email, list news, 2 days before"),
            ("e-mail", "cannot be reached: it came back 14 hours before"),
        ],
    ),
    "satisfaction": (
        SatisfactionView((ANSWER,), (SHOP_NPS,)),
        [
            ("answer", "NPS 9 of 10, promoter, about delivery, 2 days before"),
            ("all customers", "NPS +12 ± 7 (250 answers)"),
        ],
    ),
    "segments": (
        (
            MembershipView("loyal", "2026-01-05T10:00:00.000Z", 1),
            MembershipView("vip-slipping", "2026-02-09T10:00:00.001Z", 2),
        ),
        [
            ("in", "loyal, since 2026-01-05 10:00 UTC"),
            ("in", "vip-slipping, since 2026-02-09 10:00 UTC"),
        ],
    ),
    "loyalty": (
        LoyaltyView(1_200, 30, 1, "2026-03-01T00:00:00.000Z", 0, 500, "silver", 1_700, 300),
        [
            ("loyalty", "1,200 points, 30 on their way, 500 redeemed so far"),
            ("expiring", "1 point, the first 2026-03-01 00:00 UTC"),
            ("level", "silver: 1,700 points earned that count, 300 more to the next"),
        ],
    ),
    "prices": (
        PricesView(0.703, 0.825, 0.25, 0.0, True),
        [
            (
                "prices",
                (
                    "sensitivity 0.70: 82% bought for less, 25% off where there was a discount, "
                    "none at full price in a year"
                ),
            )
        ],
    ),
    "last_triggers": (
        {"cart-abandoned": BEFORE, "ticket-overdue": "2026-02-11T23:59:00.000Z"},
        [
            ("trigger", "ticket-overdue, 1 minute before"),
            ("trigger", "cart-abandoned, 2 days before"),
        ],
    ),
    "last_moments": (
        (
            DecidedView(
                BEFORE,
                ("cart-abandoned",),
                "call",
                ("coupon",),
                (RejectedView("note", "cooldown", BEFORE, AS_OF, None),),
            ),
            DecidedView(
                AS_OF,
                ("cart-abandoned", "low-satisfaction"),
                None,
                (),
                (
                    RejectedView("coupon", "consent", BEFORE, None, "marketing:email"),
                    RejectedView("call", "truce", None, None, None),
                    RejectedView("note", "consent", BEFORE, None, "marketing:email"),
                ),
            ),
            DecidedView(AS_OF, ("level-near",), None, (), ()),
        ),
        [
            ("nothing done", "on 2026-02-12 00:00 UTC about level-near: no action is for it"),
            (
                "nothing done",
                (
                    "on 2026-02-12 00:00 UTC about cart-abandoned, low-satisfaction: coupon, note: "
                    "consent (marketing:email, since 2026-02-10 00:00 UTC); call: truce"
                ),
            ),
            (
                "decided",
                (
                    "call on 2026-02-10 00:00 UTC about cart-abandoned; not coupon: outranked; not "
                    "note: cooldown (since 2026-02-10 00:00 UTC, until 2026-02-12 00:00 UTC)"
                ),
            ),
        ],
    ),
    "suppressions": (
        (
            SuppressionView(BEFORE, "coupon", "consent"),
            SuppressionView(BEFORE, "call", "truce"),
            SuppressionView(AS_OF, "coupon", "consent"),
            *(SuppressionView(AS_OF, f"note-{n}", "cooldown") for n in range(3)),
        ),
        [
            ("held back", "coupon, by consent: 2 times, last just before"),
            *(("held back", f"note-{n}, by cooldown: 1 time, last just before") for n in range(3)),
            ("held back", "call, by truce: 1 time, last 2 days before"),
        ],
    ),
    "holdout": (
        HoldoutView(CONTROL, BEFORE),
        [
            ("group", "control: what is decided is not carried out"),
            (
                "contaminated",
                "was in both groups, since 2026-02-10 00:00 UTC: leave out of comparisons",
            ),
        ],
    ),
    "risk": (
        RiskView(RiskBand.HIGH, BEFORE, RiskBand.MEDIUM),
        [("risk of leaving", "high, since 2 days before, medium before")],
    ),
    "lifecycle": (
        LifecycleView(
            CustomerClass.LOST, BEFORE, CustomerClass.EXISTING, LifeStage.AWARENESS, BEFORE, None
        ),
        [
            ("class", "lost, since 2 days before, existing before"),
            ("stage", "awareness, since 2 days before"),
        ],
    ),
    "tier": (
        TierView(Tier.VIP, BEFORE, None, 0.81, {"frequency": 0.95}),
        [("value tier", "vip (score 0.81), since 2 days before")],
    ),
    "channels": (
        ChannelsView("app", BEFORE, "web", {"web": 0.3, "app": 0.7}, 18, "Europe/Berlin"),
        [
            ("prefers", "app, since 2 days before, web before (app 70%, web 30%)"),
            ("comes at", "18:00 to 19:00, Europe/Berlin"),
        ],
    ),
    "calendar": (
        CalendarView(BEFORE, None, None),
        [("last contact", "2 days before")],
    ),
    "key_customer": (
        KeyView(True, BEFORE, 83.5, 80, 70, 95, None),
        [
            (
                "key customer",
                "yes, since 2 days before: 84 (satisfaction 80, loyalty 70, power 95)",
            )
        ],
    ),
    "relationship": (
        RelationshipView(3, Relationship.RESPONSIBLE, BEFORE, 2),
        [("relationship", "responsible (level 3 of 5), since 2 days before, level 2 before")],
    ),
    "traits": (
        {"age": TraitView("25-34", BEFORE), "company_size": TraitView("50-249", BEFORE)},
        [("traits", "age 25-34, company size 50-249")],
    ),
    "decisions": (
        (DecisionView("call", "phone", AS_OF, TREATED, str(Outcome.CLICKED)),),
        [("action", "call by phone, just before: clicked")],
    ),
}
#: What somebody of whom nothing is known yet is told with.
NOTHING: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "rfm": (
        RfmView(None, 0, 0, None, None, WINDOWS, (), None, None, None, None),
        [("purchases", "none")],
    ),
    "engagement": (
        EngagementView(0.0, 0.0, 0, 0, 0, None, None),
        [
            ("engagement", "intensity 0.0: 0 interactions, 0 views, 0 sessions"),
            ("last seen", "never"),
        ],
    ),
    "cart": (CartView(0, 0, None), [("cart", "empty")]),
    "support": (
        SupportView(0, 0, None, None, None, None),
        [("support", "0 open tickets of 0")],
    ),
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_section_is_told_in_words(view: Any, section: ProfileSection) -> None:
    told, expected = SAID[section.name]
    bare = replace(view, **dict.fromkeys(SAID), as_of=AS_OF)
    always = [("looked at again", "2026-02-12 23:59 UTC")]
    always.append(("shared model", "none yet: the shipped priors"))

    assert [*expected, *always] == rows(replace(bare, **{section.name: told}))
    assert always == rows(bare)


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_not_known_is_said_to_be_so(view: Any, name: str) -> None:
    told, expected = NOTHING[name]
    bare = replace(view, **dict.fromkeys(SAID), as_of=AS_OF)

    assert expected == rows(replace(bare, **{name: told}))[: len(expected)]


def test_sections_are_told_by_their_places(view: Any) -> None:
    whole = replace(view, **{name: told for name, (told, _) in SAID.items()}, as_of=AS_OF)
    in_order = sorted(SECTIONS, key=lambda section: section.place)

    assert [line for section in in_order for line in SAID[section.name][1]] == rows(whole)[:-2]


@pytest.mark.parametrize(
    ("currency", "cart", "bought", "value"),
    [
        (
            "EUR",
            "1,234.50 EUR",
            "12,345.00 EUR net",
            "891.38 EUR = 1,204.50 a year x .* - 12.00 to",
        ),
        ("JPY", "123,450 JPY", "1,234,500 JPY net", "891 JPY = 1,204 a year x .* - 12 to"),
        ("KWD", "123.450 KWD", "1,234.500 KWD net", "891.375 KWD = 1,204.500 .* - 12.000 to"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(
    view: Any, currency: str, cart: str, bought: str, value: str
) -> None:
    """Minor units are a hundredth, a whole or a thousandth of the currency."""
    priced = replace(view, cart=SAID["cart"][0], rfm=RFM, value=VALUE)

    [words] = said(priced, "cart", currency)
    assert f"1 product, {cart}, touched" in words
    [words] = said(priced, "purchases", currency)
    assert f"2 orders, {bought}, since" in words
    [words] = said(priced, "last 30 days", currency)
    assert f"1 order, {cart}" == words
    [words] = said(priced, "lifetime value", currency)
    assert re.match(value, words)
    [words] = said(priced, "expected", currency)
    assert words.startswith(f"0.40 purchases, {digits(1_013.5, currency)} {currency} within")


def replayed(*lines: bytes) -> Any:
    """The profile of the one customer of these lines, after two months."""
    replay = Replay(PARAMETERS)
    end = b'{"type":"watermark","timestamp":"2026-03-01T00:00:00Z"}'
    for number, raw in enumerate((*lines, end), 1):
        replay.feed(raw, number)
    [found] = replay.profiles()
    return found


def put(days: float) -> bytes:
    cart = {"product_id": "p", "price": 30, "quantity": 2}
    return line("Product Added", at(days), properties=cart)


def test_why_nothing_was_done_is_told_with_the_gate_since_when_and_of_what() -> None:
    told = replayed(
        line("Order Completed", at(0), properties={"revenue": 40}),
        line("Unsubscribed", at(3)),
        put(20),
    )

    [nothing, *_] = [one for one in told.last_moments if "cart-abandoned" in one.triggers]
    assert nothing.action is None
    assert {"consent"} == {
        one.by for one in nothing.rejected if one.by not in ("eligibility", "reason")
    }
    [words] = [one for one in said(told, "nothing done") if "cart-abandoned" in one]
    assert words.startswith("on 2026-01-2")
    assert re.search(
        r"cart-[a-z-]+: consent \(marketing:email, since 2026-01-04 00:00 UTC\)", words
    )


def test_why_this_and_not_that_is_told(view: Any) -> None:
    [decided] = [one for one in view.last_moments if one.action is not None]
    [words] = said(view, "decided")

    assert words.startswith(f"{decided.action} on ")
    for other in (*decided.outranked, *(one.action for one in decided.rejected)):
        assert other in words
    assert decided.outranked
    assert ": outranked" in words


def test_the_latest_moments_are_kept_and_no_more() -> None:
    told = replayed(*(put(days) for days in range(0, 50, 9)))

    ats = [decided.at for decided in told.last_moments]
    assert MOMENTS_MAX == len(ats)
    assert sorted(ats) == ats
    fired = told.last_triggers
    assert max(fired.values()) == ats[-1]
