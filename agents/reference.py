"""Generates the pages of docs/reference from the code: settings, parameters, commands, metrics and
topics.

python -m agents.reference docs/reference
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import typer.main

from agents.documents.tables import comments, table, values
from config import topics
from config.duration import DAY_MS
from config.parameters import Section
from config.settings import SECRETS_IN_FILES, Settings, describe, variable_of
from models.customer.registry import PARTS
from models.parameters import load_parameters
from streams.collector.metrics import CollectorMetrics
from streams.metrics import Metrics
from streams.webhooks.metrics import WebhookMetrics

_MADE = "Generated from the code by `make reference`: do not edit it.\n"
_SETTINGS = """\
Environment variables that say where Keepstream runs. `keepstream settings` prints those in
force. An unknown variable or an invalid value is refused, with the fix, before anything starts.
These values may be in a file instead, named by the variable with `_FILE` appended: {secrets}.
"""
_PARAMETERS = """\
What Keepstream knows about a shop: [parameters.toml](../../config/parameters.toml). Name a
file of your own in `KEEPSTREAM_PARAMETERS`, or pass `--set NAME=VALUE`; `keepstream parameters`
prints all values in force. With an unknown name, programs refuse to start. Durations are texts such
as `60s`, `10min`, `72h`, `28d`; amounts are in the shop's currency.

The parameters of each part of a customer are in [the catalogue](../catalogue.md).
"""
_COMMANDS = """\
The `--help` of each command. Exit code 0: done; 1: done, and problems were found; 2: it could not
run. Errors are one line on standard error, with the fix.
"""
_METRICS = """\
The metrics on `/metrics`; see [operating](../operating.md#metrics-and-health). The unit is at the
end of the name: bytes for sizes, seconds for times; a counter ends in `_total`. No label names a
customer. Metrics of customers and models appear with the first snapshot.
"""
_TOPICS = """\
The topics that `keepstream topics create` makes, in the order of the flow, each prefixed with
`KEEPSTREAM_TOPIC_PREFIX`. [asyncapi.json](../asyncapi.json) has the keys, headers and schemas of
their records.
"""
#: Help is printed as wide as a line of code may be.
_COLUMNS: Final = 100
_NO_SECTIONS: Final = ("triggers", "actions", "parts")


def settings() -> str:
    """Every environment variable, with its default."""
    secrets = ", ".join(f"`{variable_of(name)}`" for name in SECRETS_IN_FILES)
    lines = [
        f"# Settings\n\n{_MADE}",
        _SETTINGS.format(secrets=secrets),
        *table(
            ("variable", "unless it is set", "what it is"),
            (
                (f"`{one.name}`", f"`{one.default}`" if one.default else "", _cell(one.description))
                for one in describe()
            ),
        ),
    ]
    return _page(lines)


def parameters() -> str:
    """The parameters that belong to no part; the catalogue lists those of the parts."""
    loaded = load_parameters()
    of_parts = {part.parameters.section for part in PARTS if part.parameters is not None}
    words = comments("parameters.toml")
    lines = [
        f"# Parameters\n\n{_MADE}",
        _PARAMETERS,
    ]
    for name in loaded.__struct_fields__:
        section = getattr(loaded, name)
        if name in _NO_SECTIONS or name in of_parts or not isinstance(section, Section):
            continue
        lines.append(f"## {name}\n")
        lines += table(
            ("parameter", "shipped value", "what it is"),
            (
                (f"`{path}`", f"`{value}`" if value else "", _cell(words.get(path, "")))
                for path, value in values(section, name)
            ),
        )
    return _page(lines)


def commands() -> str:
    """Every command with its help."""
    # Importing the commands imports everything they use, which only this page needs.
    from agents.cli import app  # noqa: PLC0415

    root: Any = typer.main.get_command(app)
    lines = [
        f"# Commands\n\n{_MADE}",
        _COMMANDS,
    ]
    for name, command, context in _walked("keepstream", root, None):
        lines.append(f"## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return _page(lines)


def _walked(name: str, command: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    word = name.rpartition(" ")[2]
    context = command.context_class(command, info_name=word, parent=parent, terminal_width=_COLUMNS)
    yield name, command, context
    for inner, subcommand in getattr(command, "commands", {}).items():
        yield from _walked(f"{name} {inner}", subcommand, context)


def metrics() -> str:
    """Every metric, by the program that exports it."""
    programs: Mapping[str, Any] = {
        "A worker": Metrics().registry,
        "The collector": CollectorMetrics(()).registry,
        "A deliverer": WebhookMetrics().registry,
    }
    lines = [
        f"# Metrics\n\n{_MADE}",
        _METRICS,
    ]
    for program, registry in programs.items():
        lines.append(f"## {program}\n")
        found = {one.name: one for one in registry.collect()}
        lines += table(
            ("metric", "type", "labels", "what it says"),
            (_metric(found[name], registry) for name in sorted(found)),
        )
    return _page(lines)


def _metric(metric: Any, registry: Any) -> tuple[str, ...]:
    suffix = "_total" if metric.type == "counter" else ""
    # For a metric without samples, this is the only place with its labels.
    collector = registry._names_to_collectors.get(metric.name)
    labels = getattr(collector, "_labelnames", ())
    named = ", ".join(f"`{label}`" for label in labels)
    return f"`{metric.name}{suffix}`", metric.type, named, _cell(metric.documentation)


def topic_table() -> str:
    """Every topic with its required settings."""
    defaults = Settings()
    declared = topics.topics(defaults.partitions, defaults.replication_factor, has_archive=True)
    lines = [
        f"# Topics\n\n{_MADE}",
        _TOPICS,
        *table(
            ("topic", "what it holds", "partitions", "kept", "settings"),
            (_topic(topic) for topic in declared),
        ),
    ]
    return _page(lines)


def _topic(topic: topics.Topic) -> tuple[str, ...]:
    many = "`KEEPSTREAM_PARTITIONS`" if topic.is_partitioned else "1"
    about = topic.purpose
    if topic.name in topics.ARCHIVE_TOPICS:
        about += " (with `KEEPSTREAM_ARCHIVE=on`)"
    config = ", ".join(f"`{name}={value}`" for name, value in topic.config.items())
    return f"`{topic.name}`", about, many, _kept(topic), config


def _kept(topic: topics.Topic) -> str:
    retention_ms = int(topic.config.get("retention.ms", topics.FOREVER_MS))
    for_how_long = "for ever" if retention_ms < 0 else f"{retention_ms // DAY_MS} days"
    is_compacted = "compact" in topic.config.get("cleanup.policy", "")
    return f"the latest of each key, {for_how_long}" if is_compacted else for_how_long


PAGES: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "parameters": parameters,
    "commands": commands,
    "metrics": metrics,
    "topics": topic_table,
}


def _cell(text: str) -> str:
    """The text, escaped for a cell of a table."""
    return text.replace("|", "\\|")


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def main(directory: Path) -> None:
    """Write every page into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (directory / f"{name}.md").write_text(page())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
