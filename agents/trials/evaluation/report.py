"""Prints verdicts as text and tables, and writes them as JSON. Every figure was just computed."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from agents.trials.evaluation.comparison import BOOSTING, KEEPSTREAM, Comparison
from agents.trials.evaluation.decisions import ALL_KINDS
from agents.trials.evaluation.evaluation import EvaluationVerdict
from agents.trials.evaluation.metrics import CALIBRATION_BINS, Interval
from agents.trials.evaluation.thinning import (
    LIFE_DAYS_MIN,
    PURCHASE_DAYS_MIN,
    SHARE,
    ThinningComparison,
)
from agents.trials.evaluation.value import ValueComparison

RESULTS = "results.json"
#: The width of tables that are written to a file.
WIDTH = 132
_NONE = "-"


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for the tables in a file."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


def show(verdict: EvaluationVerdict, console: Console) -> None:
    """Print all results of one data set."""
    console.print(f"\n[bold]{verdict.title}[/]")
    console.print(_about(verdict), soft_wrap=True)
    for comparison in verdict.churn:
        console.print(_churn_table(comparison))
        console.print(_ratio(comparison), soft_wrap=True)
    if verdict.value is not None:
        console.print(_value_table(verdict.value))
    if verdict.thinning is not None:
        console.print(_thinning_table(verdict.thinning))
    for line in _told_by_trainer(verdict):
        console.print(line, soft_wrap=True)


def write_results(verdicts: Sequence[EvaluationVerdict], directory: Path) -> None:
    """Write all figures as JSON; NaN becomes null."""
    directory.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(verdicts), indent=2)
    (directory / RESULTS).write_bytes(content + b"\n")


def _about(verdict: EvaluationVerdict) -> str:
    lines = [
        f"{verdict.orders:,} orders of {verdict.customers:,} customers in {verdict.days:,} days",
        f"the score: P(no purchase in the next {verdict.horizon_days} days)",
        (
            f"decision points: {verdict.rows_asked:,}; with their outcome in the data: "
            f"{verdict.rows_matured:,}; after the warm-up: {verdict.rows_warm:,}; "
            f"of these left out for want of somebody's answer: {verdict.rows_unanswered:,}"
        ),
    ]
    if verdict.guise is not None:
        guise = verdict.guise
        lines.append(
            f"seed {guise.seed}: moved by {guise.weeks:+} weeks, amounts times {guise.factor:g}, "
            "each day's events shuffled"
        )
    if verdict.labels_dealt:
        lines.append("outcomes were shuffled: nobody can predict them, and .5 is right")
    return "\n".join(lines) + "\n"


def _churn_table(comparison: Comparison) -> Table:
    title = (
        f"{comparison.kind}: {comparison.rows:,} decisions of {comparison.customers:,} customers, "
        f"{comparison.churned_share:.1%} without a purchase"
    )
    error = f"ECE of {CALIBRATION_BINS}"
    columns = ("scorer", "AUC", "95 %", "log loss", error, f"{KEEPSTREAM} - it", "95 %")
    table = _table(title, columns)
    for told in comparison.scorers:
        lead = (_NONE, _NONE)
        if told.scorer != KEEPSTREAM:
            lead = (f"{told.lead.estimate:+.4f}", _range(told.lead, "+.4f"))
        loss, error = map(_decimals, (told.log_loss, told.calibration_error))
        auc = f"{told.auc.estimate:.4f}"
        table.add_row(told.scorer, auc, _range(told.auc), loss, error, *lead)
    return table


def _ratio(comparison: Comparison) -> str:
    ratio = comparison.ratio
    return f"  AUC of {KEEPSTREAM} / {BOOSTING}: {ratio.estimate:.4f}, 95 % {_range(ratio)}\n"


def _value_table(value: ValueComparison) -> Table:
    title = (
        f"spend in the {value.horizon_days} days after day {value.day} of {value.customers:,} "
        f"customers, {value.spend_mean:.2f} each"
    )
    table = _table(title, ("forecast", "total error", "correlation", "decile error"))
    for told in value.scorers:
        if told.total_error is None:
            table.add_row(told.scorer, "no value model", _NONE, _NONE)
        else:
            total = f"{told.total_error:+.1%}"
            correlation, decile = map(_decimals, (told.correlation, told.decile_error))
            table.add_row(told.scorer, total, correlation, decile)
    return table


def _thinning_table(thinning: ThinningComparison) -> Table:
    title = (
        f"silent churn: in the next {thinning.horizon_days} days, fewer purchase days than "
        f"{SHARE:.0%} of the own rate so far\n"
        f"(of customers with {LIFE_DAYS_MIN} days and {PURCHASE_DAYS_MIN} purchase days): "
        f"{thinning.rows:,} check-ins of {thinning.customers:,} customers, {thinning.share:.1%} "
        "thin out"
    )
    reference = thinning.scorers[0].scorer
    table = _table(title, ("scorer", "AUC", "95 %", f"it - {reference}", "95 %"))
    for told in thinning.scorers:
        if told.auc is None:
            table.add_row(told.scorer, "no such score", _NONE, _NONE, _NONE)
            continue
        lead = (_NONE, _NONE)
        if told.gain is not None:
            lead = (f"{told.gain.estimate:+.4f}", _range(told.gain, "+.4f"))
        table.add_row(told.scorer, f"{told.auc.estimate:.4f}", _range(told.auc), *lead)
    return table


def _told_by_trainer(verdict: EvaluationVerdict) -> list[str]:
    """What /metrics would show: the quality of the kept examples, measured while learning."""
    lines = []
    for told in verdict.quality:
        if told.kind == ALL_KINDS:
            auc, loss, error = map(_decimals, (told.auc, told.log_loss, told.calibration_error))
            lines.append(
                f"  {told.scorer} as the trainer tells it, of {told.examples:,} examples: "
                f"AUC {auc}, log loss {loss}, ECE {error}"
            )
    return lines


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    return table


def _decimals(number: float | None) -> str:
    return _NONE if number is None else f"{number:.4f}"


def _range(found: Interval, how: str = ".4f") -> str:
    return f"{found.low:{how}} to {found.high:{how}}"
