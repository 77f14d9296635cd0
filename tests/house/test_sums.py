"""Numbers are added up to the same bits by every Python.

From 3.12 on, ``sum`` of floats compensates for rounding, which 3.11's doesn't: scores, snapshots
and states would differ between two workers. Floats are added in a loop, from left to right, or by
NumPy; ``sum`` is for integers.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.repository import ROOT, files

#: Names of what is an integer wherever it is read.
INTEGER = re.compile(r"(.*_)?(minor|count|counts|ms)|customers|waiting")
#: Calls that give an integer, whatever they are given.
INTEGER_CALLS = {"bool", "ceil", "floor", "int", "len"}
#: Sums of integers that cannot be told from their text, each with what is added up.
SUMS_OF_INTEGERS = {
    "sum(fates.values())": "events by what became of them",
    "sum(found.ends.values())": "offsets",
    "sum(histogram.values())": "customers by bin",
    "sum((partition.rehearsed for partition in rehearsing or facts.partitions))": "decisions",
    "sum((partition.damaged for partition in damaged))": "rows",
    "sum((max(log.ends[tp] - committed[tp], 0) for tp in partitions))": "offsets",
    "sum((span.begin for span in self._spans[topic]))": "offsets",
    "sum(self._held.values())": "records that wait, by topic",
    "sum((log.ends[tp] - log.hour[tp] for tp in partitions))": "offsets",
    "sum((end - begins[tp] for tp, end in ends.items() if tp.topic in raw))": "offsets",
    "sum((span.end - span.begin for span in spans))": "offsets",
    "sum([await self._fold(span) for span in self._spans[CUSTOMER_EVENTS]])": "offsets",
    "sum((span.end - span.begin for spans in self._spans.values() for span in spans))": "offsets",
    "sum((end for partition, end in log.ends.items() if partition.topic"
    " == settings.topic(topics.LABELLED_EXAMPLES)))": "offsets",
}
#: What else adds floats up, in a way that has changed between versions of Python.
REFUSED = {
    "math": {"dist", "fsum", "sumprod"},
    "statistics": {"fmean", "mean", "pstdev", "pvariance", "stdev", "variance"},
}
MODULES = [path for path in files("models", "streams") if path.suffix == ".py"]


def sums(text: str) -> Iterator[ast.Call]:
    """The calls of ``sum`` in a module; not those of ``numpy`` and other objects."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and _name(node.func) == "sum":
            if isinstance(node.func, ast.Name):
                yield node


def refused(text: str) -> list[str]:
    """The calls that may add floats."""
    tree = ast.parse(text)
    called = list(sums(text))
    found = [
        ast.unparse(call)
        for call in called
        if not _adds_integers(call) and ast.unparse(call) not in SUMS_OF_INTEGERS
    ]
    # Handed to something that calls it, it could be given anything.
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "sum"]
    found += ["sum"] * (len(names) - len(called))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in REFUSED:
            found += [a.name for a in node.names if a.name in REFUSED[node.module]]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [node.attr] if node.attr in REFUSED.get(node.value.id, ()) else []
    return found


def _adds_integers(call: ast.Call) -> bool:
    match call.args:
        case [ast.GeneratorExp(elt=added) | ast.ListComp(elt=added)]:
            return _is_integer(added)
        case [ast.Call(func=ast.Name("map"), args=[function, _])]:
            return _name(function) in INTEGER_CALLS
        case [ast.Name() | ast.Attribute() as numbers]:
            return _is_integer(numbers)
    return False


def _is_integer(node: ast.expr) -> bool:
    """Whether the source alone shows that it is an integer."""
    match node:
        case ast.Constant(value):
            return isinstance(value, int)
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Call():
            return _name(node.func) in INTEGER_CALLS
        case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() | ast.FloorDiv(), right):
            return _is_integer(left) and _is_integer(right)
    return bool(INTEGER.fullmatch(_name(node)))


def _name(node: ast.AST) -> str:
    """The last name of ``a`` or ``a.b``; empty for anything else."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_integers_are_added_up_by_the_language(path: Path) -> None:
    assert [] == refused(path.read_text())


def test_what_is_excepted_is_there() -> None:
    found = {ast.unparse(call) for path in MODULES for call in sums(path.read_text())}

    assert set() == SUMS_OF_INTEGERS.keys() - found


@pytest.mark.parametrize(
    "text",
    [
        "sum(levels)",
        "sum(x * y for x, y in pairs)",
        "sum([0.5, 0.25])",
        "sum(order.value_minor / 100 for order in orders)",
        "sum(order.value_minor * rate for order in orders)",
        "sum(map(float, counts))",
        "sum(order.count for order in orders if order.count) + sum(shares)",
        "reduce(sum, levels)",
        "from statistics import fmean, median",
        "statistics.mean(levels)",
        "from math import fsum",
    ],
)
def test_a_sum_that_may_be_of_floats_is_noticed(text: str) -> None:
    assert 1 == len(refused(text))


@pytest.mark.parametrize(
    "text",
    [
        "sum(counts)",
        "sum(map(len, pieces))",
        "sum(1 for x in xs)",
        "sum(gap > 7.0 for gap in gaps)",
        "sum(order.value_minor * order.count for order in orders)",
        "np.sum(levels) + (levels * weights).sum()",
        "from statistics import median",
    ],
)
def test_sums_of_integers_and_arrays_are_no_matter(text: str) -> None:
    assert [] == refused(text)
