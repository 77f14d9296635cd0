"""For each customer of the cast, everything is reported that must be, and nothing that must not.

The tables in examples.toml name every moment and every trigger: a new one needs a customer who
shows it, and one who nearly does.
"""

import ast
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from models.customer.life_stages import LifeStage
from models.customer.lifecycle import LIFECYCLE
from models.customer.loyalty import LOYALTY
from models.customer.registry import MOMENTS, PARTS
from models.customer.tiers import TIERS
from models.identity import is_mirror
from tests.company.cast import ERASED
from tests.company.company import SHIPPED, Told, log, replayed, told


class Example(NamedTuple):
    """The customers who show it, those who must not, and why not."""

    said_of: str
    silent: str
    because: str


def _examples(kind: str) -> dict[str, Example]:
    return {name: Example(**said) for name, said in _EXAMPLES[kind].items()}


_FOLDER = Path(__file__).parent
_EXAMPLES = tomllib.loads((_FOLDER / "examples.toml").read_text())
#: By the name of the moment, of the trigger, and of the stage.
OF_MOMENTS, OF_TRIGGERS = _examples("moments"), _examples("triggers")
OF_STAGES = _examples("stages")
#: The test of whom a part must say nothing.
OF_PARTS: dict[str, str] = _EXAMPLES["parts"]

RULES = [rule.name for rule in SHIPPED.triggers.triggers]


def test_every_moment_and_every_trigger_has_its_example() -> None:
    """A new one needs a customer who shows it: see `tests.company.cast`."""
    assert set(MOMENTS) == set(OF_MOMENTS)
    assert set(RULES) == set(OF_TRIGGERS)
    assert [str(stage) for stage in LifeStage] == list(OF_STAGES)


def test_every_part_has_a_test_of_whom_it_must_say_nothing() -> None:
    """A new part is named in examples.toml, and the catalogue shows it."""
    assert [part.name for part in PARTS] == list(OF_PARTS)
    missing = []
    for place in OF_PARTS.values():
        file, _, name = place.partition("::")
        tree = ast.parse((_FOLDER.parent / "models" / file).read_text())
        known = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        missing += [place] if name not in known else []
    assert [] == missing


@pytest.mark.parametrize("stage", OF_STAGES)
def test_a_stage_is_reached_by_one_and_not_by_another(stage: str) -> None:
    rows, example = told().replay.rows(), OF_STAGES[stage]
    place = list(OF_STAGES).index(stage)
    reached = {who: rows[who].read(LIFECYCLE).reached >> place & 1 for who in example[:2]}

    assert {example.said_of: 1, example.silent: 0} == reached, example.because


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_moment_comes_for_one_and_not_for_another(moment: str) -> None:
    heard, example = told().heard, OF_MOMENTS[moment]

    assert (moment, example.said_of) in heard
    assert (moment, example.silent) not in heard, f"{example.silent} {example.because}"


@pytest.mark.parametrize("trigger", RULES)
def test_a_trigger_fires_for_one_and_not_for_another(trigger: str) -> None:
    fired, example = told().fired, OF_TRIGGERS[trigger]

    assert (trigger, example.said_of) in fired
    assert (trigger, example.silent) not in fired, f"{example.silent} {example.because}"


def test_whoever_must_not_be_spoken_of_is_there() -> None:
    rows = told().replay.rows()
    silent = {
        one.silent for one in (*OF_MOMENTS.values(), *OF_TRIGGERS.values(), *OF_STAGES.values())
    }

    assert set() == silent - set(rows)
    assert all(rows[who].latest_ms for who in silent)


def test_who_was_erased_is_gone_and_comes_back_only_where_they_may() -> None:
    rows = told().replay.rows()

    assert ["emil"] == [who for who in ERASED if who in rows and rows[who].latest_ms]
    assert 1 == told().replay.summary().events["erased"]  # type: ignore[index]


def test_a_merge_that_was_wrong_leaves_two_people() -> None:
    rows = told().replay.rows()

    assert not rows["mia"].ids
    assert not is_mirror(rows["max"])


def test_tablets_that_many_share_make_one_person_of_nobody() -> None:
    rows = told().replay.rows()
    users = [who for who in rows if who.startswith("tablet-") and "user" in who]

    assert 12 == len(users)
    assert [] == [who for who in users if is_mirror(rows[who]) or len(rows[who].ids) > 2]
    assert ("identity-linked", "lou") in told().heard


def test_points_that_were_spent_and_given_back_are_a_debt_that_later_ones_pay() -> None:
    """400 were spent and taken back; 300 of the next order leave a debt of 100."""
    row = told().replay.rows()["fay"]
    profiles = {view.user_id: view for view in told().replay.profiles()}

    assert row.has(LOYALTY)
    assert profiles["fay"].loyalty.points < 0
    assert [] == [
        when for when, who in told().of("points-earned") if who == "fay" and when > "2025-03"
    ]


def test_who_gave_the_second_order_back_is_no_vip() -> None:
    assert "vip" != told().replay.rows()["gil"].read(TIERS).tier


def test_what_a_silent_till_sends_too_late_is_said_to_be_late() -> None:
    events = told().replay.summary().events

    assert 4 == events["late"]  # type: ignore[index]
    assert events["deadLettered"]  # type: ignore[index]


@pytest.mark.nightly
def test_three_hundred_customers_more_change_nothing_of_what_is_said_of_the_cast() -> None:
    from msgspec.structs import replace  # noqa: PLC0415

    from tests.company.company import SHOP  # noqa: PLC0415

    whole: Told = replayed(log(replace(SHOP, customers=300, days=200)))

    heard = [one for one in MOMENTS if (one, OF_MOMENTS[one].silent) in whole.heard]
    fired = [one for one in RULES if (one, OF_TRIGGERS[one].silent) in whole.fired]
    assert ([], []) == (heard, fired)
    assert {kind for kind, _ in whole.fired} == set(RULES)
