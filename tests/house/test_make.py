"""Each Makefile target installs what it runs.

After `make setup-dev` a checkout has everything, which hides what a new one lacks.
"""

import re
import sys
from importlib.metadata import packages_distributions

import grimp
import pytest

from tests.house.repository import PACKAGES, ROOT
from tests.house.test_locks import pins

INSTALLS = {
    "setup": "runtime",
    "setup-dev": "dev",
    "$(VENV)/installed-runtime": "runtime",
    "$(VENV)/installed-real": "real",
    "$(VENV)/installed-bench": "bench",
    "$(VENV)/installed-compile": "compile",
}
#: Imported only where a setting asks for it, which is refused with the fix where it is missing.
OPTIONAL = {"opentelemetry"}
MAKEFILE = (ROOT / "Makefile").read_text()
RULE = re.compile(r"^([a-z-]+): ([^#\n]*)##.*\n((?:(?:\t|ifdef|else|endif).*\n)+)", re.MULTILINE)
RUN = re.compile(rf"-m ((?:{'|'.join(PACKAGES)}|tests)[.\w]*)")
OF_OURS = {
    (rule[1], module, next(INSTALLS[needed] for needed in rule[2].split() if needed in INSTALLS))
    for rule in RULE.finditer(MAKEFILE)
    for module in RUN.findall(rule[3])
}
DISTRIBUTIONS = packages_distributions()


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, "tests", include_external_packages=True)


def others(imports: grimp.ImportGraph, module: str) -> set[str]:
    """The third-party packages that `module` imports, directly or through others."""
    reached = {found.partition(".")[0] for found in imports.find_upstream_modules(module)}
    return reached - {*PACKAGES, "tests"} - OPTIONAL - sys.stdlib_module_names


def missing(packages: set[str], lock: str) -> dict[str, list[str]]:
    """The distributions with these `packages` that are not in `lock`."""
    pinned = pins(ROOT / f"requirements/{lock}.txt")
    named = {
        package: [name.lower().replace("_", "-") for name in DISTRIBUTIONS.get(package, [])]
        for package in packages
    }
    return {package: names for package, names in named.items() if not pinned.keys() & set(names)}


@pytest.mark.parametrize(("target", "module", "lock"), sorted(OF_OURS))
def test_a_target_installs_what_it_runs(
    imports: grimp.ImportGraph, target: str, module: str, lock: str
) -> None:
    assert missing(others(imports, module), lock) == {}


def test_a_file_with_tests_on_a_broker_says_so_itself() -> None:
    """`make test-on-broker` looks for the mark in test files, and collects no others."""
    elsewhere = [
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        if not path.name.startswith("test_")
        and re.search(r"mark\.kafka|\bpytestmark\b", path.read_text())
    ]
    handed_on = [
        path.name
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"^from .* import .*\bpytestmark\b", path.read_text(), re.MULTILINE)
    ]

    assert ([], []) == (elsewhere, handed_on)


def test_a_package_that_is_not_installed_is_noticed() -> None:
    assert missing({"matplotlib"}, "runtime") == {"matplotlib": ["matplotlib"]}
    assert missing({"matplotlib"}, "bench") == {}
    assert {target for target, _, _ in OF_OURS} >= {"bench", "digests", "soak"}
