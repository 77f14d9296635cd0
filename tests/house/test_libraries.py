"""Tests send with all client libraries that docs/collector.md lists as tested."""

import json
import re

from tests.house.repository import ROOT

_ROW = re.compile(r"^\| `([^`]+)`[^|]*\| ([\d.]+) \|", re.MULTILINE)
_LOCKED = re.compile(r"^([a-z0-9-]+)==([\d.]+) ", re.MULTILINE)
PYTHON = ("segment-analytics-python", "rudder-sdk-python", "posthog")


def test_the_versions_that_were_tried_are_the_locked_ones() -> None:
    told = dict(_ROW.findall((ROOT / "docs/collector.md").read_text()))

    locked = dict(_LOCKED.findall((ROOT / "requirements/dev.txt").read_text()))
    used = {name: locked[name] for name in PYTHON}
    for folder in ("node", "browser"):
        package = json.loads((ROOT / "tests/kafka" / folder / "package.json").read_text())
        used |= package["dependencies"]
    assert used == told
