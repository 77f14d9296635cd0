"""Tests fail when a protection is removed: the quick ones run here, all of them at night."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.repository import ROOT
from tests.mutants.delivery import DELIVERY
from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS
from tests.mutants.run import MutantError, copied, put_in, survives

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with copied() as copy:
        yield copy


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(
            mutant, id=mutant.protection, marks=[] if mutant.is_quick else [pytest.mark.nightly]
        )
        for mutant in MUTANTS
    ],
)
def test_a_protection_that_is_gone_is_noticed(mutant: Mutant, tree: Path) -> None:
    assert not survives(mutant, tree)
    assert (ROOT / mutant.file).read_bytes() == (tree / mutant.file).read_bytes()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.protection for mutant in MUTANTS])
def test_every_protection_is_where_its_mutant_says(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    copy.write_bytes((ROOT / mutant.file).read_bytes())
    put_in(mutant, tmp_path)
    assert copy.read_text() != (ROOT / mutant.file).read_text()


def test_a_protection_that_moved_is_told(tmp_path: Path) -> None:
    gone = DELIVERY[0]._replace(file="module.py", text="not there")
    (tmp_path / "module.py").write_text("")
    with pytest.raises(MutantError, match="has 0 times what holds that effects are durable"):
        put_in(gone, tmp_path)
