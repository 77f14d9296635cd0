"""Makes docs/catalogue.md: the catalogue of parts, learners and outputs.

python -m agents.catalogue > docs/catalogue.md
"""

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from agents.documents.tables import comments, table, values
from agents.trials.typical import SHOP, Sizes, typical_sizes
from config.rules import TriggerRule
from models.customer.part import EVERYTHING, INTERACTIONS, Part, Timer
from models.customer.registry import PARTS
from models.events.event import Nothing
from models.learning.registry import LEARNERS, Learning
from models.measures import Measure
from models.parameters import load_parameters
from streams.outputs import OUTPUTS

_TESTS = Path(__file__).parents[1] / "tests"
_HEAD = """# Catalogue

Everything in Keepstream, part by part: the events a part hears, its parameters, what it knows about
a customer, and when rules are evaluated because of it. Generated from the registries by
`make catalogue`: do not edit it. [Extending it](extending.md) says how to add to it.

- **Facts** are the values that rules may name in `when`, `because` and `value`; the last column is
  their wording in a receipt. **Moments** are when rules are evaluated, with the triggers that are
  shipped for them. The last column is a customer of
  [the test company](../tests/company/examples.toml) for whom the moment must not occur, although it
  nearly does; those of triggers and stages are [at the end](#silent-customers).
- **Readings** are the values that a part offers to other parts; no part reads another's state.
- **Timers** are the deadlines that a part sets; each runs at exactly its time.
- **State** is what a part stores about each customer, in bytes before compression: the median in a
  simulated shop of {customers} customers after {days} days, among the customers with any state.
  A stored row of this shop takes {row:,} bytes in all. `make parts` measures what an optional part
  costs per event, see [Performance](performance.md#what-each-part-costs).
"""


def catalogue() -> str:
    """Return the whole page."""
    sizes = typical_sizes()
    head = _HEAD.format(customers=SHOP.customers, days=SHOP.days, row=sizes.row)
    pages = [head, *_parts(sizes), *_learners(), *_effects(), *_silent()]
    return "\n".join(pages).rstrip() + "\n"


def _parts(sizes: Sizes) -> Iterator[str]:
    yield "## Parts\n"
    yield "A customer is the sum of these. They record in this order.\n"
    yield "| part | in a sentence |\n|---|---|"
    yield from (f"| [{part.name}](#{part.name}) | {part.about} |" for part in PARTS)
    yield ""
    for part in PARTS:
        yield from _part(part, sizes)


def _part(part: Part[Any], sizes: Sizes) -> Iterator[str]:
    yield f"### {part.name}\n\n{part.about}\n"
    yield from (f"- {line}" for line in _in_short(part, sizes))
    yield ""
    yield from _shapes(part)
    yield from table(("parameter", "shipped value", "what it is"), _parameters(part))
    heads = ("moment", "when", "shipped triggers", "and not for")
    yield from table(heads, _moments(part))
    yield from table(("fact", "what it says", "in a receipt"), _facts(part))
    if part.population is not None:
        measures = _measures(part.population.measures)
        yield from table(("measure of all customers", "what it says", "labels"), measures)


def _in_short(part: Part[Any], sizes: Sizes) -> Iterator[str]:
    if part.listens is INTERACTIONS:
        yield "Hears everything that customers do themselves"
    elif part.listens is EVERYTHING:
        yield "Hears everything that happens"
    else:
        own = [name for name in part.events if name in part.listens]
        others = sorted(name for name in part.listens if name not in part.events)
        heard = [f"its own events {', '.join(own)}"] if own else []
        heard += [f"{', '.join(others)}"] if others else []
        yield f"Hears {'; and '.join(heard)}"
    if part.reads:
        read = {other.name: set(part.reads).intersection(other.offers) for other in PARTS}
        yield f"Reads {', '.join(f'{name} ({_names(of)})' for name, of in read.items() if of)}"
    readers = {other.name: set(other.reads).intersection(part.offers) for other in PARTS}
    told = [f"{name} ({_names(read)})" for name, read in readers.items() if read]
    if told:
        yield f"Is read by {', '.join(told)}"
    if part.timers:
        yield f"Waits on {', '.join(map(_timer, part.timers))}"
    if part.look is not None:
        yield "Looks at the customer at the end of each purchase day and at check-ins"
    if part.sections:
        yield f"Shows in the profile {', '.join(f'`{_camel(s.name)}`' for s in part.sections)}"
    yield from _tried(part)
    typical = sizes.parts.get(part.name)
    if typical is None:
        yield f"No customer of that shop had any at its end (code `{part.code}`)"
    else:
        kept = f"{len(part.empty)} while empty, which is not stored"
        yield f"State: code `{part.code}`, version {part.version}; {typical} bytes, {kept}"


def _tried(part: Part[Any]) -> Iterator[str]:
    """The tests of a part, and the test that shows for whom the part must say nothing."""
    tried = [_link(path) for path in sorted(_TESTS.glob(f"models/test_{part.name}*.py"))]
    tried += [f"the story {_link(path)}" for path in _stories(part)]
    if tried:
        yield f"Tested by {', '.join(tried)}"
    if part.name in _examples()["parts"]:
        file, _, name = str(_examples()["parts"][part.name]).partition("::")
        words = name.removeprefix("test_").replace("_", " ")
        yield f"Stays silent where it must: [{words}](../tests/models/{file})"


