"""Hypothesis draws few examples in every run and more at night, the same on every machine.

Look for new ones with ``pytest tests/contract tests/properties --hypothesis-profile=thorough``.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

# Hypothesis would also draw the constants of all modules that are loaded, and so other examples in
# a run of all tests than in a run of one. It has no setting for that.
providers._get_local_constants = Constants

#: Failing examples are shrunk but not explained, because that takes minutes.
_PHASES = (Phase.explicit, Phase.generate, Phase.shrink)

_FEW, _MANY = 40, 200

for name, count in (("few", _FEW), ("many", _MANY)):
    settings.register_profile(
        name,
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=_PHASES,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.register_profile(
    "thorough",
    max_examples=1_000,
    deadline=None,
    database=None,
    phases=_PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def choose_examples(config: pytest.Config) -> None:
    """Few examples, or many at night, unless another profile is chosen."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("many" if config.getoption("--nightly", default=False) else "few")


def drawn(*, times: float) -> settings:
    """As many times the examples of the profile, for a test whose examples are cheap or dear."""
    return settings(max_examples=round(times * settings().max_examples))
