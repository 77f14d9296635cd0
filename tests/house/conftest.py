"""What the tests of the repository itself share."""

import pytest

from tests.house.test_prometheus import REGISTRIES


@pytest.fixture(scope="session")
def exported() -> set[str]:
    """The names of all metrics that any of our programs exports, as rules write them."""
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for registry in REGISTRIES
        for metric in registry.collect()
    }
