"""The catalogue of parts, learners and outputs, as docs/catalogue.md has it.

python -m agents.words.catalogue > docs/catalogue.md
"""

import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from config.duration import DurationMs
from config.parameters import Section
from models.catalogue import TOPICS
from models.customer.part import INTERACTIONS, Part
from models.customer.registry import PARTS
from models.events.event import Nothing
from models.learning.registry import LEARNERS, Learning
from models.parameters import load_parameters
from streams.outputs import OUTPUTS

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))
_HEAD = """# Catalogue

Made from the registries by `make catalogue`: do not edit it. What each heading means is in
[ARCHITECTURE.md](../ARCHITECTURE.md); how to add a part is there too, under "Where to add".
"""


def catalogue() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_parts(), *_learners(), *_outputs()]).rstrip() + "\n"


def _parts() -> Iterator[str]:
    yield "## Parts\n"
    yield "A customer is the sum of these. They record in this order.\n"
    yield "| part | code | in a sentence |\n|---|---|---|"
    for part in PARTS:
        yield f"| [{part.name}](#{part.name}) | `{part.code}` {part.version} | {part.about} |"
    yield ""
    for part in PARTS:
        yield from _part(part)


def _part(part: Part[Any]) -> Iterator[str]:
    yield f"### {part.name}\n\n{part.about}\n"
    if part.listens is INTERACTIONS:
        yield "Hears everything that customers do themselves.\n"
    elif heard := sorted(name for name in TOPICS if name in part.listens):
        yield f"Hears {', '.join(heard)}.\n"
    yield from _shapes(part)
    if part.reads:
        names = sorted({f"`{reading.__name__}` of {_owner(reading)}" for reading in part.reads})
        yield f"Reads {', '.join(names)}.\n"
    if part.parameters is not None:
        section = load_parameters().of(part.parameters)
        yield "| parameter | shipped value |\n|---|---|"
        yield from (f"| `{name}` | {value} |" for name, value in _parameters(section))
        yield ""
    if part.moments:
        yield "| moment | when |\n|---|---|"
        yield from (f"| `{name}` | {words} |" for name, words in part.moments.items())
        yield ""
    if part.facts:
        yield "| fact | what it says | in a receipt |\n|---|---|---|"
        for name, fact in part.facts.items():
            only = f" (at `{fact.moment}` alone)" if fact.moment is not None else ""
            yield f"| `{name}` | {fact.about}{only} | {fact.words} |"
        yield ""
    if part.sections:
        names = [f"`{_camel(section.name)}`" for section in part.sections]
        yield f"In the profile: {', '.join(names)}.\n"
    if part.population is not None:
        yield "| of all customers | what it says |\n|---|---|"
        yield from (f"| `{m.name}` | {m.about} |" for m in part.population.measures)
        yield ""


def _shapes(part: Part[Any]) -> Iterator[str]:
    """The properties that state needs of the events that the part owns or adds to."""
    shapes = {name: kind.shape for name, kind in part.events.items() if kind.shape is not Nothing}
    rows = [(name, shape, "") for name, shape in shapes.items()]
    rows += [(name, shape, ", added") for name, shape in part.adds.items()]
    if not rows:
        return
    yield "| event | properties that state needs |\n|---|---|"
    for name, shape, added in rows:
        fields = ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(shape))
        yield f"| {name} | {fields}{added} |"
    yield ""


def _owner(reading: Any) -> str:
    return next(part.name for part in PARTS if reading in part.offers)


def _parameters(section: Any, path: str = "") -> Iterator[tuple[str, str]]:
    name = path or type(section).section
    for field, value in msgspec.structs.asdict(section).items():
        if isinstance(value, Section):
            yield from _parameters(value, f"{name}.{field}")
        elif isinstance(value, dict):
            yield f"{name}.{field}", f"a table of {len(value)}"
        else:
            yield f"{name}.{field}", _value(value)


def _value(value: object) -> str:
    if isinstance(value, DurationMs):
        unit, size = next((unit, size) for unit, size in _UNITS if value % size == 0)
        return f"{value // size}{unit}" if value else "0s"
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _learners() -> Iterator[str]:
    yield "## Learners\n"
    yield "What is learnt of all customers together; each draws its part of a snapshot.\n"
    yield "| learner | learns from | draws | measures |\n|---|---|---|---|"
    yield from (_learner(learning) for learning in LEARNERS)
    yield ""


def _learner(learning: Learning) -> str:
    lessons = ", ".join(f"`{kind.__name__}`" for kind in learning.learns)
    drawn = f"`{learning.drawn.__name__}`" if learning.drawn is not None else "nothing"
    measures = ", ".join(f"`{measure.name}`" for measure in learning.measures)
    return f"| {learning.name} | {lessons} | {drawn} | {measures} |"


def _outputs() -> Iterator[str]:
    yield "## Outputs\n"
    yield "| effect | topic | key |\n|---|---|---|"
    for kind, output in OUTPUTS.items():
        key = "customer" if output.is_partitioned else "none"
        yield f"| `{kind.__name__}` | `{output.topic}` | {key} |"


if __name__ == "__main__":
    sys.stdout.write(catalogue())
