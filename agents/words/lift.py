"""The lift of actions in words: each action, and each of its reasons, against the control group."""

import re
from collections.abc import Iterable, Iterator, Mapping

from agents.words.rules import duration
from config.parameters import Parameters
from models.customer.holdout import CONTROL, TREATED
from models.customer.lift import LiftParameters
from models.customer.lift_measures import (
    ANY,
    CONVERSION,
    CONVERSION_BY,
    CUSTOMERS,
    FEW,
    FOLLOWED_UP,
    MEASURES,
    NET_BY,
    NET_OF,
    RETENTION,
    RETENTION_BY,
    SKEWED,
)
from models.measures import Measure, Sample
from models.money import digits

#: The values of one action and reason, by measure and last label.
_Values = Mapping[tuple[Measure, str], float]


def lift_in_words(samples: Iterable[Sample], parameters: Parameters) -> Iterator[str]:
    """A line for each action, followed by a line for each comparison."""
    found: dict[tuple[str, str], dict[tuple[Measure, str], float]] = {}
    for sample in samples:
        if sample.measure in MEASURES:
            action, reason, *last = sample.labels
            values = found.setdefault((action, reason), {})
            values[sample.measure, last[0] if last else ""] = sample.value
    for (action, reason), values in found.items():
        yield _about(action, reason, values)
        yield from (f"  {line}" for line in _compared(values, parameters))


def _about(action: str, reason: str, values: _Values) -> str:
    name = "all actions" if action == ANY else action
    why = f", for {reason}" if reason != ANY else ""
    treated, control = (values.get((CUSTOMERS, group), 0) for group in (TREATED, CONTROL))
    return f"{name}{why}: {treated:,.0f} treated, {control:,.0f} in the control group"


def _compared(values: _Values, parameters: Parameters) -> Iterator[str]:
    section = parameters.of(LiftParameters)
    converted, kept = duration(section.converted_within), duration(section.kept_within)
    if values.get((SKEWED, "")):
        yield "the groups are not as large as they were drawn: trust no difference"
    yield from _shares(values, f"bought within {converted}", CUSTOMERS, CONVERSION, CONVERSION_BY)
    yield from _shares(values, f"bought within {kept}", FOLLOWED_UP, RETENTION, RETENTION_BY)
    if (NET_BY, "estimate") in values:
        ours, theirs = values[NET_OF, TREATED], values[NET_OF, CONTROL]
        by, low, high = (values[NET_BY, bound] for bound in ("estimate", "low", "high"))
        currency = parameters.money.currency
        both = f"{digits(ours, currency)} against {digits(theirs, currency)} {currency}"
        more, least, most = (digits(one, currency, "+,") for one in (by, low, high))
        yield f"spent within {kept}: {both}, {more} ({least} to {most})"


def _shares(
    values: _Values, about: str, sizes: Measure, shares: Measure, differences: Measure
) -> Iterator[str]:
    if (differences, "estimate") in values:
        ours, theirs = values[shares, TREATED], values[shares, CONTROL]
        by, low, high = (100 * values[differences, bound] for bound in ("estimate", "low", "high"))
        yield (
            f"{about}: {ours:.1%} against {theirs:.1%}, "
            f"{by:+.1f} points ({low:+.1f} to {high:+.1f})"
        )
    else:
        least = min(values.get((sizes, group), 0) for group in (TREATED, CONTROL))
        yield f"{about}: too few to compare, {least:,.0f} of {FEW} in the smaller group"


_NAMED: Mapping[str, Measure] = {measure.name: measure for measure in MEASURES}


def samples_in(measures: Mapping[str, float]) -> Iterator[Sample]:
    """The samples among measures keyed by their /metrics names, as in a replay's summary."""
    for name, value in measures.items():
        measure = _NAMED.get(name.partition("{")[0])
        if measure is not None:
            yield Sample(measure, tuple(re.findall(r'="([^"]*)"', name)), value)
