"""What must not matter does not: when it all happened, what customers are called, in what money
they pay, and under how many ids they are known.

Of models that learn the last digits differ: which decision points are kept for labels follows from
a hash of when they were, and the order in which customers of one moment teach from their names. So
what hangs on what is learnt is left out, and all else is the same to the millisecond.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

import orjson
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.loyalty import LoyaltyParameters
from models.customer.tiers import Tier
from models.decisions.trigger import Trigger
from models.events.times import iso
from models.learning.tiers import TierParameters
from tests.company.cast import Said, cast
from tests.company.company import HEARD, PARAMETERS, Told, replayed, with_days

#: Part of the eighteen months: all that is compared has happened in it.
DAYS = 260
SEVEN_WEEKS_MS = 49 * DAY_MS


def _with_moments(*names: str) -> frozenset[str]:
    """Triggers by their names, and the moments that are heard under them."""
    return frozenset({*names, *(f"{HEARD}{name}" for name in names)})


#: What hangs on a score that is learnt, or on what is expected of somebody: who is `potential`.
LEARNT = _with_moments(
    *("churn-risk", "silent-churn", "risk-recovered", "band-changed", "tier-changed"),
    *("key-customer-changed", "became-key-customer", "key-customer-slipping"),
)
#: What hangs on the calendar: what is usual in a month, named days.
OF_THE_CALENDAR = _with_moments("price-dependent", "calendar-day", "anniversary")
#: What is spread over a day by a hash of names.
SPREAD = _with_moments("contact-due", "calendar-day", "anniversary")
#: What takes a year.
LATER = _with_moments(
    *("points-expiring", "anniversary", "relationship-fell", "relationship-changed")
)
#: Whose ids are a story of their own.
KNOWN_BY_IDS = {"mia", "max", "lou", "eli", "eva", "emil"}

Change = Callable[[dict[str, Any]], object]


def story() -> list[Said]:
    """What the cast does until then. Everybody is introduced before they do anything."""
    said = [one for one in cast() if one.arrives_day < DAYS]
    first: dict[str, float] = {}
    for one in said:
        if one.user is not None:
            first.setdefault(one.user, one.day)
    hello = [Said(day - 0.01, "identify", {}, user=who) for who, day in first.items()]
    return sorted([*said, *hello], key=lambda one: one.arrives_day)


def lines(said: list[Said]) -> list[bytes]:
    numbered = [(one.arrives_day, one.line(number)) for number, one in enumerate(said)]
    return [*with_days(numbered, DAYS)]


def changed(change: Change) -> list[bytes]:
    found = []
    for line in lines(story()):
        said = orjson.loads(line)
        change(said)
        found.append(orjson.dumps(said))
    return found


@cache
def as_it_was() -> Told:
    return replayed(lines(story()))


def triggers(told: Told, but: frozenset[str] = frozenset()) -> Counter[tuple[str, str, int]]:
    """What was said, of whom and when; without what hangs on what is learnt, and these."""
    return Counter(
        (one.kind, one.user_id, _ms(one.timestamp))
        for one in told.decisions
        if isinstance(one, Trigger) and one.kind not in LEARNT | but
    )


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def test_seven_weeks_later_all_of_it_is_said_seven_weeks_later() -> None:
    def later(said: dict[str, Any]) -> None:
        said["timestamp"] = iso(_ms(said["timestamp"]) + SEVEN_WEEKS_MS)

    found = triggers(replayed(changed(later)), OF_THE_CALENDAR)

    assert triggers(as_it_was(), OF_THE_CALENDAR) == Counter(
        (kind, who, at_ms - SEVEN_WEEKS_MS) for kind, who, at_ms in found.elements()
    )


def _other(name: str) -> str:
    return f"c-{sha256(b'salted ' + name.encode()).hexdigest()[:12]}"


def test_by_other_names_the_same_is_said_of_the_same_people() -> None:
    def rename(said: dict[str, Any]) -> None:
        for place, key in ((said, "userId"), (said, "anonymousId"), *_ids_in(said)):
            if key in place:
                place[key] = _other(place[key])

    found = triggers(replayed(changed(rename)), SPREAD)

    assert found == Counter(
        (kind, _other(who), at_ms) for kind, who, at_ms in triggers(as_it_was(), SPREAD).elements()
    )


def _ids_in(said: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Where an event speaks of other customers."""
    properties = said.get("properties", {})
    if said.get("event") == "Customer Merged":
        return [(properties, "from_user_id")]
    return [(properties, "id")] if said.get("event") == "Customer Split" else []


