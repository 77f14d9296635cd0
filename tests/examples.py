"""Hypothesis draws few examples, so that they fit into every run, the same on every machine.

Look for new ones with ``pytest tests/contract tests/properties --hypothesis-profile=thorough``.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings

#: Failing examples are shrunk but not explained, because that takes minutes.
_PHASES = (Phase.explicit, Phase.generate, Phase.shrink)

settings.register_profile(
    "bounded",
    max_examples=60,
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
    """Few examples, unless another profile is chosen."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("bounded")
