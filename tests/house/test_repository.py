"""Anybody can read and run the repository: it names no registry and no private machine.

Users configure the sources of packages themselves, in their pip and Maven settings.
"""

import re

import pytest

from tests.house.repository import ROOT, files

# In two parts each, so that this file does not name them either.
REGISTRIES = (
    ("pypi.", "org"),
    ("pypi.python.", "org"),
    ("pythonhosted.", "org"),
    ("anaconda.", "org"),
    ("maven.", "org"),
    ("repo.maven.", "apache"),
    ("oss.", "sonatype"),
    ("registry.npm", "js"),
    ("crates.", "io"),
    ("proxy.", "golang"),
    ("deb.", "debian"),
    ("docker.", "io"),
    ("hub.", "docker"),
    ("ghcr.", "io"),
    ("quay.", "io"),
)
HOMES = ("home", "Users", "root", "work")
FORBIDDEN = re.compile(
    "|".join(
        [
            *(re.escape(first + second) for first, second in REGISTRIES),
            # A path that begins there, not one that has it somewhere in the middle.
            rf"(?<![\w.$}}~])/(?:{'|'.join(HOMES)})/\w+",
            "[A-Z]:" + re.escape("\\") + "Users",
            "/opt/" + "wheels",
        ]
    )
)


def places_named(text: str) -> list[str]:
    return [match.group() for match in FORBIDDEN.finditer(text)]


def test_no_file_names_a_registry_or_somebodys_machine() -> None:
    found = {}
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if names := places_named(text):
            found[str(path.relative_to(ROOT))] = names

    assert {} == found


@pytest.mark.parametrize(
    "text",
    [
        "https://files." + "".join(REGISTRIES[2]) + "/packages",
        "mirror of " + "".join(REGISTRIES[4]),
        "cd /" + HOMES[0] + "/ada/keepstream",
        "PYTHONPATH=/" + HOMES[3] + "/main",
    ],
)
def test_such_a_name_is_noticed(text: str) -> None:
    assert places_named(text)


@pytest.mark.parametrize("text", ["docs/work/plan", "$HOME/keepstream", "/var/lib/keepstream"])
def test_ordinary_paths_are_no_matter(text: str) -> None:
    assert not places_named(text)
