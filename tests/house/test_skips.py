"""A skip passes on a developer's machine and fails in continuous integration."""

import pytest

from tests.house.repository import ROOT

pytest_plugins = ("pytester",)

SUITE = """
import pytest

def test_passes():
    pass

def test_skips():
    pytest.skip("no broker")

@pytest.mark.skip(reason="later")
def test_is_marked_to_skip():
    pass

@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail():
    assert False

@pytest.mark.xfail(reason="mended by now", strict=False)
def test_passes_against_expectation():
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest((ROOT / "conftest.py").read_text())
    return pytester


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_a_skip_is_only_a_skip_outside_ci(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CI", value)
    suite.makepyfile(SUITE)

    result = suite.runpytest_subprocess()

    result.assert_outcomes(passed=1, skipped=2, xfailed=1, xpassed=1)
    assert 0 == result.ret


def test_a_skip_fails_in_ci_and_says_why(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile(SUITE)

    result = suite.runpytest_subprocess()

    # A mark skips before the test proper, so its failure counts as an error.
    result.assert_outcomes(passed=1, failed=3, errors=1)
    result.stdout.fnmatch_lines_random(["*CI is set: *no broker*", "*CI is set: *later*"])
    assert 0 != result.ret


def test_a_module_that_skips_itself_fails_in_ci(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile("import pytest; pytest.importorskip('a_package_that_is_not_there')")

    result = suite.runpytest_subprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*CI is set: *a_package_that_is_not_there*"])
    assert 0 != result.ret
