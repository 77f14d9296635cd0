"""A snapshot's metrics of its models, as Prometheus reads them."""

from msgspec.structs import replace

from models.learning.churn_models import ChurnScoring, Quality
from models.learning.population import Population
from models.learning.spend_models import SpendModel, SpendQuality, SpendScoring
from models.population import MEASURES, samples_of
from streams.metrics import REFUSAL_LABELS_MAX, Metrics
from tests.models.lines import PRIOR


def test_forecasts_of_spend_and_the_best_fifth_are_told() -> None:
    metrics = Metrics()
    weights = (0.0,) * 7
    spend = SpendScoring(
        {"28": SpendModel(weights, 500, True), "90": SpendModel(weights, 500, False)},
        (
            SpendQuality(28.0, "challenger", 400, 0.97, 1.25),
            SpendQuality(28.0, "formula", 400, 0.75, 1.5),
            SpendQuality(90.0, "formula", 0, None, None),
        ),
    )
    population = replace(PRIOR.of(Population), revenue_share_top_fifth=0.62)
    metrics.set_samples(MEASURES, samples_of(PRIOR.replace(spend, population)))

    told = metrics.exposition().decode()
    for line in (
        'keepstream_spend_expected_ratio{horizon_days="28",scorer="challenger"} 0.97',
        'keepstream_spend_deviance{horizon_days="28",scorer="formula"} 1.5',
        'keepstream_spend_serves{horizon_days="28"} 1.0',
        'keepstream_spend_serves{horizon_days="90"} 0.0',
        "keepstream_revenue_share_top_fifth 0.62",
    ):
        assert line in told
    assert 'keepstream_spend_expected_ratio{horizon_days="90"' not in told


def test_the_reliability_curve_of_what_was_served_is_told_bin_by_bin() -> None:
    metrics = Metrics()
    served = Quality(28.0, "all", "champion", 300, 0.3, 0.8, 0.01, ((0.125, 0.25), (0.5, 0.375)))
    other = Quality(28.0, "all", "baseline", 300, 0.4, 0.7, 0.02)
    metrics.set_samples(MEASURES, samples_of(PRIOR.replace(ChurnScoring(quality=(served, other)))))

    told = metrics.exposition().decode()
    values = {("1", "said"): 0.125, ("1", "came_true"): 0.25}
    values |= {("2", "said"): 0.5, ("2", "came_true"): 0.375}
    for (number, of), value in values.items():
        labels = f'bin="{number}",horizon_days="28",kind="all",of="{of}"'
        assert f"keepstream_model_reliability{{{labels}}} {value}" in told
    assert len(values) == told.count("keepstream_model_reliability{")


def test_what_has_no_value_any_more_is_not_told_as_it_was() -> None:
    """A horizon that was removed, or a share that cannot be computed."""
    metrics = Metrics()
    served = ChurnScoring(quality=(Quality(28.0, "all", "champion", 300, 0.3, 0.8, 0.01),))
    population = replace(PRIOR.of(Population), revenue_share_top_fifth=0.62)
    metrics.set_samples(MEASURES, samples_of(PRIOR.replace(served, population)))
    before = metrics.exposition().decode()
    assert 'keepstream_model_auc{horizon_days="28",kind="all",scorer="champion"} 0.8' in before

    metrics.set_samples(MEASURES, samples_of(PRIOR))
    after = metrics.exposition().decode()
    assert "keepstream_model_auc{" not in after
    assert "keepstream_revenue_share_top_fifth NaN" in after


def test_refusals_are_counted_by_cause_and_their_causes_are_bounded() -> None:
    metrics = Metrics()
    assert 'keepstream_dead_letters_total{reason="bad_json"} 0.0' in metrics.exposition().decode()
    for number in range(REFUSAL_LABELS_MAX + 7):
        metrics.count_dead_letters({("out_of_range", "$.a", f"--set money.rates.{number}=1"): 2})
    metrics.count_dead_letters({("out_of_range", "$.a", "--set money.rates.0=1"): 1})

    told = metrics.exposition().decode()
    total = 2 * (REFUSAL_LABELS_MAX + 7) + 1
    assert f'keepstream_dead_letters_total{{reason="out_of_range"}} {total:.1f}' in told
    assert 'fix="--set money.rates.0=1",path="$.a",reason="out_of_range"} 3.0' in told
    others = 'fix="`keepstream dead-letters list` shows it",path="$",reason="out_of_range"} 14.0'
    assert others in told
    assert REFUSAL_LABELS_MAX + 1 == told.count("keepstream_refusals_total{")


def test_misnamed_events_are_counted_by_what_was_meant() -> None:
    metrics = Metrics()
    metrics.count_misnamed({"Order Completed": 12})

    line = 'keepstream_misnamed_events_total{meant="Order Completed"} 12.0'
    assert line in metrics.exposition().decode()
