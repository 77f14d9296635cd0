"""The named customers of a company: for everything that can be reported, one customer of whom it
must be, and one of whom it must not be, although it nearly could.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from config.duration import DAY_MS
from models.events.times import iso
from tests.models.lines import TYPES

#: 2025-01-01T00:00:00Z, and eighteen months.
START_MS = 1_735_689_600_000
DAYS = 540
_HOUR = 1 / 24


class Said(NamedTuple):
    """An event of the story: its day, its content, and its ids. ``sent_day``: when it was sent, if
    that is not when it happened.
    """

    day: float
    name: str
    properties: dict[str, Any]
    user: str | None = None
    visitor: str | None = None
    channel: str | None = None
    sent_day: float | None = None

    @property
    def arrives_day(self) -> float:
        return self.day if self.sent_day is None else self.sent_day

    def line(self, number: int) -> bytes:
        said: dict[str, Any] = (
            {"type": self.name}
            if self.name in TYPES
            else {"type": "track", "event": self.name, "properties": self.properties}
        )
        said["timestamp"] = iso(START_MS + round(self.day * DAY_MS))
        said["messageId"] = f"said-{number}"
        if self.user is not None:
            said["userId"] = self.user
        if self.visitor is not None:
            said["anonymousId"] = self.visitor
        if self.channel is not None:
            said["context"] = {"channel": self.channel}
        return orjson.dumps(said)


def _did(who: str, day: float, name: str, /, channel: str | None = None, **said: Any) -> Said:
    return Said(day, name, said, user=who, channel=channel)


def _bought(who: str, *days: float, paid: float = 50.0, off: float = 0.0) -> Iterator[Said]:
    for day in days:
        said = {"order_id": f"{who}-{day}", "revenue": paid, "currency": "EUR"}
        yield _did(who, day, "Order Completed", channel="web", **said, **_less(off))


def _less(off: float) -> dict[str, Any]:
    return {"discount": off, "coupon": "LESS"} if off else {}


def _every(step: float, begin: float, until: float) -> list[float]:
    days, day = list[float](), begin
    while day < until:
        days.append(round(day, 3))
        day += step
    return days


def _refunded(who: str, order_day: float, day: float, **said: Any) -> Said:
    return _did(who, day, "Order Refunded", order_id=f"{who}-{order_day}", **said)


def _answered(who: str, day: float, score: int) -> Said:
    return _did(who, day, "Survey Responded", channel="email", kind="nps", score=score)


def _page(visitor: str, day: float, user: str | None = None, channel: str = "web") -> Said:
    return Said(day, "page", {}, user=user, visitor=visitor, channel=channel)


def shoppers() -> Iterator[Said]:
    """Customers who buy, and stop, and come back."""
    # Once a week throughout: nothing is ever wrong, and everything is a little late.
    yield from _bought("rita", *_every(7.0, 3.4, DAYS))
    # Every third day, then away for ten weeks, then back.
    yield from _bought("wes", *_every(3.0, 40.5, 130), *_every(3.0, 205.5, 240))
    # Every ten days, and gone for good.
    yield from _bought("olga", *_every(10.0, 20.3, 100))
    # Once a year.
    yield from _bought("yves", 15.6, 380.6)
    # A big spender who stops; one who continues; one with a single large order; one who returns it.
    yield from _bought("vera", *_every(6.0, 30.2, 150), paid=160.0)
    yield from _bought("walt", *_every(6.0, 30.4, DAYS), paid=170.0)
    yield from _bought("hugo", 150.3, paid=5_000.0)
    yield from _bought("gil", 150.5, 155.5, paid=2_000.0)
    yield _refunded("gil", 155.5, 163.5)


def bargain_hunters() -> Iterator[Said]:
    """One who buys only at low prices, one who paid full price once, one who only buys in public
    sales.
    """
    yield from _bought("pia", *_every(20.0, 60.7, 200), paid=60.0, off=40.0)
    yield from _bought("paul", *_every(20.0, 60.8, 180), paid=60.0, off=40.0)
    yield from _bought("paul", 185.2, paid=100.0)
    for number in range(24):
        yield from _bought(f"sale-{number}", 310.0 + number / 2.4, paid=25.0, off=25.0)
    yield from _bought("jan", *_every(1.5, 311.2, 320), paid=60.0, off=40.0)


def in_the_cart() -> Iterator[Said]:
    cart = {"product_id": "p-1", "price": 20.0}
    yield _did("cora", 10.5, "Product Added", channel="web", **cart)
    yield _did("carl", 10.5, "Product Added", channel="web", **cart)
    yield from _bought("carl", 10.52)
    yield _did("wim", 30.5, "Product Viewed", channel="web", product_id="p-1")


def who_asked() -> Iterator[Said]:
    yield _did("tom", 50.4, "Ticket Opened", ticket_id="t-1", priority="urgent")
    yield _did("tina", 50.4, "Ticket Opened", ticket_id="t-2", priority="urgent")
    yield _did("tina", 50.45, "Ticket Replied", ticket_id="t-2", author="agent")
    yield _did("tina", 50.5, "Ticket Solved", ticket_id="t-2")


def who_answered() -> Iterator[Said]:
    yield from (_answered(*one) for one in (("sue", 70.5, 3), ("nina", 70.6, 7), ("pete", 70.7, 9)))
    yield _did("stan", 70.8, "Survey Dismissed", channel="email", survey_id="s")
    yield from _bought("adam", *_every(15.0, 200.3, 330))
    yield _answered("adam", 240.5, 10)
    yield from _bought("abel", *_every(15.0, 200.4, 330))
    yield _answered("abel", 240.5, 8)


def who_wants_no_more() -> Iterator[Said]:
    yield _did("cleo", 80.5, "Consent Revoked", purpose="marketing")
    yield _did("greta", 80.6, "Consent Granted", purpose="marketing")
    yield _did("bo", 80.7, "Email Soft Bounced")


def who_ran_into_something() -> Iterator[Said]:
    """One with a bad product before it was improved, and one after."""
    yield from _bought("ida", 150.1, 170.1, 190.1)
    yield _did("ida", 195.1, "Product Reviewed", rating=1, scale_max=5)
    yield Said(215.0, "Improvement Released", {"topic": "product"})
    yield from _bought("ivan", 150.2, 170.2, 190.2)
    yield _did("ivan", 218.2, "Product Reviewed", rating=1, scale_max=5)


def on_points() -> Iterator[Said]:
    """Points earned and forgotten; spent; returned; and a fraud: bought, spent, and returned."""
    yield from _bought("lena", 12.5, paid=180.0)
    yield from _bought("leo", 12.6, paid=180.0)
    yield _did("leo", 40.6, "Points Redeemed", redemption_id="r-1", points=180)
    yield from _bought("fred", 12.7, paid=180.0)
    yield _refunded("fred", 12.7, 20.7)
    yield from _bought("fay", 12.8, paid=400.0)
    yield _did("fay", 30.8, "Points Redeemed", redemption_id="r-2", points=400)
    yield _refunded("fay", 12.8, 35.8)
    yield from _bought("fay", 60.8, paid=300.0)


def people() -> Iterator[Said]:
    """Visitors who log in and who do not; two tablets that many share; a merge that was wrong."""
    yield from (_page("anon-1", 90.5), _page("anon-1", 91.5, user="lou"), _page("anon-2", 90.5))
    for tablet in ("tablet-1", "tablet-2"):
        for number in range(6):
            yield _page(tablet, 100.1 + number, user=f"{tablet}-user-{number}", channel="store")
    yield from _bought("mia", 110.1, 120.1)
    yield from _bought("max", 110.2, 121.2)
    yield _did("mia", 130.5, "Customer Merged", from_user_id="max")
    yield _did("mia", 140.5, "Customer Split", id="max")


def dear() -> Iterator[Said]:
    """Customers who deserve a call, for what they spend and owe, how they come, or what they
    did.
    """
    yield from _bought("kate", *_every(6.0, 30.6, DAYS), paid=200.0)
    yield _answered("kate", 60.5, 10)
    yield _did("kate", 61.5, "Credit Assessed", score=90)
    yield _did("kate", 300.5, "Credit Assessed", score=10)
    # One moves from the web to a social network; one is only there now and then.
    yield from (*_bought("shana", 101.6), *_bought("sid", 101.7))
    for day in _every(2.0, 100.5, 130):
        yield Said(day, "page", {}, user="shana", channel="web")
        yield Said(day, "page", {}, user="sid", channel="web")
    for day in _every(1.0, 135.5, 200):
        yield Said(day, "page", {}, user="shana", channel="social")
        yield Said(day, "page", {}, user="sid", channel="social" if day < 139 else "web")
    # Came to an event, and to none in the year after it.
    yield from _bought("remy", *_every(30.0, 10.9, DAYS))
    yield _did("remy", 25.5, "Event Attended", event_type="salon")
    yield _answered("remy", 26.5, 8)


ERASED = {"eli": "DELETE_ONLY", "eva": "SUPPRESS_WITH_DELETE", "emil": "DELETE_ONLY"}


def erased() -> Iterator[Said]:
    for number, (who, mode) in enumerate(ERASED.items()):
        yield from _bought(who, 60.1 + number, 70.1 + number)
        yield _did(who, 150.5 + number, "User Erase Requested", mode=mode)
    # Eva is suppressed, so nothing may come again; of Emil something may.
    yield from _bought("eva", 200.1)
    yield from _bought("emil", 200.2)


def others() -> Iterator[Said]:
    """Costs, a downloaded paper, a customer who does nothing, a till that is offline for a
    while.
    """
    for month in range(0, DAYS, 30):
        said = {"channel": "web", "amount": 300.0, "currency": "EUR"}
        yield Said(month + 0.3, "Campaign Cost", said)
    yield _did("dana", 160.5, "Asset Downloaded", channel="web")
    yield _did("mute", 160.6, "Email Delivered", email_id="m-1")
    # For nine days the store sends nothing, and then everything at once: too late.
    for number in range(4):
        said = {"order_id": f"till-{number}", "revenue": 20.0, "currency": "EUR"}
        late = Said(400.4 + number, "Order Completed", said, user=f"till-{number}", channel="store")
        yield late._replace(sent_day=409.5)


def cast() -> list[Said]:
    """Everything they do, in the order in which it is sent."""
    said: Iterable[Said] = (
        *shoppers(),
        *bargain_hunters(),
        *in_the_cart(),
        *who_asked(),
        *who_answered(),
        *who_wants_no_more(),
        *who_ran_into_something(),
        *on_points(),
        *people(),
        *dear(),
        *erased(),
        *others(),
    )
    return sorted(said, key=lambda one: one.arrives_day)
