"""Write down what is public: `python -m tests.house.public.record`.

What is public is only ever added to, so this adds what is not there yet, and changes nothing that
is. Whatever was changed or taken away stays a failure of `test_public`. (In `summary.json` the
nulls of three figures were added by hand: no log here leaves them open.)
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.house.public import doors

#: Each file, and what is read for it.
SOURCES: dict[str, Callable[[], dict[str, Any]]] = {
    "events": doors.events,
    "lines": doors.lines,
    "summary": doors.summary,
    "parameters": doors.parameters,
    "command": doors.command,
}


def path_of(name: str) -> Path:
    return doors.HERE / f"{name}.json"


def recorded(name: str) -> dict[str, Any]:
    """What was written down."""
    path = path_of(name)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``old`` with what only ``new`` has."""
    both = {
        name: merged(old[name], inner) if isinstance(inner, dict) else old[name]
        for name, inner in new.items()
        if name in old
    }
    return {**new, **old, **both}


def main() -> None:
    """Bring every file up to date, and say which were changed."""
    for name, read in SOURCES.items():
        old = recorded(name)
        new = merged(old, read())
        path_of(name).write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")
        told = "unchanged" if new == old else "added to"
        sys.stdout.write(f"{path_of(name).name}: {told}\n")


if __name__ == "__main__":
    main()
