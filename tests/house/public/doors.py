"""Keepstream as a user sees it: what its commands print, and the files they write."""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.testing import CliRunner

from agents.cli import app
from tests.house.public import habits
from tests.house.public.shapes import Fields, fields, shape

HERE = Path(__file__).parent
STORY = HERE / "story.jsonl"
#: The story brings its own rules, so that rules that ship later don't affect it.
STORY_RULES = {"rules.triggers": HERE / "triggers.yaml", "rules.actions": HERE / "actions.yaml"}

#: The schema of the lines of each file; decisions name theirs in ``type``.
SCHEMA_OF_FILE = {
    "customers.jsonl": "profile",
    "dead-letters.jsonl": "dead-letter",
    "scores.jsonl": "score",
    "summary.json": "summary",
}
TOPICS = re.compile("clickstream|transactions|support|feedback")

Outcome = dict[str, list[dict[str, Any]]]


def keepstream(*arguments: object) -> str:
    """What the command prints; fails if the command does."""
    # Tables are as wide as the terminal: a name that is cut off can't be compared.
    environment: dict[str, str | None] = {"COLUMNS": "240"}
    environment.update((name, None) for name in os.environ if name.startswith("KEEPSTREAM_"))
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def replayed(log: Path, *options: object) -> Outcome:
    """The lines of each file that `keepstream replay` writes."""
    with TemporaryDirectory() as directory:
        keepstream("replay", log, "--out", directory, *options)
        return {
            path.name: [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(Path(directory).iterdir())
        }


def story() -> Outcome:
    """The files of a replay of the story."""
    return replayed(STORY, *assigned(STORY_RULES))


def learnt(days: int = habits.DAYS) -> Outcome:
    """The files of a replay of a log that is long enough to learn from, or of its first days."""
    with TemporaryDirectory() as directory:
        log = Path(directory, "log.jsonl")
        log.write_text("".join(f"{json.dumps(line)}\n" for line in habits.lines(days)))
        return replayed(log, *assigned({"learning.minimum_examples": 20}))


def assigned(values: dict[str, Any]) -> list[str]:
    """``values`` as options of a command; a list is written as on a command line."""
    words = []
    for name, value in values.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        words += ["--set", f"{name}={text}"]
    return words


def parameters(*options: str) -> dict[str, Any]:
    """The value of every parameter, by its dotted name."""

    def walk(table: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from walk(value, f"{path}{name}.")
            else:
                yield path + name, value

    return dict(walk(tomllib.loads(keepstream("parameters", *options)), ""))


def command() -> dict[str, Any]:
    """The words of the command line and of rules: options of replay, facts, shipped rules."""
    rules, kind = {"triggers": list[str](), "actions": list[str]()}, ""
    for line in keepstream("rules", "check").splitlines():
        if section := re.search(r": \d+ (triggers|actions)", line):
            kind = section[1]
        elif rule := re.match(r"  ([\w-]+) \(", line):
            rules[kind].append(rule[1])
    return {
        "replay": dict(re.findall(r"^  (--[\w-]+|\[?LOG\]?) +(\S+)", _replay_help(), re.MULTILINE)),
        "facts": {row[0]: row[1] for row in _table(keepstream("facts"))},
        **rules,
    }


def _replay_help() -> str:
    text = keepstream("replay", "--help")
    # The description of an option without a value is not one of its words.
    return re.sub(r"^  --help .*$", "", text, flags=re.MULTILINE)


def _table(text: str) -> list[list[str]]:
    """The cells of a printed table, without its header."""
    return [re.split(r"\s{2,}", line.rstrip()) for line in text.splitlines()[1:]]


def events() -> dict[str, Fields]:
    """Raw events by name: topic, type and properties of each; ``envelope`` has what they share."""
    found: dict[str, Fields] = {}
    envelopes: list[Fields] = []
    for name, (about, every) in _schemas("event").items():
        topic = TOPICS.search(about)
        assert topic, about
        # The name is only a free text where any name is allowed.
        own = {path: types for path, types in every.items() if path.startswith("properties")}
        found[name] = {"topic": topic[0], "type": every["type"], **own}
        envelopes.append(
            {p: types for p, types in every.items() if p not in {"event", *found[name]}}
        )
    shared = set.intersection(*(set(envelope.items()) for envelope in envelopes))
    envelope = {path: types for path, types in envelopes[0].items() if (path, types) in shared}
    return {"envelope": envelope, **found}


def lines() -> dict[str, Fields]:
    """The fields of control lines in a log, and of the lines that a replay writes, by schema."""
    found = {**_schemas("control"), **_schemas("output")}
    # A snapshot is only read by the version of the engine that wrote it.
    return {name: types for name, (_, types) in found.items() if name != "model-snapshot"}


def summary() -> Fields:
    """The fields of the one file without a schema, from what is written."""
    # Nothing is known after no days, and after some only what the shorter horizon has taught.
    written = [line for days in (0, 60, habits.DAYS) for line in learnt(days)["summary.json"]]
    return shape(written, frozenset({"triggers"}))


def _schemas(kind: str) -> dict[str, tuple[str, Fields]]:
    """The description and the `fields` of each schema of a kind."""
    with TemporaryDirectory() as directory:
        keepstream("schema", "--all", "--out", directory)
        found = [json.loads(path.read_text()) for path in Path(directory).iterdir()]
    every = {schema["title"]: fields(schema) for schema in found}
    rows = [row for row in _table(keepstream("schema")) if row[1:2] == [kind]]
    return {name: (about, every[name]) for name, _, about in rows}
