"""No test asserts that something takes less than so many seconds: machines differ, and are shared.

A test may wait for something until a deadline, which only bounds a hang. What it asserts is a
count, an order, or a ratio within one run.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.repository import ROOT, files

#: Clocks that count from anywhere, so that a reading has no use but to be compared.
STOPWATCHES = {
    f"{name}{suffix}"
    for name in ("monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
    for suffix in ("", "_ns")
}
#: What measures by itself.
MEASURES = {"default_timer", "getrusage", "timeit"}
DEADLINE = re.compile(r"(^|_)deadline(_|$)")
#: Names of a time that something took, in whatever unit and whoever measured it.
DURATION = re.compile(r"(^|_)(cpu|duration|elapsed|lasted|latency|took|wall)(_|$)")
#: They print what they measure, and assert nothing of it.
PROGRAMS = (ROOT / "tests/benchmarks", ROOT / "tests/kafka/soak.py")


def refused(text: str) -> list[str]:
    """The places where a module measures how long something takes, or compares it with a limit."""
    found = []
    tree = ast.parse(text)
    deadlines = {id(node) for part in ast.walk(tree) for node in _reads_for_deadline(part)}
    for node in ast.walk(tree):
        if _called(node) in STOPWATCHES and id(node) not in deadlines:
            found.append(f"{node.lineno}: {ast.unparse(node)} is read for no deadline")
        if _called(node) in MEASURES:
            found.append(f"{node.lineno}: {ast.unparse(node)} measures")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            if {"time", "time_ns"} & {_called(node.left), _called(node.right)}:
                found.append(f"{node.lineno}: {ast.unparse(node)} measures")
        if isinstance(node, ast.Compare):
            found += [
                f"{node.lineno}: {ast.unparse(node)}"
                for one, other in _compared(node)
                if _is_duration(one) and _is_limit(other)
            ]
    return found


def _reads_for_deadline(node: ast.AST) -> Iterator[ast.AST]:
    """The clock readings in ``deadline_s = monotonic() + 60``, and in ``monotonic() < deadline_s``
    inside loops.
    """
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
        value = node.value
        if isinstance(value.op, ast.Add) and DEADLINE.search(_name(node.targets[0])):
            yield from (value.left, value.right)
    if isinstance(node, ast.While):
        for part in ast.walk(node):
            if isinstance(part, ast.Compare):
                yield from (one for one, other in _compared(part) if DEADLINE.search(_name(other)))


def _compared(node: ast.Compare) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The operands of comparisons, as pairs in both orders."""
    sides = [node.left, *node.comparators]
    for one, operator, other in zip(sides, node.ops, sides[1:], strict=False):
        if isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            yield from ((one, other), (other, one))


def _is_duration(node: ast.expr) -> bool:
    """Whether it contains a name of a duration, or a difference of clock readings."""
    names = (_name(part) for part in ast.walk(node))
    return any(DURATION.search(name) or name == "time" for name in names)


def _is_limit(node: ast.expr) -> bool:
    """Whether it consists only of numbers and constants, and isn't 0: a test may assert that a time
    is above 0.
    """
    names = {_name(part) for part in ast.walk(node)} - {""}
    is_zero = isinstance(node, ast.Constant) and not node.value
    return not is_zero and all(name.isupper() for name in names)


def _called(node: ast.AST) -> str:
    return _name(node.func) if isinstance(node, ast.Call) else ""


def _name(node: ast.AST) -> str:
    """The last name of ``a`` or ``a.b``; empty for anything else."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


@pytest.mark.parametrize(
    "path",
    [p for p in files("tests") if p.suffix == ".py" and not {p, *p.parents} & {*PROGRAMS}],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_test_asserts_how_long_something_takes(path: Path) -> None:
    assert [] == refused(path.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "began = monotonic()\nassert monotonic() - began < 10",
        "began_s = time.monotonic()",
        "deadline_s = monotonic() + 10\nrun()\nassert monotonic() < deadline_s",
        "x = time() - began",
        "assert time.time() - began < 10",
        "assert 10 > time() - began",
        "before = resource.getrusage(resource.RUSAGE_CHILDREN)",
        "assert outcome.cpu_s < CPU_S_MAX * 3",
        "assert took_s < 60",
        "assert 0 < summary.latency_ms.p50 < 5_000",
        "def test_it(): return timeit.timeit(run)",
    ],
)
def test_a_limit_on_a_time_is_noticed(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "deadline_s = time.monotonic() + timeout_s",
        "while monotonic() < deadline_s: pass",
        "while not ready():\n    assert monotonic() < self.deadline_s, 'not within a minute'",
        "start_ms = int(time() * 1_000) - 86_400_000",
        "assert 0 < summary.latency_ms.p50 <= summary.latency_ms.p99",
        "assert late_s / early_s < 1.5",
        "assert record.timestamp_ms < 86_400_000",
        "assert cpu_count == 2",
    ],
)
def test_deadlines_ratios_and_times_of_events_are_no_matter(text: str) -> None:
    assert [] == refused(text)
