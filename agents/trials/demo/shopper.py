"""One simulated customer: hidden traits, and the events they lead to.

Purchases follow BG/NBD (Fader, Hardie & Lee 2005): exponential gaps at a gamma-distributed rate,
and after each purchase a beta-distributed chance of leaving without a word. Bad support raises that
chance. Customers who have left still visit for a while, less and less.
"""

from agents.trials.demo.agenda import Agenda, Properties
from agents.trials.demo.goods import ShopProduct, choose_product, choose_products, price
from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from config.topics import CLICKSTREAM, FEEDBACK, SUPPORT, TRANSACTIONS

_CHANNELS = ("web", "app", "store", "social", "phone")
_CHANNEL_WEIGHTS = (50, 30, 10, 6, 4)
_ONLINE = frozenset(("web", "app", "social"))
_SLA_HOURS = {"urgent": 24, "high": 36, "normal": 48, "low": 72}
_COMPLAINTS = ("delivery", "return", "product", "payment")
_CAMPAIGNS = ("news", "news", "coupon")


class Shopper:
    """A customer from the first visit on; ``at_ms`` is when a method's events happen."""

    def __init__(self, agenda: Agenda, customer_id: str) -> None:
        rng = agenda.rng
        self.agenda, self.rng, self.id = agenda, rng, customer_id
        self.purchases_per_day = rng.gammavariate(2.0, 0.0175)
        self.leaving_chance = rng.betavariate(0.8, 12.0)
        self.price_sensitivity = rng.betavariate(2.0, 3.0)
        self.visits_per_day = 0.02 + self.purchases_per_day * rng.gammavariate(2.0, 1.3)
        self.price_index = rng.gauss(62 - 24 * self.price_sensitivity, 14)
        self.channel = rng.choices(_CHANNELS, _CHANNEL_WEIGHTS)[0]
        self.hour, self.weekday = rng.uniform(8, 21), rng.randrange(7)
        self.reads_mail = rng.betavariate(2.0, 4.0)
        self.satisfaction = rng.betavariate(6.0, 2.0)
        self.left_at_ms: int | None = None

    # A customer's life

    def arrive(self, at_ms: int) -> None:
        identify = {"type": "identify", "traits": {}}
        self.agenda.send(CLICKSTREAM, self.id, at_ms, identify, channel=self.channel)
        if self.rng.random() < 0.6:
            self.check_out(at_ms)
        else:
            self.browse(at_ms, self.online_channel())
        self.plan_purchase(at_ms)
        self.plan_visit(at_ms)
        self.plan_mail(at_ms)

    def visit(self, at_ms: int) -> None:
        """Look around; often fill a cart and leave it. Some come back for it."""
        channel = self.online_channel()
        clicked_ms = self.browse(at_ms, channel)
        if self.rng.random() < 0.25:
            clicked_ms, _ = self.fill_cart(clicked_ms, channel)
            if self.rng.random() < 0.2:
                back_ms = clicked_ms + int(self.rng.uniform(1, 48) * HOUR_MS)
                self.agenda.plan(back_ms, self.check_out)
        self.plan_visit(at_ms)

    def purchase(self, at_ms: int) -> None:
        if self.left_at_ms is None:
            self.check_out(at_ms)
            self.plan_purchase(at_ms)

    def check_out(self, at_ms: int, coupon: str | None = None) -> None:
        """Place an order, then perhaps return it, complain, or never come back."""
        if self.left_at_ms is not None:
            # The customer left after this was planned.
            return
        channel = self.usual_channel()
        if channel in _ONLINE:
            at_ms, products = self.fill_cart(self.browse(at_ms, channel), channel)
            at_ms = self.click(at_ms, "Checkout Started", {"products": products}, channel)
        else:
            products = choose_products(self.rng, self.price_index)
        self.order(at_ms, products, coupon, channel)
        if self.rng.random() < 0.12:
            self.agenda.plan(at_ms + self.days_ms(0.5, 6), self.complain)
        if self.rng.random() < 0.06:
            self.agenda.plan(at_ms + self.days_ms(1, 5), self.answer_nps)
        if self.rng.random() < self.leaving_chance:
            self.leave(at_ms)

    def leave(self, at_ms: int) -> None:
        """Stop buying, without a word."""
        if self.left_at_ms is None:
            self.left_at_ms = at_ms

    def disappoint(self, at_ms: int) -> None:
        self.satisfaction *= 0.6
        self.leaving_chance += 0.3 * (1 - self.leaving_chance)
        if self.rng.random() < 0.25:
            self.leave(at_ms)

    # Its times and places

    def plan_purchase(self, at_ms: int) -> None:
        gap_days = self.rng.expovariate(self.purchases_per_day)
        self.agenda.plan(self.usual_time(at_ms, gap_days), self.purchase)

    def plan_visit(self, at_ms: int) -> None:
        rate = self.visits_per_day
        if self.left_at_ms is not None:
            rate *= 0.6 * 0.5 ** ((at_ms - self.left_at_ms) / (10 * DAY_MS))
        if rate > 0.002:
            self.agenda.plan(self.usual_time(at_ms, self.rng.expovariate(rate)), self.visit)

    def plan_mail(self, at_ms: int) -> None:
        self.agenda.plan(self.usual_time(at_ms, self.rng.uniform(14, 28)), self.get_mail)

    def usual_time(self, after_ms: int, gap_days: float) -> int:
        """About ``gap_days`` later, near this customer's usual hour and often on their weekday."""
        day = int(after_ms / DAY_MS + gap_days)
        if self.rng.random() < 0.2:
            day += (self.weekday - day) % 7
        at_ms = day * DAY_MS + int(self.rng.gauss(self.hour, 1.5) * HOUR_MS)
        return max(at_ms, after_ms + 30 * MINUTE_MS)

    def days_ms(self, low: float, high: float) -> int:
        return int(self.rng.uniform(low, high) * DAY_MS)

    def usual_channel(self) -> str:
        if self.rng.random() < 0.85:
            return self.channel
        return self.rng.choices(_CHANNELS, _CHANNEL_WEIGHTS)[0]

    def online_channel(self) -> str:
        return self.channel if self.channel in _ONLINE else "web"

    # On the site

    def browse(self, at_ms: int, channel: str) -> int:
        """Open a page, perhaps look at products; return when the next click may be."""
        kind = "screen" if channel == "app" else "page"
        page = {"type": kind, "name": "Home", "properties": {"path": "/"}}
        self.agenda.send(CLICKSTREAM, self.id, at_ms, page, channel=channel)
        at_ms += self.pause_ms()
        while self.rng.random() < 0.25:
            at_ms = self.click(
                at_ms, "Product Viewed", choose_product(self.rng, self.price_index), channel
            )
        return at_ms

    def fill_cart(self, at_ms: int, channel: str) -> tuple[int, list[ShopProduct]]:
        products = choose_products(self.rng, self.price_index)
        for product in products:
            if self.rng.random() < 0.3:
                at_ms = self.click(at_ms, "Product Viewed", product, channel)
            at_ms = self.click(at_ms, "Product Added", product, channel)
        if self.rng.random() < 0.1:
            other = choose_product(self.rng, self.price_index)
            at_ms = self.click(at_ms, "Product Added", other, channel)
            at_ms = self.click(at_ms, "Product Removed", other, channel)
        if self.rng.random() < 0.4:
            at_ms = self.click(at_ms, "Cart Viewed", {"products": products}, channel)
        return at_ms, products

    def click(self, at_ms: int, event: str, properties: Properties, channel: str) -> int:
        self.track(CLICKSTREAM, at_ms, event, properties, channel)
        return at_ms + self.pause_ms()

    def pause_ms(self) -> int:
        return 3000 + int(self.rng.expovariate(1 / 22_000))

    def track(
        self, topic: str, at_ms: int, event: str, properties: Properties, channel: str
    ) -> None:
        what = {"type": "track", "event": event, "properties": properties}
        self.agenda.send(topic, self.id, at_ms, what, channel=channel)

    # What is bought

    def order(
        self, at_ms: int, products: list[ShopProduct], coupon: str | None, channel: str
    ) -> None:
        """Complete an order; a few are cancelled within a day or refunded within a fortnight."""
        if coupon is None and self.rng.random() < 0.2 * self.price_sensitivity:
            coupon = "WELCOME10"
        order = price(self.agenda.number("o"), products, coupon, delivered=channel != "store")
        order_id = order["order_id"]
        if coupon is not None:
            applied = {"order_id": order_id, "coupon_id": coupon, "discount": order["discount"]}
            self.track(TRANSACTIONS, at_ms, "Coupon Applied", applied, channel)
            at_ms += self.pause_ms()
        self.track(TRANSACTIONS, at_ms, "Order Completed", order, channel)
        fate = self.rng.random()
        if fate < 0.015:
            at_ms += self.days_ms(0.05, 1)
            self.track(TRANSACTIONS, at_ms, "Order Cancelled", order, channel)
        elif fate < 0.055:
            at_ms += self.days_ms(2, 14)
            refund: dict[str, object] = {"order_id": order_id}
            if len(products) > 1:
                # A partial refund states its amount; without an amount it is the whole order.
                refund |= {"total": products[0]["price"], "currency": "EUR"}
            self.track(TRANSACTIONS, at_ms, "Order Refunded", refund, channel)

    # When something is wrong

    def complain(self, at_ms: int) -> None:
        """Open a ticket; some are solved late, some never, and either disappoints."""
        ticket_id = self.agenda.number("t")
        priority = self.rng.choices(tuple(_SLA_HOURS), (5, 15, 60, 20))[0]
        sla_ms = _SLA_HOURS[priority] * HOUR_MS
        channel = "phone" if self.channel in ("phone", "store") else "web"
        category = self.rng.choice(_COMPLAINTS)
        opened: dict[str, object] = {
            "ticket_id": ticket_id,
            "category": category,
            "priority": priority,
        }
        self.track(SUPPORT, at_ms, "Ticket Opened", opened, channel)
        if self.rng.random() < 0.12:
            self.agenda.plan(at_ms + sla_ms, self.disappoint)
            return
        took_ms = int(self.rng.lognormvariate(2.9, 1.0) * HOUR_MS)
        author = "agent"
        for reply in range(1, self.rng.randint(1, 3) + 1):
            replied: dict[str, object] = {"ticket_id": ticket_id, "author": author}
            self.track(SUPPORT, at_ms + took_ms * reply // 4, "Ticket Replied", replied, channel)
            author = "customer" if author == "agent" else "agent"
        at_ms += took_ms
        resolution = self.rng.choice(("refunded", "replaced", "explained"))
        solved: dict[str, object] = {"ticket_id": ticket_id, "resolution": resolution}
        self.track(SUPPORT, at_ms, "Ticket Solved", solved, channel)
        self.judge(at_ms, ticket_id, took_ms / sla_ms)

    def judge(self, at_ms: int, ticket_id: str, slowness: float) -> None:
        """Remember how the ticket went, and usually rate it; a slowness of 1 just meets the SLA."""
        felt = 2 + 4 * self.satisfaction - 1.5 * slowness + self.rng.gauss(0, 0.7)
        score = min(max(round(felt), 1), 5)
        at_ms += self.days_ms(0.02, 1)
        if score <= 2:
            self.agenda.plan(at_ms, self.disappoint)
        if self.rng.random() < 0.6:
            self.answer(at_ms, {"kind": "csat", "score": score, "ticket_id": ticket_id}, (1, 5))

    def answer_nps(self, at_ms: int) -> None:
        score = min(max(round(12 * self.satisfaction + self.rng.gauss(-0.5, 1)), 0), 10)
        self.answer(at_ms, {"kind": "nps", "score": score}, (0, 10))

    def answer(self, at_ms: int, given: Properties, scale: tuple[int, int]) -> None:
        survey: dict[str, object] = {"survey_id": self.agenda.number("s"), **given}
        survey |= {"scale_min": scale[0], "scale_max": scale[1], "higher_is_better": True}
        self.track(SUPPORT, at_ms, "Survey Responded", survey, "email")

    # Mail

    def get_mail(self, at_ms: int) -> None:
        """Customers who have left seldom open a mail, and are the first to unsubscribe."""
        left = self.left_at_ms is not None
        campaign = self.rng.choice(_CAMPAIGNS)
        mail: dict[str, object] = {"email_id": self.agenda.number("m"), "campaign_name": campaign}
        self.track(FEEDBACK, at_ms, "Email Delivered", mail, "email")
        if self.rng.random() < (0.04 if left else 0.004):
            self.track(FEEDBACK, at_ms + HOUR_MS, "Unsubscribed", mail, "email")
            return
        self.plan_mail(at_ms)
        if self.rng.random() > self.reads_mail * (0.15 if left else 1):
            return
        opened_ms = at_ms + self.days_ms(0.01, 1)
        self.track(FEEDBACK, opened_ms, "Email Opened", mail, "email")
        interest = self.price_sensitivity if campaign == "coupon" else 0.1
        if self.rng.random() < interest:
            clicked_ms = opened_ms + self.pause_ms()
            self.track(FEEDBACK, clicked_ms, "Email Link Clicked", mail, "email")
            if campaign == "coupon":
                self.agenda.plan(clicked_ms + self.pause_ms(), self.redeem)

    def redeem(self, at_ms: int) -> None:
        """A coupon brings forward a purchase that might not have come."""
        if self.rng.random() < 0.5:
            self.check_out(at_ms, "COME15")
