"""Of somebody in the company everything is said that can be, and nothing of whom it must not be.

The tables here name every moment and every trigger that there is: a new one has to say who shows
it, and who nearly does.
"""

from typing import NamedTuple

import pytest

from models.customer.loyalty import LOYALTY
from models.customer.registry import MOMENTS
from models.customer.tiers import TIERS
from models.identity import is_mirror
from tests.company.cast import ERASED
from tests.company.company import SHIPPED, Told, log, replayed, told


class Example(NamedTuple):
    """Of whom it is said, and of whom it must not be, and why not."""

    said_of: str
    silent: str
    because: str


#: By the name of the moment.
OF_MOMENTS = {
    "cart-idle": Example("cora", "carl", "ordered half an hour after it"),
    "silence": Example("olga", "rita", "buys every week"),
    "ticket-waiting": Example("tom", "tina", "was answered in time"),
    "survey": Example("sue", "stan", "closed the survey without an answer"),
    "consent-changed": Example("cleo", "bo", "one mail came back for a while"),
    "price-dependent": Example("pia", "jan", "buys for less when everybody does"),
    "points-earned": Example("lena", "fred", "gave it back before the points were theirs"),
    "points-expiring": Example("lena", "leo", "has spent them"),
    "level-near": Example("rita", "leo", "is far from it"),
    "level-changed": Example("rita", "leo", "has not enough for any"),
    "nps-passive": Example("nina", "pete", "is a promoter"),
    "nps-promoter": Example("pete", "nina", "gave a 7"),
    "event": Example("dana", "wim", "looked at a product"),
    "score": Example("cora", "mute", "did nothing but get a mail"),
    "improved": Example("ida", "ivan", "complained after it was improved"),
    "band-changed": Example("wes", "cora", "has not bought"),
    "identity-linked": Example("lou", "anon-2", "never logs in"),
    "identity-split": Example("mia", "lou", "is who the visitor was"),
    "class-changed": Example("olga", "cora", "has never bought"),
    "lifecycle-changed": Example("cora", "wim", "looked once"),
    "tier-changed": Example("vera", "cora", "has never bought"),
    "channel-shifted": Example("shana", "sid", "was there for some days"),
    "contact-due": Example("walt", "leo", "is not that dear"),
    "calendar-day": Example("rita", "cora", "has never bought"),
    "key-customer-changed": Example("kate", "rita", "spends little"),
    "relationship-changed": Example("remy", "walt", "buys, and that is all"),
    "segment-entered": Example("rita", "cora", "is in none"),
    "segment-left": Example("rita", "cora", "is in none"),
    "time": Example("olga", "rita", "is never silent for so long"),
}
#: By the name of the trigger.
OF_TRIGGERS = {
    "cart-abandoned": Example("cora", "carl", "ordered half an hour after it"),
    "purchase-overdue": Example("olga", "rita", "buys every week"),
    "ticket-overdue": Example("tom", "tina", "was answered in time"),
    "low-satisfaction": Example("sue", "nina", "is not enthusiastic, and that is all"),
    "churn-risk": Example("olga", "rita", "buys every week"),
    "silent-churn": Example("wes", "yves", "buys once a year"),
    "drifting": Example("wes", "rita", "buys every week"),
    "consent-revoked": Example("cleo", "greta", "agreed"),
    "price-dependent": Example("pia", "paul", "bought once at full price"),
    "points-earned": Example("lena", "fred", "gave it back before the points were theirs"),
    "points-expiring": Example("lena", "leo", "has spent them"),
    "level-near": Example("rita", "leo", "is far from it"),
    "level-changed": Example("rita", "leo", "has not enough for any"),
    "nps-passive": Example("nina", "pete", "is a promoter"),
    "nps-promoter": Example("pete", "nina", "gave a 7"),
    "improved-for-them": Example("ida", "ivan", "complained after it was improved"),
    "risk-recovered": Example("wes", "olga", "did not come back"),
    "customer-lost": Example("olga", "rita", "buys every week"),
    "interest-faded": Example("cora", "wim", "never had that much of it"),
    "became-advocate": Example("adam", "abel", "is loyal, and gave an 8"),
    "vip-slipping": Example("vera", "walt", "goes on as ever"),
    "channel-shift": Example("shana", "sid", "was there for some days"),
    "contact-due": Example("walt", "leo", "is not that dear"),
    "anniversary": Example("rita", "olga", "is lost by then"),
    "became-key-customer": Example("kate", "rita", "spends little"),
    "key-customer-slipping": Example("kate", "remy", "goes on as ever"),
    "relationship-fell": Example("remy", "walt", "buys, and that is all"),
    "became-vip": Example("walt", "hugo", "bought once, for a lot"),
}

