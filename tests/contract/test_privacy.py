"""C11: no text that a person may have written enters a row or leaves it.

Allowed are: codes (choices from a list), names of channels, names of events that a part declares,
and the operator's names for triggers, actions and scorers.
"""

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, NamedTuple

import orjson
import pytest

from config.duration import DAY_MS, HOUR_MS
from models.catalogue import KINDS, UNKNOWN
from models.customer.part import Part
from models.customer.profile import encode_profile, profile
from models.customer.registry import PARTS
from models.customer.row import Row, encode_row
from models.decisions.trigger import NextBestAction, Trigger, encode_decision
from models.engine import Effect
from models.events.event import Event, Kind
from models.learning.lessons import Example, Lesson, Observation, encode_lesson
from tests.contract.exceptions import TEXTS_THAT_TRAVEL
from tests.contract.lives import STRANGE, admitted, event_line, said, shape_of, stepped
from tests.contract.parts import every_part, facts_of, present, sections_of
from tests.contract.silence import at_once, silence
from tests.models.lines import START_MS, happened

#: No code: it has blanks and digits in it, as what people write.
CANARY = "Ada Lovelace, 12 St James's Square"
#: What is looked for, in whatever case, wherever the text was cut.
_TRACE = CANARY[:12].lower().encode()
_ROUNDS = 5
_TRIES = 30


class Told(NamedTuple):
    """What is left of a customer, what was emitted about them, and where a canary appeared in
    between, with the part whose state or facts it was in.
    """

    row: Row
    effects: list[Effect]
    taken: frozenset[Kind]
    seen: dict[str, str]


def traces(content: bytes) -> str:
    """Where a canary appears, with some text around it; empty if it does not."""
    place = content.lower().find(_TRACE)
    return "" if place < 0 else repr(content[max(place - 60, 0) : place + 80])


def texts_of(kind: Kind) -> Any:
    """A canary in every text except those that may be stored; each names its place."""

    def text(name: str, rng: Random) -> str:
        if (kind.name, name) in TEXTS_THAT_TRAVEL:
            return rng.choice(("web", "store"))
        return f"{CANARY}: {kind.name}.{name}"

    return text


def with_canaries(kind: Kind, at_ms: int, rng: Random) -> Event | None:
    """An event in which every text and every undeclared field is a canary."""
    for _ in range(_TRIES):
        properties = {
            **said(shape_of(kind), rng, texts_of(kind)),
            "note": f"{CANARY}: note",
            "traits": {"name": f"{CANARY}: traits"},
        }
        line = orjson.loads(event_line(kind, at_ms, f"{kind.number}-{at_ms}", properties, "web"))
        line["traits"] = {"email": f"{CANARY}: line"}
        line["context"] |= {"ip": f"{CANARY}: context", "traits": {"name": f"{CANARY}: context"}}
        if line.get("event") == STRANGE:
            line["event"] = f"{CANARY}: event"
        event = admitted(orjson.dumps(line))
        if event is not None:
            return event
    return None


def _contents(row: Row, event: Event) -> Iterator[tuple[str, bytes]]:
    """Everything known about the customer right after an event."""
    yield "row", encode_row(row)
    at_ms = event.occurred_at_ms
    for part in PARTS:
        facts = facts_of(part, row, at_ms, event), sections_of(part, row, at_ms, event)
        yield part.name, part.pack(row.read(part)) + repr(facts).encode()


@cache
def told() -> Told:
    """Results for a customer to whom everything happened several times, followed by long
    silence.
    """
    row, rng, at_ms = Row(), Random(11), START_MS
    effects: list[Effect] = []
    taken, seen = set(), dict.fromkeys(("row", *(part.name for part in PARTS)), "")
    for _ in range(_ROUNDS):
        for kind in rng.sample(KINDS, len(KINDS)):
            at_ms += HOUR_MS
            event = with_canaries(kind, at_ms, rng)
            if event is not None:
                taken.add(kind)
                effects += stepped([event], row)
                for name, content in _contents(row, event):
                    seen[name] = seen[name] or traces(content)
    # So that something is learnt of them, whatever they refused among all that.
    effects += stepped([happened("Consent Granted", at_ms + HOUR_MS)], row)
    effects += silence(row, row.latest_ms + 90 * DAY_MS, at_once)[1]
    return Told(row, effects, frozenset(taken), seen)


def test_everything_happened_and_every_kind_of_effect_came_of_it() -> None:
    assert set(KINDS) == told().taken
    assert {Trigger, NextBestAction, Observation, Example} <= {type(one) for one in told().effects}


@every_part
def test_no_text_enters_a_state_is_a_fact_or_stands_in_a_profile(part: Part[Any]) -> None:
    assert "" == told().seen[part.name]


def test_no_text_is_in_a_row_a_profile_a_lesson_or_a_decision() -> None:
    row, at_ms = told().row, told().row.latest_ms
    lessons = [one for one in told().effects if isinstance(one, Lesson)]
    decisions = [one for one in told().effects if not isinstance(one, Lesson)]

    assert "" == told().seen["row"]
    assert "" == traces(encode_row(row))
    assert "" == traces(encode_profile(profile("ada", row, at_ms, present(at_ms).present)))
    assert [] == [trace for one in lessons if (trace := traces(encode_lesson(one)))]
    assert [] == [trace for one in decisions if (trace := traces(encode_decision(one)))]


@pytest.mark.parametrize(("name", "field"), TEXTS_THAT_TRAVEL)
def test_a_text_that_travels_by_agreement_is_one_that_is_declared(name: str, field: str) -> None:
    [kind] = [kind for kind in KINDS if kind.name == name]

    assert field in kind.declared.shape.__struct_fields__
    assert kind is not UNKNOWN


def test_a_canary_is_noticed() -> None:
    assert "Ada Lovelace" in traces(b'{"reason":"' + CANARY.encode()[:20] + b'"}')
    assert "" == traces(b'{"reason":"too_expensive"}')
