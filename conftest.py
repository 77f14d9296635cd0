"""In continuous integration, a test that doesn't run is a test that failed.

A skip hides a missing service or a missing package for as long as nobody reads the summary.

Tests marked ``nightly`` are the long ones of a kind of which a short one always runs; they are left
out unless pytest is given ``--nightly``.
"""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest


def pytest_configure() -> None:
    """Let processes that tests start be interrupted, even when the tests were started in the
    background of a shell, which has everything there ignore Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _skips_are_failures() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def _reason(longrepr: Any) -> str:
    # A skip is reported as (path, line, reason).
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)


# First in means last out: after the plugin that turns a failure into an expected one.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected_to_fail = hasattr(report, "wasxfail")
    if _skips_are_failures() and (report.skipped or expected_to_fail):
        reason = report.wasxfail if expected_to_fail else _reason(report.longrepr)
        if expected_to_fail:
            del report.wasxfail
        report.outcome = "failed"
        report.longrepr = f"did not run to a plain pass, and CI is set: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _skips_are_failures() and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"not collected, and CI is set: {_reason(report.longrepr)}"
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the long tests, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--nightly"):
        return
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    if nightly:
        items[:] = [item for item in items if item not in nightly]
        config.hook.pytest_deselected(items=nightly)
