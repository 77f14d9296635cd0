"""In continuous integration, a test that doesn't run is a test that failed.

A skip hides a missing service or a missing package for as long as nobody reads the summary.
"""

import os
from collections.abc import Generator
from typing import Any

import pytest


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
