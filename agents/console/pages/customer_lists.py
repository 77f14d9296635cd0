"""Lists of customers: what may be asked, and the answer as a table and as CSV."""

import csv
import io
from typing import NamedTuple

from models.customer_list import CustomerList

#: What a spreadsheet would take for a formula.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


class ListExample(NamedTuple):
    """A list that is worth a look."""

    name: str
    where: str
    by: str
    show: str


EXAMPLES = (
    ListExample("At risk, and worth keeping", "churn_probability >= .7 and net_365d > 500",
            "value_at_stake", "segment"),
    ListExample("Overdue by their own rhythm", "orders >= 3 and expected_order_days < -7",
            "net_365d", "typical_gap_days,silent_days"),
    ListExample("Good customers who buy less", "silent_churn >= .5 and orders_365d >= 4",
            "silent_churn", "segment,net_365d"),
    ListExample("Carts that wait", "cart_items > 0 and cart_idle_hours > 1", "cart_value",
            "cart_items"),
    ListExample("Waiting for help", "open_tickets > 0", "value_at_stake", "segment"),
    ListExample("The most valuable", "orders >= 2", "clv", "segment,orders"),
    ListExample("VIPs whom nobody called", 'tier == "vip" and not uncontacted_days < 30',
            "net_365d", "uncontacted_days,channel_preferred,best_hour"),
    ListExample("Key customers", "key_customer == 1", "key_score",
            "key_known,credit,relationship"),
)  # fmt: skip


class Asked(NamedTuple):
    """A list that is asked for."""

    where: str = ""
    by: str = ""
    show: str = ""

    @property
    def is_asked(self) -> bool:
        return any(self)

    def query(self, top: int, cursor: str = "") -> dict[str, str]:
        """The question as a worker is asked it; what partitions are missing is told."""
        wanted = {**self._asdict(), "top": str(top), "cursor": cursor, "partial": "true"}
        return {name: value for name, value in wanted.items() if value}


class ListView(NamedTuple):
    """A list as a table: a customer, and a cell for each column. ``missing``: partitions that did
    not answer, and why.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    words: str
    next: str
    missing: tuple[str, ...]


def list_view(found: CustomerList) -> ListView:
    """The table."""
    has_number = any(one.by is not None for one in found.customers)
    facts = list(found.customers[0].facts) if found.customers else []
    columns = (*(["by"] if has_number else []), *facts)
    rows = []
    for one in found.customers:
        cells = [_text(one.by)] if has_number else []
        cells += [_text(value) for value in one.facts.values()]
        rows.append((one.user_id, tuple(cells)))
    customers = sum(one.customers for one in found.partitions)
    missing = tuple(f"partition {one.partition}: {one.why}" for one in found.unanswered)
    words = f"{found.matched:,} of {customers:,} customers"
    return ListView(columns, tuple(rows), words, found.next or "", missing)


def list_as_csv(view: ListView) -> str:
    """The table as CSV. A cell that a spreadsheet would run has a quotation mark before it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["customer", *view.columns])
    writer.writerows([[_harmless(cell) for cell in (who, *cells)] for who, cells in view.rows])
    return text.getvalue()


def _harmless(cell: str) -> str:
    try:
        float(cell)
    except ValueError:
        return f"'{cell}" if cell.startswith(_FORMULA_SIGNS) else cell
    return cell


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.6g}"
