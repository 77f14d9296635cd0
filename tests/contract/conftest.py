"""How many examples the contract is tried with, and how one that fails is told."""

import pytest
from hypothesis.vendor.pretty import for_type_by_name

from models.customer.part import Part
from tests.examples import choose_examples

# With the part's name alone, and not with all that it is made of.
for_type_by_name(
    Part.__module__, Part.__name__, lambda part, printer, _is_cycle: printer.text(repr(part))
)


def pytest_configure(config: pytest.Config) -> None:
    choose_examples(config)
