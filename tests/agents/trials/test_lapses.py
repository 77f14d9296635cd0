"""Whether customers for whom churn-risk fires really lapse: the measure, and what it reads."""

from pathlib import Path

import pytest

from agents.trials.evaluation.datasets import DataSet, PastOrder
from agents.trials.evaluation.decisions import purchases
from agents.trials.evaluation.failure import EvaluationFailed
from agents.trials.evaluation.lapse_files import retail, uci
from agents.trials.evaluation.lapses import ANYBODY, RULE, Fired, fired_by_rule, judge, main
from agents.trials.evaluation.log import everybody, log_lines
from config.duration import DAY_MS
from models.parameters import load_parameters

_START_MS = 1_300_000_000_000 // DAY_MS * DAY_MS + DAY_MS // 2

UCI = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,A,LAMP,6,12/1/2010 8:26,2.55,17850,United Kingdom
536365,B,"HEART, WHITE",2,12/1/2010 8:26,1.10,17850,United Kingdom
C536379,A,LAMP,-1,12/1/2010 9:41,2.55,17850,United Kingdom
536370,A,LAMP,1,12/1/2010 9:00,2.55,,United Kingdom
536371,A,LAMP,10,12/2/2010 9:00,1.00,13047.0,France
"""


def shop(*days: tuple[str, float]) -> DataSet:
    orders = sorted(
        PastOrder(_START_MS + round(day * DAY_MS), f"{customer}-{day}", customer, 1_000)
        for customer, day in days
    )
    return DataSet("shop", "A shop", "EUR", horizon_days=28, check_in_days=7, orders=tuple(orders))


def fired(customer: str, day: float, silent_days: float, gap_days: float) -> Fired:
    return Fired(customer, _START_MS + round(day * DAY_MS), silent_days, gap_days)


def test_whoever_buys_nothing_within_twice_their_own_gap_has_lapsed() -> None:
    data = shop(("ada", 0), ("ada", 40), ("bob", 0), ("bob", 90), ("end", 200))
    verdict = judge(
        [
            fired("ada", 10, silent_days=10, gap_days=7),  # 28 days: lapsed, though ada came back.
            fired("ada", 10, silent_days=10, gap_days=15),  # 30 days: the very last of them.
            fired("bob", 10, silent_days=10, gap_days=30),  # 60 days: lapsed, and told early.
            fired("bob", 150, silent_days=60, gap_days=30),  # Cut short.
        ],
        data,
    )

    assert (4, 0.25, 1) == verdict[:3]
    assert pytest.approx(2 / 3) == verdict.lapsed


def test_rules_are_compared_on_the_same_replay() -> None:
    regular = [("ada", float(day)) for day in range(0, 400, 10)]
    leaver = [("bob", float(day)) for day in range(0, 200, 10)]
    data = shop(*regular, *leaver)
    bought = purchases(data.orders)
    parameters = load_parameters(None, [*data.assignments, "churn.prior=0.9"])
    found = fired_by_rule(log_lines(data, bought, everybody(bought, -1)), parameters)

    assert {"bob"} == {one.customer for one in found[RULE]}
    assert all(one.silent_days >= one.gap_days for one in found[RULE])
    assert {"ada", "bob"} == {one.customer for one in found[ANYBODY]}


def test_invoices_of_uci_online_retail_are_orders(tmp_path: Path) -> None:
    path = tmp_path / "Online Retail.csv"
    path.write_text(UCI)
    orders = [(one.customer, one.revenue_minor) for one in uci(path).orders]

    assert [("17850", 1_750), ("13047", 1_000)] == orders


def test_a_retail_file_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    path.write_text("customer_id,trans_date,tran_amount\nCS1,11-Feb-13,35\nCS1,15-Mar-15,39.5\n")
    orders = retail(path).orders

    assert [3_500, 3_950] == [one.revenue_minor for one in orders]
    assert 762 == (orders[1].placed_at_ms - orders[0].placed_at_ms) // DAY_MS


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("customer_id,amount\n", "has no column trans_date, tran_amount"),
        ("customer_id,trans_date,tran_amount\n", "has no purchases"),
        ("customer_id,trans_date,tran_amount\nCS1,soon,35\n", "line 2: 'soon' is no date"),
        ("customer_id,trans_date,tran_amount\nCS1,11-Feb-13,much\n", "'much' is no number"),
        ("customer_id,trans_date,tran_amount\nCS1\n", "line 2 has too few columns"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(
    tmp_path: Path, text: str, fault: str
) -> None:
    path = tmp_path / "retail.csv"
    path.write_text(text)

    with pytest.raises(EvaluationFailed, match=fault):
        retail(path)


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["uci"], ["retail", "/no/such/file.csv"]])
def test_a_command_line_without_data_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(arguments)
    assert capsys.readouterr().err
