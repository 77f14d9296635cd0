"""A file given as rules, parameters or a secret is read as that, or refused."""

import os
from pathlib import Path

import pytest

from config.bounded_text import TextRefused, read_text
from config.parameters import ParameterError
from config.rules import RuleError, load_actions, load_triggers
from models.parameters import load_parameters


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe without a writer: opening it would wait for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.timeout(30)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "PIPE", "/"])
def test_what_is_no_regular_file_is_refused_at_once(pipe: Path, device: str) -> None:
    path = pipe if device == "PIPE" else Path(device)
    with pytest.raises(TextRefused, match="no regular file"):
        read_text(path)
    for load in (load_triggers, load_actions):
        with pytest.raises(RuleError, match=f"{path}: cannot be read .it is no regular file"):
            load(path)
    with pytest.raises(ParameterError, match=f"{path}: cannot be read .it is no regular file"):
        load_parameters(path)


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x" * 10)
    assert "x" * 10 == read_text(path, 10)
    with pytest.raises(TextRefused, match="more than 9 bytes"):
        read_text(path, 9)
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(RuleError, match="more than 1,048,576 bytes"):
        load_triggers(path)
    with pytest.raises(ParameterError, match="more than 1,048,576 bytes"):
        load_parameters(path)


@pytest.mark.timeout(30)
def test_aliases_that_stand_for_more_than_memory_holds_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join([*lines, "triggers: *a11"]))
    with pytest.raises(RuleError, match="more than 100,000 values"):
        load_triggers(path)


@pytest.mark.parametrize(
    "content",
    [
        "root:x:0:0:canary:/root:/bin/bash\n",
        'password = "canary"\nother: [\n',
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
        "a: *canary\n",
        "a: !canary x\n",
        'a: "\\canary"\n',
        "%canary\n---\n",
        "a: canary: b\n",
        "canary\n",
        "- canary\n",
        "@canary\n",
    ],
)
def test_nothing_of_a_file_that_holds_something_else_is_in_the_error(
    tmp_path: Path, content: str
) -> None:
    """A file named by mistake may contain passwords, and the error goes to a log."""
    path = tmp_path / "secret"
    path.write_text(content)
    for load in (load_triggers, load_actions):
        with pytest.raises(RuleError) as refused:
            load(path)
        assert "canary" not in str(refused.value)
    with pytest.raises(ParameterError) as told:
        load_parameters(path)
    assert "canary" not in str(told.value)
