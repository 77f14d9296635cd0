"""Lists of customers: the possible queries, and the answer as a table and as CSV."""

import csv
import io
from typing import NamedTuple

from models.customer_list import CustomerList

#: First characters of cells that a spreadsheet would run as a formula.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


class ListExample(NamedTuple):
    """An example of a useful list."""

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
    """A query for a list."""

    where: str = ""
    by: str = ""
    show: str = ""

    @property
    def is_asked(self) -> bool:
        return any(self)

    def query(self, top: int, cursor: str = "") -> dict[str, str]:
        """The query as sent to a worker. It accepts missing partitions, which the page names."""
        wanted = {**self._asdict(), "top": str(top), "cursor": cursor, "partial": "true"}
        return {name: value for name, value in wanted.items() if value}


Cell = float | str | None


class ListView(NamedTuple):
    """A list as a table: a customer, and a cell for each column. ``missing``: partitions that did
    not answer, with the reason.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    words: str
    next: str
    missing: tuple[str, ...]


def list_view(found: CustomerList, by: str = "") -> ListView:
    """The table; ``by``: the value it is ordered by, shown as the first column."""
    has_number = any(one.by is not None for one in found.customers)
    facts = [name for name in (found.customers[0].facts if found.customers else ()) if name != by]
    columns = (*([by or "by"] if has_number else []), *facts)
    rows = tuple(
        (one.user_id, (*([one.by] if has_number else []), *(one.facts[name] for name in facts)))
        for one in found.customers
    )
    customers = sum(one.customers for one in found.partitions)
    missing = tuple(f"partition {one.partition}: {one.why}" for one in found.unanswered)
    words = f"{found.matched:,} of {customers:,} customers"
    return ListView(columns, rows, words, found.next or "", missing)


def shown(cell: Cell) -> str:
    """A cell as a page shows it: amounts to the cent, values below 1 to three decimal places."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if cell == round(cell):
        return f"{cell:,.0f}"
    return f"{cell:.3f}" if abs(cell) < 1 else f"{cell:,.2f}"


def list_as_csv(view: ListView) -> str:
    """The table as CSV. A cell that a spreadsheet would run as a formula is prefixed with an
    apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["customer", *view.columns])
    writer.writerows([[_harmless(cell) for cell in (who, *cells)] for who, cells in view.rows])
    return text.getvalue()


def _harmless(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA_SIGNS) and not _is_number(cell) else cell
    return f"{cell:.0f}" if cell == round(cell) else str(cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