def of_half_the_worth() -> Parameters:
    """The same in a currency of which everything costs twice as much: no amount is a limit of
    nature.
    """
    tiers, points = PARAMETERS.of(TierParameters), PARAMETERS.of(LoyaltyParameters)
    rfm, value = PARAMETERS.rfm, PARAMETERS.value
    twice = replace(
        PARAMETERS,
        rfm=replace(rfm, monetary=tuple(2 * cut for cut in rfm.monetary)),
        value=replace(value, typical_order=2 * value.typical_order),
    )
    twice = twice.with_section(replace(points, rate=points.rate / 2))
    return twice.with_section(
        replace(
            tiers,
            average_order=tuple(2 * cut for cut in tiers.average_order),
            expected=tuple(2 * cut for cut in tiers.expected),
        )
    )


#: Segments of shipped amounts.
OF_AMOUNTS = frozenset({f"{HEARD}segment-entered", f"{HEARD}segment-left"})


def test_in_another_money_the_same_is_said_and_ranks_and_tiers_are_the_same() -> None:
    def double(said: dict[str, Any]) -> None:
        properties = said.get("properties", {})
        for name in ("revenue", "discount", "price", "amount", "total"):
            if name in properties:
                properties[name] *= 2

    told, doubled = as_it_was(), replayed(changed(double), of_half_the_worth())
    assert triggers(told, OF_AMOUNTS) == triggers(doubled, OF_AMOUNTS)
    assert standings(told) == standings(doubled)


def standings(told: Told) -> dict[str, Any]:
    """RFM, ranks, who is a VIP, and points of each customer. How much is expected of somebody is
    left out: it is learnt, and of a fit to bins of spend, which do not double.
    """
    return {
        view.user_id: (
            (view.rfm.recency_score, view.rfm.frequency_score, view.rfm.monetary_score),
            view.tier and (view.tier.tier == Tier.VIP, {**view.tier.ranks, "expected": None}),
            view.loyalty and view.loyalty.points,
        )
        for view in told.replay.profiles()
    }


def under_two_ids(said: list[Said], rng: Random) -> list[Said]:
    """Everybody was a visitor before, who goes on doing half of what they do. All news of one order
    come under one id: loyalty and prices see a refund under the order's id alone.
    """
    homes: dict[str, bool] = {}
    found = []
    for one in said:
        if one.user is None or one.visitor is not None or one.user in KNOWN_BY_IDS:
            found.append(one)
        elif one.name == "identify":
            found.append(one._replace(visitor=f"{one.user}-before"))
        else:
            order = str(one.properties.get("order_id", f"{one.day} {one.name}"))
            is_visitor = homes.setdefault(order, rng.random() < 0.5)
            other = one._replace(user=None, visitor=f"{one.user}-before")
            found.append(other if is_visitor else one)
    return found


def test_under_two_ids_the_same_is_said_of_one_person() -> None:
    told = replayed(lines(under_two_ids(story(), Random(5))))
    linked = frozenset({f"{HEARD}identity-linked"})

    assert triggers(as_it_was(), linked) == triggers(told, linked)
    assert standings(as_it_was()) == standings(told)


def test_nearly_everything_is_said_by_then() -> None:
    kinds = {kind for kind, _, _ in triggers(as_it_was())}
    rules = {rule.name for rule in PARAMETERS.triggers.triggers}

    assert set() == rules - LEARNT - kinds - LATER
    assert len(kinds) > len(rules) / 2
