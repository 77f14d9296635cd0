"""Whether customers for whom churn-risk fires really lapse, judged on real purchases.

    python -m agents.trials.evaluation.lapses cdnow
    python -m agents.trials.evaluation.lapses journey
    python -m agents.trials.evaluation.lapses uci "Online Retail.csv"
    python -m agents.trials.evaluation.lapses retail retail-transactions.csv.gz

A customer has lapsed if they buy nothing within twice their own usual gap and within the shop's
first horizon. The rule is compared with a rule on the churn probability alone, at the threshold at
which that fires about as often, and with a rule that fires whenever it is evaluated, once per
cooldown.
"""

import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from agents.trials.evaluation.datasets import DATA_SETS, DataSet
from agents.trials.evaluation.decisions import purchases
from agents.trials.evaluation.failure import EvaluationFailed
from agents.trials.evaluation.lapse_files import FILES
from agents.trials.evaluation.log import everybody, log_lines
from config.duration import DAY_MS
from config.parameters import Parameters
from config.rules import Rise, TriggerRule
from models.decisions.trigger import Trigger
from models.learning.lapse import WINDOW_GAPS
from models.parameters import load_parameters
from models.replay import Replay

RULE, ANYBODY = "churn-risk", "anybody"
#: Thresholds of the rule on the probability alone, in hundredths.
_THRESHOLDS = (*range(50, 80, 5), *range(80, 99))
_BECAUSE = ("silent_days", "typical_gap_days")


class Fired(NamedTuple):
    """A rule fired for a customer; their silence and usual gap from its receipt, in days."""

    customer: str
    at_ms: int
    silent_days: float
    gap_days: float


class Verdict(NamedTuple):
    """What became of the customers for whom a rule fired. ``early``: the share that fired before
    half the customer's gap; ``cut``: how many windows end after the data does; ``lapsed``: the
    share of the others that lapsed.
    """

    fired: int
    early: float
    cut: int
    lapsed: float


def bare(hundredths: int) -> str:
    """The name of the rule on the probability alone with this threshold."""
    return f"bare-{hundredths}"


def with_rules(parameters: Parameters) -> Parameters:
    """Only the shipped rule, unchanged, and the rules it is compared with."""
    [shipped] = [rule for rule in parameters.triggers.triggers if rule.name == RULE]
    known = replace(shipped, because=_BECAUSE)
    rules: list[TriggerRule] = [known, replace(known, name=ANYBODY, rises=None)]
    for hundredths in _THRESHOLDS:
        rise = Rise("churn_probability", hundredths / 100, hundredths / 100 - 0.1)
        rules.append(replace(known, name=bare(hundredths), rises=rise))
    return replace(
        parameters,
        triggers=replace(parameters.triggers, triggers=tuple(rules)),
        actions=replace(parameters.actions, actions=()),
    )


def fired_by_rule(lines: Iterable[bytes], parameters: Parameters) -> dict[str, list[Fired]]:
    """Replay a log, and collect what fires."""
    engine, found = Replay(with_rules(parameters)), defaultdict(list)
    for number, line in enumerate(lines, start=1):
        for output in engine.feed(line, number):
            if isinstance(output, Trigger):
                found[output.kind].append(_fired(output))
    return found


def _fired(trigger: Trigger) -> Fired:
    reasons = {reason.code: reason.value for reason in trigger.reasons}
    silent, gap = (reasons[code] for code in _BECAUSE)
    assert isinstance(silent, float)
    assert isinstance(gap, float)
    at_ms = round(datetime.fromisoformat(trigger.timestamp).timestamp() * 1_000)
    return Fired(trigger.user_id, at_ms, silent, gap)


def judge(fired: Iterable[Fired], data: DataSet) -> Verdict:
    """Compare what fired with the purchases that followed.

    Customers whose window ends after the data are left out, whether or not they came back:
    otherwise only those who came back would count.
    """
    bought: dict[str, list[int]] = defaultdict(list)
    for order in data.orders:
        bought[order.customer].append(order.placed_at_ms)
    end_ms = max(order.placed_at_ms for order in data.orders)
    count = early = cut = lapsed = 0
    for one in fired:
        count += 1
        early += one.silent_days < one.gap_days / 2
        days = max(float(data.horizon_days), WINDOW_GAPS * one.gap_days)
        until_ms = one.at_ms + round(days * DAY_MS)
        if until_ms > end_ms:
            cut += 1
            continue
        times = bought[one.customer]
        place = bisect_right(times, one.at_ms)
        lapsed += place == len(times) or times[place] > until_ms
    followed = count - cut
    return Verdict(
        count,
        early / count if count else float("nan"),
        cut,
        lapsed / followed if followed else float("nan"),
    )


def table(data: DataSet, fired: dict[str, list[Fired]]) -> Iterator[str]:
    """The results as lines: the shipped rule, the bare rule that fires about as often, and every
    customer.
    """
    own = judge(fired[RULE], data)
    as_often = min(_THRESHOLDS, key=lambda one: abs(len(fired[bare(one)]) - own.fired))
    base = judge(fired[ANYBODY], data)
    yield f"{data.title}, horizon {data.horizon_days} days"
    yield f"  {'rule':<30}{'fired':>7}{'early':>8}{'cut':>6}{'lapsed':>8}{'lift':>6}"
    for words, verdict in (
        (RULE, own),
        (f"churn_probability at {as_often / 100:.2f}", judge(fired[bare(as_often)], data)),
        ("churn_probability at 0.70", judge(fired[bare(70)], data)),
        ("anybody, once in 28 days", base),
    ):
        lift = verdict.lapsed / base.lapsed if base.lapsed else float("nan")
        yield (
            f"  {words:<30}{verdict.fired:>7,}{verdict.early:>8.1%}{verdict.cut:>6,}"
            f"{verdict.lapsed:>8.3f}{lift:>6.2f}"
        )


def read(arguments: list[str]) -> DataSet:
    """The data that the command line names. Raises ``EvaluationFailed`` with the fix."""
    match arguments:
        case [name] if name in DATA_SETS:
            return DATA_SETS[name]()
        case [name, path] if name in FILES:
            return FILES[name](Path(path))
    known = [*DATA_SETS, *(f"{name} FILE" for name in FILES)]
    raise EvaluationFailed(f"name the purchases: {', '.join(known)}")


def main(arguments: list[str]) -> int:
    """Print the table of one data set; return 2 if it can't be read."""
    try:
        data = read(arguments)
    except EvaluationFailed as error:
        sys.stderr.write(f"{error}\n")
        return 2
    bought = purchases(data.orders)
    nobody = everybody(bought, -1)
    parameters = load_parameters(None, data.assignments)
    for line in table(data, fired_by_rule(log_lines(data, bought, nobody), parameters)):
        sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
