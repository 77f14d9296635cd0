"""The files of the repository, for the tests of the house."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "models", "streams", "agents")

# What running programs leaves behind; see .gitignore.
_LEFT_BEHIND = {
    ".git",
    ".hypothesis",
    ".import_linter_cache",
    ".keepstream",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    ".venv-peers",
    ".venv-second",
    ".venv-released",
    "__compiled__",
    "__pycache__",
    "build",
    "dist",
    "out",
}


def files(*rooms: str) -> Iterator[Path]:
    """Every file of the repository, or of the named folders in it, in a stable order."""
    for room in rooms or (".",):
        for path in sorted((ROOT / room).rglob("*")):
            parts = path.relative_to(ROOT).parts
            left_behind = _LEFT_BEHIND.intersection(parts)
            if not left_behind and not any(p.endswith(".egg-info") for p in parts):
                if path.is_file():
                    yield path
