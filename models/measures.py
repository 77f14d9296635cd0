"""Metrics over all customers, as data: only streams/metrics.py knows Prometheus."""

from typing import NamedTuple


class Measure(NamedTuple):
    """A gauge: its name on /metrics, its help text, and the names of its labels.

    Labels have few values, and never a customer's id.
    """

    name: str
    about: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """One value of a measure, with the values of its labels in their order."""

    measure: Measure
    labels: tuple[str, ...]
    value: float
