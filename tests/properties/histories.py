"""Random lives of customers: every kind of event, with ids and moments that coincide."""

from random import Random
from typing import Any

import orjson
from hypothesis import strategies as st

from config.duration import DAY_MS
from models.admission import decode_event
from models.customer.contacts import OUTCOMES
from models.customer.registry import PARTS, VERSIONS
from models.customer.row import Row, decode_row, encode_row
from models.customer.row_layout import check_row, place_of
from models.events.event import Source
from models.events.times import iso
from models.events.wire import encode_event
from models.learning.snapshot import Snapshot
from tests.models.lines import MINUTE_MS, START_MS, line

#: Within the lateness, so that every event counts, however late.
SPAN_MINUTES = 70 * 60
CUSTOMERS = ("ada", "bob", "eve")

# Few ids, so that several events concern one thing; few amounts, so that some are equal.
amounts = st.sampled_from([0.0, 0.01, 5.0, 19.99, 100.0, 499.5])
order_ids = st.sampled_from(["O-1", "O-2", "O-3"])
ticket_ids = st.sampled_from(["T-1", "T-2"])
product_ids = st.sampled_from(["P-1", "P-2", "P-3"])
channels = st.sampled_from(
    [None, "web", "app", "store", "a channel with quite a long name of its own"]
)


def _said(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(fields))


