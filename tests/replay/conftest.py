"""Stories with their expected outcome.

``pytest tests/replay --regenerate`` writes every ``<story>.expected.jsonl`` anew. The diff is what
a change of the engine means to somebody who uses it: read it before committing it.
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
