"""One name, one thing: no two public classes have the same name."""

import ast
from collections import defaultdict

from tests.house.repository import PACKAGES, ROOT, files

#: Names that two classes have all the same, and why.
SHARED = {
    "Churn": "a section of the parameters is named as the file names it; the other is the score",
    "Learning": "a section of the parameters is named as the file names it; the other is a line of "
    "the registry of learners",
    "Context": "Segment's specification names a field of events so; the other is a partition's "
    "present",
    "Line": "of a log, and of a profile in words: neither is ever seen where the other is",
    "Truce": "a section of the parameters is named as the file names it; the other is its state",
    "Source": "where an event came from, and whose word a score is: both are named by their field",
}


def classes() -> dict[str, list[str]]:
    """The modules that define each public class, by its name."""
    found = defaultdict(list)
    for path in files(*PACKAGES):
        if path.suffix == ".py":
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(str(path.relative_to(ROOT)))
    return found


def test_classes_are_found() -> None:
    found = classes()

    assert ["models/customer/row.py"] == found["Row"]
    assert len(found) > 200


def test_no_two_public_classes_have_one_name() -> None:
    twice = {name: modules for name, modules in classes().items() if len(modules) > 1}

    assert {} == {name: modules for name, modules in twice.items() if name not in SHARED}


def test_names_that_are_shared_still_are() -> None:
    found = classes()

    assert [] == [name for name in SHARED if len(found[name]) != 2]
