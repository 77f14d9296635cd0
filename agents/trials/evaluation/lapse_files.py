"""Readers for public files of purchases that are in no package."""

import csv
import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from agents.trials.evaluation.datasets import DataSet, PastOrder
from agents.trials.evaluation.failure import EvaluationFailed

_UCI = ("InvoiceNo", "InvoiceDate", "Quantity", "UnitPrice", "CustomerID")
_UCI_TIMES = ("%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M")
_RETAIL = ("customer_id", "trans_date", "tran_amount")


def uci(path: Path) -> DataSet:
    """UCI Online Retail: lines of invoices; lines with the same invoice number are one order.

    Returns (numbers that begin with C) and lines without a customer are left out. D. Chen (2015),
    UCI Machine Learning Repository.
    """
    times: dict[tuple[str, str], int] = {}
    sums: dict[tuple[str, str], int] = {}
    for number, row in _rows(path, _UCI):
        invoice, customer = row["InvoiceNo"], row["CustomerID"].removesuffix(".0")
        if not customer or invoice.startswith("C"):
            continue
        key = (invoice, customer)
        at_ms = _time(row["InvoiceDate"], _UCI_TIMES, path, number)
        times[key] = min(times.get(key, at_ms), at_ms)
        pence = _number(row["UnitPrice"], path, number) * 100
        sums[key] = sums.get(key, 0) + round(_number(row["Quantity"], path, number) * pence)
    orders = [
        PastOrder(at_ms, f"{invoice}-{customer}", customer, max(sums[invoice, customer], 0))
        for (invoice, customer), at_ms in times.items()
    ]
    return _data("uci", "UCI Online Retail", "GBP", orders, path)


def retail(path: Path) -> DataSet:
    """The file used by many tutorials on recency, frequency and money: one purchase per line, by
    day.
    """
    orders = []
    for number, row in _rows(path, _RETAIL):
        at_ms = _time(row["trans_date"], ("%d-%b-%y", "%Y-%m-%d"), path, number) + 43_200_000
        minor = round(_number(row["tran_amount"], path, number) * 100)
        orders.append(PastOrder(at_ms, f"row-{number}", row["customer_id"], minor))
    return _data("retail", "Retail transactions", "USD", orders, path)


FILES: dict[str, Callable[[Path], DataSet]] = {"uci": uci, "retail": retail}


def _data(name: str, title: str, currency: str, orders: list[PastOrder], path: Path) -> DataSet:
    if not orders:
        raise EvaluationFailed(f"{path} has no purchases")
    return DataSet(
        name, title, currency, horizon_days=28, check_in_days=7, orders=tuple(sorted(orders))
    )


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line number; the header is line 1. Raises ``EvaluationFailed``."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = [name for name in columns if name not in (rows.fieldnames or ())]
            if missing:
                raise EvaluationFailed(f"{path} has no column {', '.join(missing)}")
            for number, row in enumerate(rows, start=2):
                if any(row[name] is None for name in columns):
                    raise EvaluationFailed(f"{path}, line {number} has too few columns")
                yield number, row
    except OSError as error:
        raise EvaluationFailed(f"{path} cannot be read: {error.strerror or error}") from None


def _time(text: str, forms: tuple[str, ...], path: Path, number: int) -> int:
    for form in forms:
        try:
            moment = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return int(moment.timestamp()) * 1_000
    raise EvaluationFailed(f"{path}, line {number}: {text!r} is no date")


def _number(text: str, path: Path, number: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise EvaluationFailed(f"{path}, line {number}: {text!r} is no number") from None