def _cart(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    quantity = st.sampled_from([0.0, 1.0, 3.0])
    return _said(name, product_id=product_ids, price=amounts, quantity=quantity)


_products = st.lists(
    st.fixed_dictionaries({"price": amounts, "product_id": product_ids}), max_size=2
)
_refund = st.one_of(
    st.fixed_dictionaries({"order_id": order_ids}),
    st.fixed_dictionaries({"order_id": order_ids, "total": amounts}),
    st.fixed_dictionaries({"order_id": order_ids, "products": _products}),
)
_surveys = st.one_of(
    st.fixed_dictionaries({"kind": st.just("nps"), "score": st.integers(0, 10)}),
    st.fixed_dictionaries(
        {"kind": st.just("csat"), "score": st.integers(1, 5), "higher_is_better": st.booleans()}
    ),
    st.fixed_dictionaries(
        {"kind": st.just("ces"), "score": st.integers(1, 7), "higher_is_better": st.booleans()}
    ),
)
_priorities = st.sampled_from(["urgent", "high", "normal", "low"])
_quiet = ["page", "screen", "Product Viewed", "Cart Viewed", "Checkout Started", "Email Opened"]
_passive = ["Email Delivered", "identify", "Confetti Thrown", "Coupon Applied", "Signed In"]

#: (name, properties) of any event.
said = st.one_of(
    st.tuples(st.sampled_from(_quiet + _passive), st.just({})),
    _cart("Product Added"),
    _cart("Product Removed"),
    _said("Order Completed", order_id=order_ids, revenue=amounts),
    _said("Order Completed", order_id=order_ids, total=amounts),
    _said("Order Updated", order_id=order_ids, revenue=amounts),
    st.tuples(st.just("Order Refunded"), _refund),
    _said("Order Cancelled", order_id=order_ids),
    _said("Unsubscribed", list_id=st.sampled_from(["", "news"])),
    _said("Consent Granted", purpose=st.sampled_from(["marketing", "analytics"])),
    _said("Consent Revoked", purpose=st.sampled_from(["personalisation", "analytics"])),
    _said("Ticket Opened", ticket_id=ticket_ids, priority=_priorities),
    _said("Ticket Opened", ticket_id=ticket_ids, category=st.sampled_from(["Billing", "other"])),
    _said("Ticket Replied", ticket_id=ticket_ids, author=st.sampled_from(["agent", "customer"])),
    _said("Ticket Escalated", ticket_id=ticket_ids),
    _said("Ticket Reopened", ticket_id=ticket_ids),
    _said("Ticket Solved", ticket_id=ticket_ids),
    _said("Complaint Filed", ticket_id=ticket_ids, priority=_priorities),
    st.tuples(st.just("Survey Responded"), _surveys),
    _said("Product Reviewed", rating=st.sampled_from([1, 2.0, "1", 5, "good", None])),
    _said("Subscription Cancelled", reason=st.sampled_from(["too_expensive", "I am Ada", None])),
    st.tuples(st.sampled_from(["Coupon Denied", "Payment Failed"]), st.just({})),
    *(_said(name, decision_id=st.sampled_from(["d-1", "d-2"])) for name in OUTCOMES),
)


@st.composite
def histories(draw: st.DrawFn, *, size_max: int = 25) -> list[bytes]:
    """Events of three customers within the lateness, in the order of their times."""
    drawn = draw(
        st.lists(
            st.tuples(st.integers(0, SPAN_MINUTES), said, st.sampled_from(CUSTOMERS), channels),
            min_size=1,
            max_size=size_max,
        )
    )
    return [
        line(
            name,
            START_MS + minute * MINUTE_MS,
            customer=customer,
            message=f"m-{number}",
            channel=channel,
            properties=properties,
        )
        for number, (minute, (name, properties), customer, channel) in enumerate(
            sorted(drawn, key=lambda event: event[0])
        )
    ]


def _anything_said(rng: Random) -> tuple[str, dict[str, Any]]:
    """An event that often sets a timer."""
    name = rng.choice(
        ["Product Added"] * 3
        + ["Order Completed"] * 4
        + ["Ticket Opened", "Survey Responded"] * 2
        + ["Product Removed", "Cart Viewed", "page", "Email Delivered", "Ticket Replied"]
        + ["Ticket Solved", "Ticket Reopened", "Order Refunded", "Order Cancelled"]
        + ["Unsubscribed", "Consent Granted"]
    )
    match name.split()[0]:
        case "Product":
            return name, {"product_id": rng.choice("PQ"), "price": rng.choice([0.0, 5.0, 19.99])}
        case "Order":
            more = {"revenue": rng.choice([0.0, 5.0, 19.99])} if name == "Order Completed" else {}
            return name, {"order_id": f"O-{rng.randrange(9)}", **more}
        case "Ticket":
            return name, {"ticket_id": rng.choice("TU"), "priority": rng.choice(["urgent", "low"])}
        case "Survey":
            return name, {"kind": "nps", "score": rng.randint(0, 10)}
    return name, {}


def canonical_logs() -> st.SearchStrategy[list[bytes]]:
    # One seed mixes better than many small draws, most of which would be the simplest.
    return st.builds(canonical_log, st.integers(0, 2**64), st.integers(5, 60))


def canonical_log(seed: int, events: int) -> list[bytes]:
    """A partition of ``customer-events``: events over some months, some of them late, repeated or
    broken, between clock (or watermark) and model records.
    """
    rng = Random(seed)
    records: list[bytes] = []
    now_ms, model, offset = START_MS, 0, 0
    kind = rng.choice(["clock", "clock", "watermark"])
    for number in range(events):
        now_ms += rng.choice([1_000, MINUTE_MS, 40 * MINUTE_MS, DAY_MS, 9 * DAY_MS])
        late_ms = rng.choice([0, 0, 0, 1_000, 90 * MINUTE_MS, 2 * DAY_MS, 5 * DAY_MS])
        name, properties = _anything_said(rng)
        raw = line(
            name,
            max(now_ms - late_ms, START_MS),
            customer=rng.choice(CUSTOMERS),
            message=f"m-{number - rng.choice([0, 0, 0, 0, 1])}",
            properties=properties,
        )
        source = Source(topic="clickstream", partition=0, offset=offset, received_at=now_ms)
        records.append(encode_event(decode_event(raw, message_id="", source=source)))
        # When ingest repeats a record after a crash, it has the same source again.
        offset += rng.choice([1, 1, 1, 1, 0])
        if rng.random() < 0.6:
            behind_ms = rng.choice([MINUTE_MS, MINUTE_MS, 3 * DAY_MS])
            records.append(clock_record(now_ms - behind_ms, kind))
        if rng.random() < 0.1:
            model += 1
            records.append(orjson.dumps({"type": "model", "version": model, "sha256": f"{model}"}))
        if rng.random() < 0.05:
            records.append(b'{"type":"track","event":')
    records.append(clock_record(now_ms + rng.choice([0, DAY_MS, 100 * DAY_MS]), kind))
    return records


def clock_record(at_ms: int, kind: str = "clock") -> bytes:
    return orjson.dumps({"type": kind, "timestamp": iso(max(at_ms, 1))})


def no_models(version: int, _sha256: str) -> Snapshot:
    raise AssertionError(f"nothing adopts model {version}")


def assert_kept(row: Row) -> None:
    """The row survives storing and reading, and every part equals the one in memory."""
    content = encode_row(row)
    again = decode_row(content)
    assert check_row(content, VERSIONS).next_due_ms == row.next_due_ms
    assert content == encode_row(again)
    for part in PARTS:
        assert part.pack(row.read(part)) == part.pack(again.read(part))


class LiveRows:
    """Rows as a worker keeps them in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def get(self, customer: str) -> Row | None:
        return self.rows.get(customer)

    def put(self, customer: str, row: Row) -> None:
        self.rows[customer] = row

    def forget(self, customer: str) -> None:
        self.rows.pop(customer, None)

    def due(self) -> list[tuple[int, str]]:
        return [(row.next_due_ms, key) for key, row in self.rows.items() if row.next_due_ms]

    def applied(self) -> list[tuple[int, str]]:
        return [(row.applied, key) for key, row in self.rows.items()]


class StoredRows:
    """Rows as the changelog keeps them: bytes by customer."""

    def __init__(self, stored: dict[str, bytes] | None = None) -> None:
        self.stored = dict(stored or {})

    def get(self, customer: str) -> Row | None:
        content = self.stored.get(customer)
        return None if content is None else decode_row(content)

    def put(self, customer: str, row: Row) -> None:
        self.stored[customer] = encode_row(row)

    def forget(self, customer: str) -> None:
        """Does nothing: there are no rows in memory."""

    def remove(self, customer: str, _: int) -> None:
        self.stored.pop(customer, None)

    def due(self) -> list[tuple[int, str]]:
        times = ((place_of(packed).next_due_ms, one) for one, packed in self.stored.items())
        return [(due_ms, customer) for due_ms, customer in times if due_ms]

    def applied(self) -> list[tuple[int, str]]:
        return [(place_of(packed).applied, customer) for customer, packed in self.stored.items()]
