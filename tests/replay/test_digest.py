"""What `make digests` compares: everything that a log gives; and that differences are reported."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.replay import digest
from tests.replay.digest import LEAST, SHOP, Digests, fold

SMALL = replace(SHOP, customers=120, days=90)


@pytest.fixture(scope="module")
def folded() -> Digests:
    return fold(SMALL)


@pytest.fixture
def python(tmp_path: Path) -> Callable[[list[str]], str]:
    """A stand-in for another Python, which prints these lines whatever its arguments are."""

    def that_prints(lines: list[str]) -> str:
        program = tmp_path / "python"
        program.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + "\nEND\n")
        program.chmod(0o755)
        return str(program)

    return that_prints


@pytest.fixture(autouse=True)
def _is_small(folded: Digests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "fold", lambda: folded)
    monkeypatch.setattr(digest, "LEAST", dict.fromkeys(LEAST, 1))


def test_all_that_comes_of_a_log_is_in_it(folded: Digests) -> None:
    assert LEAST.keys() == folded.counts.keys()
    assert 0 not in folded.counts.values()
    assert len(LEAST) + 1 == len(set(folded.lines()))


def test_what_is_added_is_told_apart() -> None:
    told = []
    for contents in ([b"ab", b"c"], [b"a", b"bc"], [b"c", b"ab"]):
        digests = Digests()
        for content in contents:
            digests.add("rows", content)
        told.append(digests.lines()[-1])

    assert 3 == len(set(told))


def test_the_same_bytes_are_the_same(
    folded: Digests, python: Callable[[list[str]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == digest.main([python(["Python 4 (interpreted)", *folded.lines()])])
    assert "Python 4 (interpreted)\nthe same\n" in capsys.readouterr().out


def test_other_bytes_are_told(
    folded: Digests, python: Callable[[list[str]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    *lines, _ = folded.lines()

    assert 1 == digest.main([python(["Python 4 (interpreted)", *lines, "f00  everything"])])
    assert "Python 4 (interpreted)\nf00  everything\n" in capsys.readouterr().out


@pytest.mark.parametrize("lines", [[], ["Python 4 (interpreted)"]])
def test_a_python_that_says_nothing_is_not_the_same(
    lines: list[str], python: Callable[[list[str]], str]
) -> None:
    assert 1 == digest.main([python(lines)])


def test_the_other_flavour_is_not_the_same(
    folded: Digests, python: Callable[[list[str]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the requested build might never run."""
    assert 1 == digest.main([python(["Python 4 (compiled)", *folded.lines()])])
    assert "this is not interpreted" in capsys.readouterr().out


def test_a_log_that_says_too_little_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(digest, "LEAST", dict.fromkeys(LEAST, 1_000_000))

    assert 1 == digest.main([])
    assert "too little of: decisions" in capsys.readouterr().out
