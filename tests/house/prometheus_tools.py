"""promtool and amtool, which check the alert rules and Alertmanager's routes."""

import subprocess
from pathlib import Path

from tests.house.repository import ROOT


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``tool``; it is downloaded if it is not on the path."""
    found = subprocess.run(
        [ROOT / ".ci/prometheus-tools"], capture_output=True, text=True, check=False
    )
    assert 0 == found.returncode, found.stderr
    command = [Path(found.stdout.strip(), tool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
