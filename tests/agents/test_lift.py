"""The effect of actions, in words and in the console, equals what was computed by hand."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from agents.cli import app
from agents.console.pages.lift import lift_views, without_lift
from agents.words.lift import lift_in_words, samples_in
from models.customer.holdout import CONTROL, TREATED
from models.customer.lift_measures import ANY, LiftCell, samples
from models.measures import Measure, Sample
from models.population import name_of
from models.replay_summary import Summary
from tests.house.documents import blocks
from tests.house.repository import ROOT
from tests.models.lines import PARAMETERS
from tests.models.test_lift import group_sums

BY_HAND = {
    **group_sums(LiftCell("win-back-offer", "price"), TREATED, 300, 60, [5_000] * 100 + [0] * 200),
    **group_sums(LiftCell("win-back-offer", "price"), CONTROL, 40, 4, [4_000] * 8 + [0] * 32),
    **group_sums(LiftCell("care-note", "silent"), TREATED, 212, 20, []),
    **group_sums(LiftCell("care-note", "silent"), CONTROL, 24, 3, []),
}
TOLD = list(samples(BY_HAND, PARAMETERS))
PAGE = blocks((ROOT / "docs/value-and-lifecycle.md").read_text())


def test_the_page_shows_what_the_example_by_hand_gives() -> None:
    [shown] = [block.text for block in PAGE if "too few to compare" in block.text]

    assert shown.splitlines() == list(lift_in_words(TOLD, PARAMETERS))


def summary(tmp_path: Path, measures: dict[str, float]) -> Path:
    file = tmp_path / "summary.json"
    told = Summary(events={}, triggers={}, scores=0, customers=0, model_version=0, clock=None)
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(told, measures=measures)))
    return file


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEEPSTREAM_PARAMETERS", raising=False)


def test_of_a_replay_it_is_told_by_its_summary(tmp_path: Path) -> None:
    file = summary(tmp_path, {"keepstream_other": 1.0, **{name_of(s): s.value for s in TOLD}})
    result = CliRunner().invoke(app, ["lift", "--file", str(file)])

    assert 0 == result.exit_code, result.output
    assert list(lift_in_words(TOLD, PARAMETERS)) == result.stdout.splitlines()


def test_of_nothing_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["lift", "--file", str(summary(tmp_path, {}))])
    assert (1, "no action has been followed for long enough\n") == (result.exit_code, result.stdout)

    (tmp_path / "summary.json").write_text("{}")
    broken = CliRunner().invoke(app, ["lift", "--file", str(tmp_path / "summary.json")])
    assert 2 == broken.exit_code
    assert "is no summary.json of `keepstream replay`" in broken.output


def test_groups_that_are_not_as_they_were_drawn_are_warned_of() -> None:
    sums = group_sums(LiftCell(ANY), TREATED, 900, 90, [])
    sums |= group_sums(LiftCell(ANY), CONTROL, 30, 3, [])
    lines = list(lift_in_words(samples(sums, PARAMETERS), PARAMETERS))

    assert "all actions: 900 treated, 30 in the control group" == lines[0]
    assert "trust no difference" in lines[1]


def test_names_and_samples_are_the_same() -> None:
    assert TOLD == list(samples_in({name_of(one): one.value for one in TOLD}))


def test_the_console_has_a_card_for_each() -> None:
    other = Sample(Measure("keepstream_other", ""), (), 1.0)
    views = lift_views([other, *TOLD], PARAMETERS)

    assert [3, 2] == [len(view.compared) for view in views]
    assert views[0].about.startswith("win-back-offer, for price")
    assert [other] == without_lift([other, *TOLD])
