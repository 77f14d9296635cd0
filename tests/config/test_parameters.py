"""Parameters are read, merged and checked, with errors that name the fix."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS, SECOND_MS, DurationMs
from config.parameters import ParameterError, Parameters, without_answers_to
from models.customer.cart import CartParameters
from models.customer.engagement import EngagementParameters
from models.customer.purchase_state import PurchaseParameters
from models.parameters import load_parameters
from tests.config.sections import sections_of

MINUTE_MS = 60 * SECOND_MS


def value_of(parameters: Parameters, name: str) -> Any:
    first, *rest = name.split(".")
    value: Any = sections_of(parameters)[first]
    for part in rest:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def test_the_shipped_values_are_complete_and_good() -> None:
    shipped = load_parameters()

    assert (MINUTE_MS, 3 * DAY_MS, 10 * MINUTE_MS) == (
        shipped.time.disorder,
        shipped.time.lateness,
        shipped.time.future,
    )
    assert (7 * DAY_MS, 28 * DAY_MS, 84 * DAY_MS) == shipped.of(PurchaseParameters).half_lives
    assert (28.0, 90.0) == shipped.churn.horizon_days
    assert 7 * DAY_MS == shipped.churn.check_in_ms
    assert shipped == load_parameters()


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250ms", 250),
        ("90s", 90_000),
        ("10min", 600_000),
        ("72h", 3 * DAY_MS),
        ("28d", 28 * DAY_MS),
        ("2w", 14 * DAY_MS),
        ("1.5h", 5_400_000),
        (" 5 min ", 300_000),
        ("90", 90_000),
        (90, 90_000),
        (0.5, 500),
        ("0s", 0),
    ],
)
def test_a_duration_has_a_unit_or_counts_seconds(text: object, ms: int) -> None:
    assert ms == DurationMs.parse(text)


@pytest.mark.parametrize(
    "text", ["", "soon", "5 fortnights", "-5s", "5m", "1e3s", "5s5s", "s", True, None, [1], -1]
)
def test_what_is_no_duration_is_answered_with_examples_of_one(text: object) -> None:
    with pytest.raises(ValueError, match="such as '90s', '10min', '72h' or '28d'"):
        DurationMs.parse(text)


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("time.disorder=2min", "time.disorder", 2 * MINUTE_MS),
        ("time.disorder = 90", "time.disorder", 90_000),
        ('time.disorder="2min"', "time.disorder", 2 * MINUTE_MS),
        ("money.currency=USD", "money.currency", "USD"),
        ("bounds.orders=10", "bounds.orders", 10),
        ("learning.champion_margin=0.01", "learning.champion_margin", 0.01),
        ("churn.horizon_days=28", "churn.horizon_days", (28.0,)),
        ("churn.horizon_days=28,56", "churn.horizon_days", (28.0, 56.0)),
        ("churn.horizon_days=[28, 90.5]", "churn.horizon_days", (28.0, 90.5)),
        (
            "purchases.half_lives=7d,30d,1w",
            "purchases.half_lives",
            (7 * DAY_MS, 30 * DAY_MS, 7 * DAY_MS),
        ),
        ("rfm.monetary=1,2,3,4", "rfm.monetary", (1.0, 2.0, 3.0, 4.0)),
        ("support.sla.urgent=1h", "support.sla.urgent", 60 * MINUTE_MS),
        ("cart.idle=2h", "cart.idle", 120 * MINUTE_MS),
    ],
)
def test_an_assignment_changes_one_value_and_nothing_else(
    assignment: str, name: str, value: object
) -> None:
    shipped, changed = load_parameters(), load_parameters(assignments=[assignment])
    before, after = sections_of(shipped), sections_of(changed)

    assert value == value_of(changed, name)
    assert {name.split(".", maxsplit=1)[0]} == {
        section for section in before if before[section] != after[section]
    }
    assert before.keys() == after.keys()
    assert (shipped.triggers, shipped.actions) == (changed.triggers, changed.actions)


def test_every_section_of_the_shipped_values_is_read() -> None:
    text = resources.files("config").joinpath("parameters.toml").read_text("utf-8")
    shipped = tomllib.loads(text)

    assert shipped.keys() <= sections_of(load_parameters()).keys()


def test_the_weights_are_a_table_of_the_operators_own() -> None:
    weights = (
        load_parameters(
            assignments=[
                "engagement.weights.Product Viewed=2",
                "engagement.weights.My v1.2 event=3",
            ]
        )
        .of(EngagementParameters)
        .weights
    )

    assert (2.0, 3.0, 0.5) == (
        weights["Product Viewed"],
        weights["My v1.2 event"],
        weights["page"],
    )


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_is_laid_over_the_shipped_values_and_assignments_over_the_file(
    tmp_path: Path,
) -> None:
    file = written(
        tmp_path,
        """
        [time]
        disorder = "2min"
        lateness = "1d"
        [engagement.weights]
        "Video Watched" = 1.5
        [cart]
        idle = "30min"
        """,
    )
    parameters = load_parameters(file, ["time.lateness=2d", "time.lateness=3h"])

    assert 2 * MINUTE_MS == parameters.time.disorder
    assert 180 * MINUTE_MS == parameters.time.lateness
    assert 10 * MINUTE_MS == parameters.time.future
    weights = parameters.of(EngagementParameters).weights
    assert (1.5, 0.5) == (weights["Video Watched"], weights["page"])
    assert 30 * MINUTE_MS == parameters.of(CartParameters).idle
    assert load_parameters().triggers == parameters.triggers


def complaint(*assignments: str, file: Path | None = None) -> str:
    with pytest.raises(ParameterError) as refused:
        load_parameters(file, assignments)
    return str(refused.value)


def test_what_one_deployment_changes_is_as_shipped_in_the_next(tmp_path: Path) -> None:
    file = tmp_path / "parameters.toml"
    file.write_text('[tiers]\nvip = 0.9\n[calendar.days]\nsale = "06-30"\n')
    shipped = sections_of(load_parameters())
    changed = sections_of(load_parameters(file, ["risk.high=0.9", "support.sla.urgent=1h"]))

    assert changed != shipped
    assert shipped == sections_of(load_parameters())


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        # Unknown names: the nearest one, else all there are.
        ("time.disordr=60s", "there is no parameter time.disordr; did you mean time.disorder?"),
        ("tme.disorder=60s", "there is no parameter tme; did you mean time?"),
        ("time.zzz=1", "known here: disorder, future, lateness"),
        ("support.sla.urgnt=1h", "did you mean support.sla.urgent?"),
        # Not an assignment.
        ("time.disorder", "write it as name=value, for example time.disorder=60s"),
        ("=60s", "write it as name=value"),
        # The wrong kind of value, with the place of it.
        ("time.disorder=soon", "such as '90s', '10min', '72h' or '28d', got 'soon'"),
        ("time.disorder=soon", "time.disorder"),
        ("time=60s", "time is a group of parameters, not a value"),
        ("bounds.orders=many", "bounds.orders"),
        ("bounds.orders=1.5", "bounds.orders"),
        ("bounds.orders=true", "bounds.orders"),
        ("rfm.monetary=1,2,3", "rfm.monetary"),
        ("rfm.monetary=1,2,3,x", "rfm.monetary"),
        ("engagement.weights.page=heavy", "engagement.weights"),
        ("money.currency=5", "money.currency"),
        # The right kind, and yet no good.
        ("bounds.orders=0", "bounds.orders must be more than 0, got 0"),
        ("bounds.messages=-1", "bounds.messages must be more than 0, got -1"),
        ("engagement.half_life=0s", "engagement.half_life must be more than 0"),
        ("purchases.half_lives=7d,0d,1d", "purchases.half_lives must be more than 0"),
        ("purchases.half_lives=[]", "purchases.half_lives"),
        ("purchases.half_lives=7d,28d", "purchases.half_lives"),
        ("churn.horizon_days=0", "churn.horizon_days must be more than 0"),
        ("churn.horizon_days=[]", "churn.horizon_days must be more than 0"),
        ("churn.check_in_days=0", "churn.check_in_days must be more than 0"),
        ("overdue.spread=-2", "overdue.spread must be more than 0"),
        ("overdue.spread=nan", "overdue.spread must be a finite number, got nan"),
        ("overdue.spread=inf", "overdue.spread must be a finite number, got inf"),
        ("churn.horizon_days=28,nan", "churn.horizon_days must be a finite number, got nan"),
        ("engagement.weights.page=inf", "engagement.weights.page must be a finite number"),
        ("engagement.weights.page=-1", "engagement.weights.page must not be negative, got -1"),
        ("engagement.other=-1", "engagement.other must not be negative, got -1"),
        ("overdue.prior_weight=-1", "overdue.prior_weight must not be negative, got -1"),
        ("learning.minimum_examples=-1", "learning.minimum_examples must not be negative"),
        ("churn.check_in_days=0.000001", "churn.check_in_days must be at least 0.01"),
        ("churn.check_in_days=181", "churn.check_in_days is 180 at most"),
        ("rfm.monetary=4,3,2,1", "rfm.monetary must ascend, as in 1, 2, 4, 8"),
        ("tiers.frequency=4,2,1", "tiers.frequency must ascend, as in 1, 2, 4, 8"),
        ("tiers.expected=-1,2", "tiers.expected must not be negative, got -1"),
        ("tiers.vip_until=0.9", "tiers.vip_until is no more than tiers.vip"),
        ("tiers.potential_until=0.8", "tiers.potential_until is no more than tiers.potential"),
        ("lifecycle.shares=17", "lifecycle.shares is 16 at most"),
        ("time.lateness=99999999999d", "expected at most '36500d'"),
        ("churn.prior=1", "churn.prior is a probability: between 0 and 1"),
        ("churn.prior=0", "churn.prior is a probability: between 0 and 1"),
        ("money.currency=euro", "money.currency is an ISO 4217 code such as EUR"),
    ],
)
def test_a_mistake_is_answered_with_its_place_and_the_fix(assignment: str, words: str) -> None:
    assert words in complaint(assignment)


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    unknown = complaint(file=written(tmp_path, "[time]\ndisordr = 5\n"))
    assert str(tmp_path / "mine.toml") in unknown
    assert "did you mean time.disorder?" in unknown

    broken = complaint(file=written(tmp_path, "[time\n"))
    assert str(tmp_path / "mine.toml") in broken
    assert "not valid TOML" in broken

    missing = complaint(file=tmp_path / "none.toml")
    assert str(tmp_path / "none.toml") in missing
    assert "check KEEPSTREAM_PARAMETERS" in missing


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe\x00")

    assert "cannot be read (it is no text in UTF-8)" in complaint(file=file)


def test_parameters_do_not_change() -> None:
    with pytest.raises(AttributeError):
        load_parameters().time.disorder = 5  # type: ignore[misc, assignment]


def rule(name: str, moment: str) -> str:
    fields = "version: 1, when: orders > 0, cooldown: 1d, because: []"
    return f"  - {{name: {name}, moment: {moment}, {fields}}}\n"


MINE = "triggers:\n" + rule("cart-abandoned", "cart-idle")
PRICE = rule("price-dependent", "price-dependent")


@pytest.mark.parametrize(
    ("triggers", "actions", "names", "answered"),
    [
        # The shipped file has the parts' triggers beside it.
        (None, None, {"price-dependent", "points-earned"}, True),
        (None, "shipped", {"price-dependent", "points-earned"}, True),
        # A file of one's own takes the place of both, and nothing answers what is not there.
        (MINE, None, set(), False),
        # A trigger of that name in it is answered as the part's was.
        (MINE + PRICE, None, {"price-dependent"}, True),
        # With a catalogue of one's own nothing is left out of it: the rules are checked as written.
        (MINE, "shipped", set(), True),
    ],
)
def test_triggers_of_parts_go_with_a_file_of_ones_own_and_so_do_answers_to_them(
    tmp_path: Path, triggers: str | None, actions: str | None, names: set[str], *, answered: bool
) -> None:
    assignments = []
    if triggers is not None:
        (tmp_path / "triggers.yaml").write_text(triggers)
        assignments.append(f"rules.triggers={tmp_path / 'triggers.yaml'}")
    if actions is not None:
        shipped = resources.files("config").joinpath("actions.yaml").read_text("utf-8")
        (tmp_path / "actions.yaml").write_text(shipped)
        assignments.append(f"rules.actions={tmp_path / 'actions.yaml'}")
    found = load_parameters(assignments=assignments)
    [action] = [one for one in found.actions.actions if one.name == "value-added"]

    of_parts = {"price-dependent", "points-earned"}
    assert names == of_parts & {rule.name for rule in found.triggers.triggers}
    assert answered == ("price-dependent" in action.contexts)
    # What answers other triggers, too, goes on to answer them.
    assert {"churn-risk", "purchase-overdue"} <= action.contexts.keys()


def test_an_action_that_answers_only_what_is_gone_is_gone() -> None:
    shipped = load_parameters().actions
    [action, *_] = shipped.actions
    catalogue = replace(
        shipped,
        actions=(
            replace(action, name="one", contexts={"price-dependent": 1.0}),
            replace(action, name="both", contexts={"price-dependent": 1.0, "churn-risk": 0.5}),
            replace(action, name="other", contexts={"churn-risk": 1.0}),
        ),
    )
    left = without_answers_to({"price-dependent"}, catalogue)

    assert {"both": {"churn-risk": 0.5}, "other": {"churn-risk": 1.0}} == {
        action.name: action.contexts for action in left.actions
    }
