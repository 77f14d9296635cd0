"""The steps for sceptics in docs/learning.md work, and give the figures of the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.documents import LEARNING, blocks
from tests.house.repository import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TEXT = LEARNING.read_text()
# The real purchases take minutes; tests/replay/test_journey.py judges them.
[CHECK] = re.findall(r"^## Check it yourself$.*?(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
PROGRAMS = {
    found[1]: block.text
    for block in blocks(CHECK)
    if block.language == "python" and (found := re.match(r"# (\w+\.py)\n", block.text))
}
#: How far a figure may be off, for another machine's last digits to make no difference.
TOLERANCE = 0.005


def figures(text: str) -> list[tuple[str, list[float]]]:
    """Each line of the figures: the kind of decisions, and its numbers."""
    lines = [line for line in text.splitlines() if "decisions, AUC" in line]
    return [(line.split()[0], [float(n) for n in re.findall(r"\d+\.?\d*", line)]) for line in lines]


@pytest.mark.nightly
def test_the_commands_that_are_shown_print_the_figures_that_are_shown(tmp_path: Path) -> None:
    for name, program in PROGRAMS.items():
        (tmp_path / name).write_text(program)
    script = "\n".join(block.text for block in blocks(CHECK) if block.language == "sh")
    run = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=f'keepstream() {{ "{sys.executable}" -m agents.cli "$@"; }}\n'
        + script.replace(".venv/bin/python", f'"{sys.executable}"'),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == run.returncode, run.stderr

    [shown] = [b.text for b in blocks(CHECK) if b.language == "text" and "decisions, AUC" in b.text]
    assert 6 == len(figures(shown))
    assert [kind for kind, _ in figures(shown)] == [kind for kind, _ in figures(run.stdout)]
    for (kind, expected), (_, found) in zip(figures(shown), figures(run.stdout), strict=True):
        assert expected == pytest.approx(found, abs=TOLERANCE), kind
