"""Stories with their expected outcome.

``pytest tests/replay --regenerate`` rewrites every ``<story>.expected.jsonl``. The diff shows what
a change of the engine means to a user: read it before committing it.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write the expected outcome of every replayed story anew",
    )


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate", default=False))