RULES = [rule.name for rule in SHIPPED.triggers.triggers]


def test_every_moment_and_every_trigger_has_its_example() -> None:
    """Whoever adds one says who shows it: see `tests.company.cast`."""
    assert set() == set(MOMENTS) - set(OF_MOMENTS)
    assert set() == set(RULES) - set(OF_TRIGGERS)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_moment_comes_for_one_and_not_for_another(moment: str) -> None:
    heard, example = told().heard, OF_MOMENTS[moment]

    assert (moment, example.said_of) in heard
    assert (moment, example.silent) not in heard, f"{example.silent} {example.because}"


@pytest.mark.parametrize("trigger", RULES)
def test_a_trigger_fires_for_one_and_not_for_another(trigger: str) -> None:
    fired, example = told().fired, OF_TRIGGERS[trigger]

    assert (trigger, example.said_of) in fired
    assert (trigger, example.silent) not in fired, f"{example.silent} {example.because}"


def test_whoever_must_not_be_spoken_of_is_there() -> None:
    rows = told().replay.rows()
    silent = {one.silent for one in (*OF_MOMENTS.values(), *OF_TRIGGERS.values())}

    assert set() == silent - set(rows)
    assert all(rows[who].latest_ms for who in silent)


def test_who_was_erased_is_gone_and_comes_back_only_where_they_may() -> None:
    rows = told().replay.rows()

    assert ["emil"] == [who for who in ERASED if who in rows and rows[who].latest_ms]
    assert 1 == told().replay.summary().events["erased"]  # type: ignore[index]


def test_a_merge_that_was_wrong_leaves_two_people() -> None:
    rows = told().replay.rows()

    assert not rows["mia"].ids
    assert not is_mirror(rows["max"])


def test_tablets_that_many_share_make_one_person_of_nobody() -> None:
    rows = told().replay.rows()
    users = [who for who in rows if who.startswith("tablet-") and "user" in who]

    assert 12 == len(users)
    assert [] == [who for who in users if is_mirror(rows[who]) or len(rows[who].ids) > 2]
    assert ("identity-linked", "lou") in told().heard


def test_points_that_were_spent_and_given_back_are_a_debt_that_later_ones_pay() -> None:
    """400 were spent and taken back; 300 of the next order leave a debt of 100."""
    row = told().replay.rows()["fay"]
    profiles = {view.user_id: view for view in told().replay.profiles()}

    assert row.has(LOYALTY)
    assert profiles["fay"].loyalty.points < 0
    assert [] == [
        when for when, who in told().of("points-earned") if who == "fay" and when > "2025-03"
    ]


def test_who_gave_the_second_order_back_is_no_vip() -> None:
    assert "vip" != told().replay.rows()["gil"].read(TIERS).tier


def test_what_a_silent_till_sends_too_late_is_said_to_be_late() -> None:
    events = told().replay.summary().events

    assert 4 == events["late"]  # type: ignore[index]
    assert events["deadLettered"]  # type: ignore[index]


@pytest.mark.nightly
def test_three_hundred_customers_more_change_nothing_of_what_is_said_of_the_cast() -> None:
    from msgspec.structs import replace  # noqa: PLC0415

    from tests.company.company import SHOP  # noqa: PLC0415

    whole: Told = replayed(log(replace(SHOP, customers=300, days=200)))

    heard = [one for one in MOMENTS if (one, OF_MOMENTS[one].silent) in whole.heard]
    fired = [one for one in RULES if (one, OF_TRIGGERS[one].silent) in whole.fired]
    assert ([], []) == (heard, fired)
    assert {kind for kind, _ in whole.fired} == set(RULES)
