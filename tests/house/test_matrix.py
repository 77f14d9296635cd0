"""The tests that docs/faults.md names exist, and its mutants name existing tests."""

import ast
import re
from pathlib import Path

from tests.house.repository import ROOT
from tests.mutants.mutants import MUTANTS

NAMED = re.compile(r"`(test_\w+)`")


def defined(*paths: Path) -> set[str]:
    """The names of all tests in these modules."""
    return {
        node.name
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_tests_that_hold_a_row_of_the_matrix_exist() -> None:
    named = set(NAMED.findall((ROOT / "docs" / "faults.md").read_text()))

    assert len(named) > 20
    assert set() == named - defined(*(ROOT / "tests").rglob("test_*.py"))


def test_tests_that_hold_a_protection_exist() -> None:
    for mutant in MUTANTS:
        file, _, name = mutant.test.partition("::")
        assert name.partition("[")[0] in defined(ROOT / file)
