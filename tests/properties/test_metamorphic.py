"""For any small log: dates, customers' names, and the number of their ids make no difference to the
triggers about them.
"""

from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from models.decisions.trigger import NextBestAction, Trigger
from models.events.times import iso
from models.replay import Replay
from tests.models.lines import SHIPPED, START_MS, watermark
from tests.properties.histories import CUSTOMERS, histories

PARAMETERS = replace(SHIPPED, identity=replace(SHIPPED.identity, enabled=True))
SEVEN_WEEKS_MS = 49 * DAY_MS
#: So long after the beginning little is due any more but check-ins.
END_MS = START_MS + 300 * DAY_MS
#: Comes at a time of the day that follows from the customer's name.
SPREAD = {"contact-due"}

Lines = list[dict[str, Any]]
#: What was said: when, of whom, what, and what is to be done about it.
Said = list[tuple[int, str, str, str | None]]


def said(lines: Lines, end_ms: int = END_MS) -> Said:
    replay = Replay(PARAMETERS)
    raws = [*map(orjson.dumps, lines), watermark(end_ms)]
    found: Said = []
    for number, raw in enumerate(raws, 1):
        for one in replay.feed(raw, number):
            if isinstance(one, Trigger | NextBestAction) and not SPREAD.issuperset(kinds_of(one)):
                action = one.action if isinstance(one, NextBestAction) else None
                found.append((_ms(one.timestamp), one.user_id, one.kind, action))
    return sorted(found, key=str)


def kinds_of(decided: Trigger | NextBestAction) -> tuple[str, ...]:
    """The kind of a trigger, or the kinds that a decision answers."""
    return decided.triggers if isinstance(decided, NextBestAction) else (decided.kind,)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def decoded(log: list[bytes]) -> Lines:
    return [orjson.loads(line) for line in log]


def changed(log: list[bytes], change: Callable[[dict[str, Any]], object]) -> Lines:
    lines = decoded(log)
    for line in lines:
        change(line)
    return lines


@given(log=histories())
def test_a_log_of_seven_weeks_later_says_the_same_seven_weeks_later(log: list[bytes]) -> None:
    def later(line: dict[str, Any]) -> None:
        line["timestamp"] = iso(_ms(line["timestamp"]) + SEVEN_WEEKS_MS)

    found = said(changed(log, later), END_MS + SEVEN_WEEKS_MS)

    assert said(decoded(log)) == sorted(
        ((at_ms - SEVEN_WEEKS_MS, *rest) for at_ms, *rest in found), key=str
    )


#: The other way round in the order of names.
OTHERS = dict(zip(CUSTOMERS, ("zoe", "max", "ann"), strict=True))


@given(log=histories())
def test_other_names_change_nothing_but_names(log: list[bytes]) -> None:
    found = said(changed(log, lambda line: line.update(userId=OTHERS[line["userId"]])))

    assert found == sorted(
        ((at_ms, OTHERS[who], *rest) for at_ms, who, *rest in said(decoded(log))), key=str
    )


def _introduced(log: list[bytes], *, as_visitors: bool) -> Lines:
    """Each customer is introduced first, as a former visitor or not."""
    first_ms = _ms(orjson.loads(log[0])["timestamp"])
    hello: Lines = []
    for customer in CUSTOMERS:
        one: dict[str, Any] = {"type": "identify", "userId": customer}
        one |= {"messageId": f"hello {customer}", "timestamp": iso(first_ms)}
        hello.append({**one, "anonymousId": f"{customer}-2"} if as_visitors else one)
    return [*hello, *decoded(log)]


def _half_as_visitors(lines: Lines, rng: Random) -> Lines:
    """All news of one order and of one ticket come under one id, and outcomes under the id for
    which the action was decided.
    """
    homes: dict[tuple[str, str], bool] = {}
    for line in lines:
        if line["type"] == "identify":
            continue
        of = line.get("properties", {})
        thing = of.get("order_id") or of.get("ticket_id") or line["messageId"]
        if homes.setdefault((line["userId"], thing), rng.random() < 0.5):
            line["anonymousId"] = f"{line.pop('userId')}-2"
    return lines


@given(log=histories(), seed=st.integers(0, 2**32))
def test_a_person_of_two_ids_is_told_the_same_as_one_of_one(log: list[bytes], seed: int) -> None:
    one = said(_introduced(log, as_visitors=False))
    two = said(_half_as_visitors(_introduced(log, as_visitors=True), Random(seed)))

    assert one == two
