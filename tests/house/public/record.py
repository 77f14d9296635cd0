"""Records the public interface: `python -m tests.house.public.record`.

The public interface only grows, so this adds what is new and changes nothing that is recorded.
Anything that was changed or removed remains a failure of `test_public`. (In `summary.json` the
nulls of three figures were added by hand: no log here leaves them unknown.)
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.house.public import doors

#: Each file, and the function that reads its content.
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
    """The recorded content of a file."""
    path = path_of(name)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``old``, with everything that is only in ``new``."""
    both = {
        name: merged(old[name], inner) if isinstance(inner, dict) else old[name]
        for name, inner in new.items()
        if name in old
    }
    return {**new, **old, **both}


def main() -> None:
    """Bring every file up to date, and print which ones changed."""
    for name, read in SOURCES.items():
        old = recorded(name)
        new = merged(old, read())
        path_of(name).write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")
        told = "unchanged" if new == old else "added to"
        sys.stdout.write(f"{path_of(name).name}: {told}\n")


if __name__ == "__main__":
    main()