def _stories(part: Part[Any]) -> Iterator[Path]:
    """The replay stories in which a trigger fires that is shipped for one of the part's moments."""
    rules = [rule for rule in _shipped_rules() if rule.moment in part.moments]
    fired = [f'"kind":"{rule.name}"'.encode() for rule in rules]
    for path in sorted(_TESTS.glob("replay/*.expected.jsonl")):
        content = path.read_bytes()
        if any(kind in content for kind in fired):
            yield path.with_name(path.name.replace(".expected", ""))


@cache
def _shipped_rules() -> tuple[TriggerRule, ...]:
    return load_parameters().triggers.triggers


def _link(path: Path) -> str:
    return f"[{path.name}](../{path.relative_to(_TESTS.parent)})"


def _timer(timer: Timer) -> str:
    said = {
        "before all others of a moment": timer.first,
        "after all others of a moment": timer.last,
        "only when the log's clock is there": timer.waits_for_clock,
    }
    words = ", ".join(words for words, is_so in said.items() if is_so)
    return f"`{timer.code}` ({words})" if words else f"`{timer.code}`"


def _names(readings: Iterable[Any]) -> str:
    return ", ".join(sorted(f"`{reading.__name__}`" for reading in readings))


def _moments(part: Part[Any]) -> Iterator[tuple[str, ...]]:
    for name, words in part.moments.items():
        shipped = [f"`{rule.name}`" for rule in _shipped_rules() if rule.moment == name]
        silent = _examples()["moments"].get(name)
        yield f"`{name}`", words, ", ".join(shipped), _who(silent) if silent else ""


def _facts(part: Part[Any]) -> Iterator[tuple[str, ...]]:
    for name, fact in part.facts.items():
        only = f" (at `{fact.moment}` alone)" if fact.moment is not None else ""
        words = fact.words.format(" or ".join(fact.answers[::-1])) if fact.answers else fact.words
        yield f"`{name}`", fact.about + only, words


def _measures(measures: Iterable[Measure]) -> Iterator[tuple[str, ...]]:
    for measure in measures:
        yield f"`{measure.name}`", measure.about, ", ".join(measure.labels)


def _shapes(part: Part[Any]) -> Iterator[str]:
    """The properties that the part needs from the events that it owns or adds to."""
    events: dict[tuple[type, str], list[str]] = {}
    for name, kind in part.events.items():
        if kind.shape is not Nothing:
            added = ", made of its traits" if kind.has_traits else ""
            events.setdefault((kind.shape, added), []).append(name)
    for name, shape in part.adds.items():
        events.setdefault((shape, ", added to those it has"), []).append(name)
    yield from table(
        ("event", "properties that are looked at"),
        (
            (", ".join(names), ", ".join(map(_property, msgspec.structs.fields(shape))) + added)
            for (shape, added), names in events.items()
        ),
    )


def _property(field: msgspec.structs.FieldInfo) -> str:
    return f"`{field.encode_name}`" + (" (required)" if field.required else "")


def _parameters(part: Part[Any]) -> Iterator[tuple[str, ...]]:
    if part.parameters is not None:
        file = f"parts/{part.name}.yaml" if part.has_own_file else "parameters.toml"
        words = comments(file, part.name if part.has_own_file else "")
        for name, shipped in values(load_parameters().of(part.parameters), part.parameters.section):
            yield f"`{name}`", shipped, words.get(name, "")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _learners() -> Iterator[str]:
    yield "## Learners\n"
    yield "What is learnt of all customers together; what each draws becomes part of a snapshot.\n"
    yield from table(("learner", "learns from", "draws"), map(_learner, LEARNERS))
    measures = (
        (*measure, learning.name)
        for learning in LEARNERS
        for measure in _measures(learning.measures)
    )
    yield from table(("measure", "what it says", "labels", "learner"), measures)


def _learner(learning: Learning) -> tuple[str, ...]:
    lessons = ", ".join(f"`{kind.__name__}`" for kind in learning.learns)
    return learning.name, lessons, "nothing" if learning.drawn is None else _first(learning.drawn)


def _effects() -> Iterator[str]:
    """The effects that leave the engine, and their topics."""
    yield "## Outputs\n"
    yield "What comes of an event or of silence, and where it goes.\n"
    yield from table(
        ("effect", "what it is", "topic", "keyed by"),
        (
            (
                f"`{kind.__name__}`",
                _first(kind),
                f"`{output.topic}`",
                "customer" if output.is_partitioned or output.is_of_key else "nothing",
            )
            for kind, output in OUTPUTS.items()
        ),
    )


def _silent() -> Iterator[str]:
    """For each trigger and stage, a customer to whom it applies and one to whom it must not."""
    yield "## Silent customers\n"
    yield "For each trigger and stage, a customer of the test company to whom it applies, and one"
    yield "to whom it must not apply, although it nearly does."
    yield "[test_company.py](../tests/company/test_company.py) checks both.\n"
    for head, one in (("trigger", "triggers"), ("stage", "stages")):
        yield from table(
            (head, "applies to", "and not to"),
            ((f"`{n}`", f"`{e['said_of']}`", _who(e)) for n, e in _examples()[one].items()),
        )


@cache
def _examples() -> dict[str, Any]:
    return tomllib.loads((_TESTS / "company/examples.toml").read_text())


def _who(example: Mapping[str, str]) -> str:
    return f"`{example['silent']}`: {example['because']}"


def _first(kind: type) -> str:
    """The first paragraph of the type's docstring, in one line."""
    paragraph = str(kind.__doc__).strip().partition("\n\n")[0]
    return " ".join(paragraph.split()).replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(catalogue())
