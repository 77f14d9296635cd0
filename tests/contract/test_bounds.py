"""C3: a part's state has a limit, whatever events come, and however many."""

from contextlib import suppress
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from config.duration import HOUR_MS, MINUTE_MS
from models import engine
from models.customer.part import Part
from models.customer.row import Row
from models.events.rejection import Rejected
from models.plan import plan_for
from tests.contract.lives import kind_for, some_event
from tests.contract.parts import ALL_ON, every_part, present
from tests.models.lines import START_MS

#: Of anything that is kept, this much at most, for a test that takes no time: the limit of a state
#: grows with its bounds, and so ten times as many would only take ten times as long.
_KEPT_MAX = 64
#: Many times what is kept: once a bound is reached, one event more, or a hundred thousand, make no
#: difference.
_EVENTS = 1_000
#: Packing takes as long as an event, and a state that grows does so for more than a few events.
_LOOK_EVERY = 8
#: Most events longer than a session's gap apart, so that each is one more of everything.
_APART_MS = (31 * MINUTE_MS,) * 4 + (12 * HOUR_MS,)
#: What one thing that is kept may take.
_ITEM_BYTES_MAX = 100
STATE_BYTES_MAX = _ITEM_BYTES_MAX * _KEPT_MAX


def limited(section: Struct) -> Struct:
    """The section with all its limits at `_KEPT_MAX` or below."""
    values = {name: getattr(section, name) for name in section.__struct_fields__}
    # Times and points have types of their own.
    many = {name: _KEPT_MAX for name, value in values.items() if type(value) is int}
    return replace(section, **{n: limit for n, limit in many.items() if values[n] > limit})


def always_new() -> Any:
    """Each text is new, and as long as allowed: a code, or free text."""
    said = 0

    def text(_name: str, rng: Random) -> str:
        nonlocal said
        said += 1
        if rng.random() < 0.5:
            return "".join("abcdefghij"[int(digit)] for digit in f"{said:032}")
        return f"{said:0256}"

    return text


PLAN = plan_for(
    replace(
        ALL_ON,
        bounds=limited(ALL_ON.bounds),
        parts={kind: limited(section) for kind, section in ALL_ON.parts.items()},
    )
)


@every_part
def test_a_state_does_not_grow_without_end(part: Part[Any]) -> None:
    row, rng, texts, at_ms = Row(), Random(part.name), always_new(), START_MS
    sizes = []
    for number in range(_EVENTS):
        at_ms += rng.choice(_APART_MS)
        event = some_event(kind_for(part, rng), at_ms, f"m-{number}", rng, texts)
        if event is not None:
            # What was let go of may be refused.
            with suppress(Rejected):
                engine.step(row, event, PLAN.context(present().snapshot, clock_ms=at_ms), PLAN)
        if number % _LOOK_EVERY == 0:
            sizes.append(len(part.pack(row.read(part))))
    later = sizes[2 * len(sizes) // 3 :]

    assert max(sizes) <= STATE_BYTES_MAX
    # A few things come so rarely that their bound is reached late.
    assert max(later) <= 1.1 * max(sizes[: -len(later)]) + 1_024
