"""An installed Keepstream has everything that a clone has."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.repository import PACKAGES, ROOT, files

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA_PATTERNS: list[str] = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]


def imported_packages(path: Path) -> set[str]:
    """The top-level names that one module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).partition(".")[0])
    return names


def test_every_data_file_is_installed() -> None:
    data = [path for path in files(*PACKAGES) if path.suffix not in {".py", ".md"}]

    assert data
    assert [] == [path for path in data if not any(path.match(p) for p in DATA_PATTERNS)]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_modules_is_a_package(package: str) -> None:
    folders = {path.parent for path in files(package) if path.suffix == ".py"}

    assert [] == [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()]


def test_config_imports_the_standard_library_msgspec_and_a_yaml_reader_alone() -> None:
    allowed = sys.stdlib_module_names | {"config", "msgspec", "yaml"}
    modules = [path for path in files("config") if path.suffix == ".py"]

    assert [] == [
        (m.name, imported_packages(m) - allowed) for m in modules if imported_packages(m) - allowed
    ]
