"""The log of a small shop at random: some months of a few customers, with every kind of event that
value and lifecycle listen to.

Many events are whole hours apart, so that deadlines and events coincide. Amounts are whole numbers
of hundredths, so that they can be told in any currency.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Any

import orjson

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from models.events.times import iso
from tests.models.lines import START_MS, TYPES, watermark

CUSTOMERS = ("ada", "bob", "cleo", "dora")
CHANNELS = ("web", "app", "store", "search")
DAYS = 260
#: Properties that are amounts of money.
AMOUNTS = frozenset({"revenue", "total", "price", "discount", "amount", "shipping", "tax"})
_AMOUNTS = (0.0, 4.99, 12.5, 40.0, 60.0, 149.99, 800.0)
_CATEGORIES = ("books", "toys", "never heard of")
_COMMON = ("page", "Product Viewed", "Products Searched", "Product Added", "Checkout Started")
_RARE = (
    *("Product Shared", "Cart Shared", "Product Added to Wishlist", "Lead Captured"),
    *("Asset Downloaded", "Referral Sent", "Referral Converted", "Event Attended"),
    *("Coupon Entered", "Coupon Denied", "Payment Failed", "Payment Info Entered", "Signed In"),
    *("Subscription Started", "Subscription Renewed", "Subscription Cancelled", "Email Opened"),
    *("Email Delivered", "Email Link Clicked", "Survey Dismissed", "Product Removed"),
)

#: An event, as JSON.
Said = dict[str, Any]


class Shop:
    """Draws a log of so many ``days`` from ``rng``."""

    def __init__(
        self, rng: Random, *, days: int = DAYS, customers: Sequence[str] = CUSTOMERS
    ) -> None:
        self._rng = rng
        self._days = days
        self._customers = customers
        self._number = 0

    def events(self) -> list[Said]:
        """Everything that happened, in the order of time."""
        events = [one for customer in self._customers for one in self._life(customer)]
        events += self._of_nobody()
        return sorted(events, key=time_of)

    def _life(self, customer: str) -> Iterator[Said]:
        rng, day = self._rng, self._rng.uniform(0, 30)
        yield self._said(customer, at(int(day)), "identify", {"age": rng.choice((12, 20, 34, 70))})
        rhythm, ends = rng.choice((3, 7, 30, 45, 90)), rng.choice((90, 180, DAYS))
        while day < min(self._days, ends) - 1:
            yield from self._visit(customer, day)
            exact = rng.random() < 0.3
            day += rhythm if exact else rhythm * rng.uniform(0.5, 1.5)

    def _visit(self, customer: str, day: float) -> Iterator[Said]:
        rng = self._rng
        at_ms = at(int(day)) + rng.choice((0, 9, 10, 12, 23)) * HOUR_MS
        at_ms += rng.choice((0, 0, 1, 7 * MINUTE_MS, HOUR_MS - 1))
        channel = rng.choice(CHANNELS) if rng.random() < 0.4 else CHANNELS[len(customer) % 4]
        for name in rng.sample(_COMMON, rng.randrange(4)):
            yield self._said(customer, at_ms, name, self._about(name), channel)
            at_ms += rng.choice((0, 1_000, 3 * MINUTE_MS))
        if rng.random() < 0.7:
            yield from self._order(customer, at_ms, channel)
        if rng.random() < 0.5:
            name = rng.choice(_RARE)
            yield self._said(customer, at_ms + HOUR_MS, name, self._about(name), channel)
        for tell, chance in (
            (self._answer, 0.3),
            (self._ticket, 0.2),
            (self._invoice, 0.25),
            (self._points, 0.2),
            (self._choice, 0.1),
            (self._contact, 0.3),
        ):
            if rng.random() < chance:
                yield from tell(customer, at_ms + rng.choice((0, HOUR_MS, 30 * HOUR_MS)))

    def _about(self, name: str) -> dict[str, Any]:
        if name in ("Product Added", "Product Removed", "Product Viewed"):
            return {"product_id": self._rng.choice("PQ"), "price": self._amount(), "quantity": 2}
        if name == "Subscription Cancelled":
            return {"reason": self._rng.choice(("too_expensive", "switched_service", "quality"))}
        return {}

    def _amount(self) -> float:
        return self._rng.choice(_AMOUNTS)

    def _order(self, customer: str, at_ms: int, channel: str) -> Iterator[Said]:
        rng, order = self._rng, f"{customer} {at_ms} {self._number}"
        products = [
            {"product_id": key, "price": self._amount(), "quantity": rng.choice((1, 2))}
            | {"category": rng.choice(_CATEGORIES)}
            for key in "PQ"[: rng.randrange(3)]
        ]
        said: dict[str, Any] = {"order_id": order, "revenue": self._amount(), "tax": 1.5}
        said |= {"products": products} if rng.random() < 0.6 else {}
        said |= {"discount": self._amount()} if rng.random() < 0.4 else {}
        said |= {"coupon": "LESS"} if rng.random() < 0.2 else {}
        said |= {"total": said["revenue"] + 6.5, "shipping": 5.0} if rng.random() < 0.4 else {}
        yield self._said(customer, at_ms, "Order Completed", said, channel)
        after_ms = at_ms + rng.choice((0, 1, HOUR_MS, DAY_MS, 20 * DAY_MS))
        chance = rng.random()
        if chance < 0.1:
            changed = {"order_id": order, "revenue": self._amount(), "discount": 5.0}
            yield self._said(customer, after_ms, "Order Updated", changed, channel)
        elif chance < 0.2:
            back = {"order_id": order, "amount": self._amount()}
            yield self._said(customer, after_ms, "Order Refunded", back)
        elif chance < 0.25:
            back = {"order_id": order, **({"products": products[:1]} if products else {})}
            yield self._said(customer, after_ms, "Order Refunded", back)
        elif chance < 0.35:
            name = rng.choice(("Order Refunded", "Order Cancelled"))
            yield self._said(customer, after_ms, name, {"order_id": order})

    def _answer(self, customer: str, at_ms: int) -> Iterator[Said]:
        rng = self._rng
        kind, most = rng.choice((("nps", 10), ("csat", 5), ("ces", 7)))
        score = rng.choice((1, most // 2, most - 1, most))
        answer = {"kind": kind, "score": score, "touchpoint": rng.choice(("delivery", "odd"))}
        answer |= {"higher_is_better": True} if kind == "ces" else {}
        yield self._said(customer, at_ms, "Survey Requested", {"kind": kind})
        yield self._said(customer, at_ms + HOUR_MS, "Survey Responded", answer)
        if rng.random() < 0.5:
            review = {"rating": rng.choice((1, 4, 5)), "scale_max": 5}
            yield self._said(customer, at_ms + 1, "Product Reviewed", review)

    def _ticket(self, customer: str, at_ms: int) -> Iterator[Said]:
        rng, ticket = self._rng, {"ticket_id": f"{customer} {at_ms}"}
        name = rng.choice(("Ticket Opened", "Complaint Filed"))
        about = {"category": rng.choice(("billing", "damaged")), "priority": "high"}
        yield self._said(customer, at_ms, name, {**ticket, **about})
        for name in rng.sample(("Ticket Replied", "Ticket Escalated"), rng.randrange(3)):
            at_ms += rng.choice((HOUR_MS, 8 * HOUR_MS))
            yield self._said(customer, at_ms, name, {**ticket, "author": "agent"})
        if rng.random() < 0.8:
            at_ms += rng.choice((HOUR_MS, 3 * DAY_MS, 14 * DAY_MS))
            yield self._said(customer, at_ms, "Ticket Solved", ticket)

    def _invoice(self, customer: str, at_ms: int) -> Iterator[Said]:
        rng, amount = self._rng, self._amount()
        if rng.random() < 0.2:
            score = {"score": rng.choice((10, 60, 90))}
            yield self._said(customer, at_ms, "Credit Assessed", score)
        invoice: dict[str, Any] = {"invoice_id": f"{customer} {at_ms}", "amount": amount}
        due_ms = at_ms + rng.choice((7, 14)) * DAY_MS
        yield self._said(customer, at_ms, "Invoice Issued", {**invoice, "due_at": iso(due_ms)})
        if rng.random() < 0.8:
            paid_ms = due_ms + rng.choice((-3 * DAY_MS, 0, 1, 5 * DAY_MS))
            invoice |= {"amount": round(amount / 2, 2)} if rng.random() < 0.3 else {}
            yield self._said(customer, paid_ms, "Invoice Paid", invoice)

    def _points(self, customer: str, at_ms: int) -> Iterator[Said]:
        points = self._rng.choice((5, 20, 100))
        if self._rng.random() < 0.5:
            said = {"redemption_id": f"{customer} {at_ms}", "points": points}
            yield self._said(customer, at_ms, "Points Redeemed", said)
        else:
            yield self._said(customer, at_ms, "Points Adjusted", {"points": points})

    def _choice(self, customer: str, at_ms: int) -> Iterator[Said]:
        purpose = {"purpose": self._rng.choice(("marketing", "analytics", "personalisation"))}
        yield self._said(customer, at_ms, "Consent Revoked", purpose)
        if self._rng.random() < 0.8:
            later_ms = at_ms + self._rng.choice((1, DAY_MS, 40 * DAY_MS))
            yield self._said(customer, later_ms, "Consent Granted", purpose)

    def _contact(self, customer: str, at_ms: int) -> Iterator[Said]:
        name = self._rng.choice(("Action Delivered", "Action Clicked", "Action Accepted"))
        yield self._said(customer, at_ms, name, {"decision_id": f"of another system {at_ms}"})

    def _of_nobody(self) -> Iterator[Said]:
        rng = self._rng
        for _ in range(rng.randrange(6)):
            cost = {"channel": rng.choice(CHANNELS), "amount": self._amount()}
            cost |= {"period_days": rng.choice((1, 7, 30)), "purpose": rng.choice(_PURPOSES)}
            yield self._said(None, at(rng.randrange(self._days)), "Campaign Cost", cost)
        for topic in rng.sample(("product", "service", "price"), rng.randrange(3)):
            day = rng.randrange(self._days)
            yield self._said(None, at(day), "Improvement Released", {"topic": topic})

    def _said(
        self,
        customer: str | None,
        at_ms: int,
        name: str,
        said: dict[str, Any],
        channel: str | None = None,
    ) -> Said:
        self._number += 1
        event: Said = {"type": name} if name in TYPES else {"type": "track", "event": name}
        event |= {"timestamp": iso(at_ms), "messageId": f"m-{self._number}"}
        event["traits" if name == "identify" else "properties"] = said
        if customer is not None:
            event["userId"] = customer
        if channel is not None:
            event["context"] = {"channel": channel}
        return event


_PURPOSES = ("acquisition", "retention")


def at(day: int) -> int:
    return START_MS + day * DAY_MS


def time_of(event: Said) -> int:
    return ms_of(event["timestamp"])


def ms_of(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def in_days(events: Sequence[Said], end_ms: int, every_ms: int = DAY_MS) -> list[bytes]:
    """The events, with a watermark a day."""
    log: list[bytes] = []
    next_ms = (time_of(events[0]) // every_ms + 1) * every_ms if events else end_ms
    for event in events:
        while next_ms <= time_of(event):
            log.append(watermark(next_ms))
            next_ms += every_ms
        log.append(orjson.dumps(event))
    return [*log, watermark(end_ms)]
