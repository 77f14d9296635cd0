"""A short soak: what `make soak` does for half an hour works, and reports its findings."""

from pathlib import Path

import pytest

from tests.kafka.soak import Soak

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(1_800)]


def test_a_soak_loses_nothing_and_tells_what_was_used(tmp_path: Path) -> None:
    soak = Soak(tmp_path, seconds=180, per_second=100, seed=2)
    soak.run()
    assert soak.checked > 0
    assert {
        "memory of the worker",
        "descriptors of the worker",
        "memory of the broker",
        "descriptors of the broker",
        "memory of the store",
        "disk of the broker",
        "disk of the changelog",
        "events published",
    } == {one.name for one in soak.series}
    print(soak)  # noqa: T201
