"""How many examples the properties are tried with."""

import pytest

from tests.examples import choose_examples


def pytest_configure(config: pytest.Config) -> None:
    choose_examples(config)
