"""What must not matter does not: the dates of the story, the customers' names, the currency, and
the number of ids they are known by.

With learnt models the last digits differ: a hash of the time decides which decision points are kept
for labels, and names decide the order in which customers of one moment teach. So whatever depends
on learning is left out, and everything else is equal to the millisecond.
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

from config.duration import DAY_MS, HOUR_MS
from config.parameters import Parameters
from models.customer.loyalty import LoyaltyParameters
from models.customer.tier_state import Tier
from models.decisions.trigger import Trigger
from models.events.times import iso
from models.learning.tiers import TierParameters
from tests.company.cast import Said, cast
from tests.company.company import HEARD, PARAMETERS, Told, replayed, with_days

#: Part of the eighteen months: all that is compared has happened in it.
DAYS = 260
SEVEN_WEEKS_MS = 49 * DAY_MS


def _with_moments(*names: str) -> frozenset[str]:
    """Triggers by their names, and the moments at which they are evaluated."""
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
    """The cast's events until then. Each customer is introduced before they do anything."""
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
    """The triggers, with customer and time; without these, and those that depend on learning."""
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

    told = replayed(changed(later))
    found = triggers(told, OF_THE_CALENDAR)

    assert triggers(as_it_was(), OF_THE_CALENDAR) == Counter(
        (kind, who, at_ms - SEVEN_WEEKS_MS) for kind, who, at_ms in found.elements()
    )
    assert facts_of_value(as_it_was()) == facts_of_value(told, SEVEN_WEEKS_MS)


def test_days_later_everybody_is_who_they_were() -> None:
    """On other days of the week and of the month."""
    later_ms = 3 * DAY_MS

    def later(said: dict[str, Any]) -> None:
        said["timestamp"] = iso(_ms(said["timestamp"]) + later_ms)

    assert facts_of_value(as_it_was()) == facts_of_value(replayed(changed(later)), later_ms)


def test_in_a_zone_two_hours_behind_everybody_is_who_they_were_two_hours_later() -> None:
    """On the shop's clock it is the same hour; purchase days end at midnight in UTC."""
    later_ms = 2 * HOUR_MS
    time = replace(PARAMETERS.time, zone="Etc/GMT+2")

    def later(said: dict[str, Any]) -> None:
        said["timestamp"] = iso(_ms(said["timestamp"]) + later_ms)

    found = replayed(changed(later), replace(PARAMETERS, time=time))
    assert facts_of_value(as_it_was()) == facts_of_value(found, later_ms, looked_later_ms=0)


def _other(name: str) -> str:
    return f"c-{sha256(b'salted ' + name.encode()).hexdigest()[:12]}"


def test_by_other_names_the_same_is_said_of_the_same_people() -> None:
    def rename(said: dict[str, Any]) -> None:
        for place, key in ((said, "userId"), (said, "anonymousId"), *_ids_in(said)):
            if key in place:
                place[key] = _other(place[key])

    told = replayed(changed(rename))
    found = triggers(told, SPREAD)

    assert found == Counter(
        (kind, _other(who), at_ms) for kind, who, at_ms in triggers(as_it_was(), SPREAD).elements()
    )
    before, facts = (facts_of_value(one, is_spread=False) for one in (as_it_was(), told))
    # Events that belong to no customer have no name.
    assert {_other(who): known for who, known in before.items() if known} == {
        who: known for who, known in facts.items() if known
    }


def _ids_in(said: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Where an event names other customers."""
    properties = said.get("properties", {})
    if said.get("event") == "Customer Merged":
        return [(properties, "from_user_id")]
    return [(properties, "id")] if said.get("event") == "Customer Split" else []


def of_half_the_worth() -> Parameters:
    """The same in a currency in which everything costs twice as much: no amount may be a fixed
    limit.
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
    assert facts_of_value(told) == facts_of_value(doubled)


def standings(told: Told) -> dict[str, Any]:
    """RFM, ranks, who is a VIP, and the points of each customer. Expected spend is left out: it is
    learnt, and fitted to bins of spend, which do not double.
    """
    return {
        view.user_id: (
            (view.rfm.recency_score, view.rfm.frequency_score, view.rfm.monetary_score),
            view.tier and (view.tier.tier == Tier.VIP, {**view.tier.ranks, "expected": None}),
            view.loyalty and view.loyalty.points,
        )
        for view in told.replay.profiles()
    }


def facts_of_value(
    told: Told, later_ms: int = 0, looked_later_ms: int | None = None, *, is_spread: bool = True
) -> dict[str, dict[str, Any]]:
    """What each customer is to the shop, and since when, less ``later_ms``. Results of looks are as
    of the ends of days, which are ``looked_later_ms`` later. Without what depends on learning:
    ``potential`` customers, and so when a contact is due for customers other than VIPs. Unless
    ``is_spread``, also without the minute of that time, which depends on a hash of the name.
    """
    at_looks_ms = later_ms if looked_later_ms is None else looked_later_ms
    found: dict[str, dict[str, Any]] = {}
    for view in told.replay.profiles():
        facts = found[view.user_id] = {}
        if (life := view.lifecycle) is not None:
            facts["class"] = (life.customer_class, life.class_before)
            facts["class since"] = _ms(life.class_since) - later_ms
            facts["stage"] = (life.stage, life.stage_before)
            facts["stage since"] = _ms(life.stage_since) - later_ms
        if (channels := view.channels) is not None:
            facts["channel"] = (channels.preferred, channels.before, channels.best_hour)
            facts["shares"] = {name: round(share, 9) for name, share in channels.shares.items()}
            facts["channel since"] = channels.since and _ms(channels.since) - at_looks_ms
        if (key := view.key_customer) is not None:
            facts["key"] = (key.satisfaction, key.loyalty, key.credit)
        if (relationship := view.relationship) is not None:
            facts["relationship"] = (relationship.level, relationship.before)
            facts["relationship since"] = _ms(relationship.since) - at_looks_ms
        if (prices := view.prices) is not None:
            facts["prices"] = (round(prices.discount_depth, 9), round(prices.hunting, 9))
            facts["discount only"] = prices.discount_only
        if (tier := view.tier) is not None:
            is_vip = tier.tier == Tier.VIP
            facts["tier"] = (is_vip, {**tier.ranks, "expected": None})
            due = is_vip and view.calendar and view.calendar.due_at
            due_ms = _ms(due) - later_ms if due else 0
            facts["due"] = due_ms if is_spread else due_ms // DAY_MS
    return found


def under_two_ids(said: list[Said], rng: Random) -> list[Said]:
    """Every customer was a visitor before, who still does half of their events. All news of one
    order come under one id: loyalty and prices see a refund only under the order's id.
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
    assert facts_of_value(as_it_was()) == facts_of_value(told)


def test_what_is_compared_of_value_is_there() -> None:
    told = facts_of_value(as_it_was())
    names = [name for known in told.values() for name, fact in known.items() if fact]

    assert 14 == len({*names})
    assert {"lost", "new", "existing", "potential"} == {
        str(known["class"][0]) for known in told.values() if "class" in known
    }


def test_nearly_everything_is_said_by_then() -> None:
    kinds = {kind for kind, _, _ in triggers(as_it_was())}
    rules = {rule.name for rule in PARAMETERS.triggers.triggers}

    assert set() == rules - LEARNT - kinds - LATER
    assert len(kinds) > len(rules) / 2
