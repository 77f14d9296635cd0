"""Scores use what had happened by their time, and nothing that came after it."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import orjson
import pytest
from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, simulate
from config.duration import DAY_MS
from models.admission import decode_event
from models.answer import Score
from models.customer.order_records import count
from models.customer.purchases import PURCHASES
from models.customer.row import Row
from models.customer.scores import assessment
from models.events.times import iso
from models.events.wire import decode_line, timestamp_ms
from models.hindsight import Hindsight
from models.parameters import load_parameters
from tests.models.lines import PARAMETERS, PRIOR, START_MS, at, context, line, of, scene, step
from tests.replay.shops import Outcome, replayed, with_watermarks

#: A week is short enough that several models are made within the log.
PARAMETERS_OF_A_SHORT_LOG = replace(
    load_parameters(assignments=["churn.horizon_days=7,28"]),
    learning=replace(PARAMETERS.learning, minimum_examples=20, learning_rate=0.01),
)
SHOP = ShopConfig(
    seed=23,
    customers=60,
    start_ms=START_MS,
    days=80,
    shuffled=0.02,
    duplicates=0.01,
    late=0.0,
    malformed=0.005,
)
HORIZONS = (None, None, 7, 28, 56, 13.5)


def asked(number: int, customer: str, at_ms: int, horizon: float | None = None) -> bytes:
    said: dict[str, Any] = {
        "type": "score",
        "messageId": f"s-{number}",
        "userId": customer,
        "timestamp": iso(at_ms),
    }
    if horizon is not None:
        said["horizonDays"] = horizon
    return orjson.dumps(said)


def is_score(content: bytes) -> bool:
    return content.startswith(b'{"type":"score"')


def with_scores(lines: list[bytes], *, seed: int, share: float = 0.2) -> list[bytes]:
    """Questions spread over a log: about known and unknown customers, now, before and after."""
    rng = Random(seed)
    found: list[bytes] = []
    now_ms = START_MS
    for number, content in enumerate(lines):
        found.append(content)
        now_ms = max(now_ms, moment(content, now_ms))
        if rng.random() < share:
            back_ms = rng.choice([0, 0, 1, rng.randrange(DAY_MS), rng.randrange(30 * DAY_MS)])
            ahead_ms = rng.choice([0, 0, 0, DAY_MS])
            customer = f"c-{rng.randrange(66):05d}"
            found.append(asked(number, customer, now_ms - back_ms + ahead_ms, rng.choice(HORIZONS)))
    return found


def moment(content: bytes, default_ms: int) -> int:
    """When a line happened; ``default_ms`` for one that cannot be read."""
    try:
        return timestamp_ms(decode_line(content))
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return default_ms


def plain(config: ShopConfig) -> list[bytes]:
    return [record.value for record in simulate(config)]


LOGS: dict[str, Callable[[ShopConfig], list[bytes]]] = {
    "plain": plain,
    "watermarks": with_watermarks,
}


@pytest.fixture(scope="module", params=LOGS)
def log(request: pytest.FixtureRequest) -> list[bytes]:
    return with_scores(LOGS[request.param](SHOP), seed=1)


@pytest.fixture(scope="module")
def whole(log: list[bytes]) -> Outcome:
    return replayed(log, PARAMETERS_OF_A_SHORT_LOG)


def test_every_score_line_is_answered_once_and_in_order(log: list[bytes], whole: Outcome) -> None:
    questions = [orjson.loads(content) for content in log if is_score(content)]
    answers = [orjson.loads(score) for score in whole.scores]

    assert len(questions) > 200
    assert [(q["messageId"], q["userId"], q["timestamp"]) for q in questions] == [
        (a["messageId"], a["userId"], a["timestamp"]) for a in answers
    ]
    assert [q.get("horizonDays", 7) for q in questions] == [a["horizonDays"] for a in answers]
    assert {"champion", "baseline", "prior"} == {a["source"] for a in answers}
    assert all(0 < a["churnProbability"] < 1 for a in answers)
    assert all(a["source"] == "prior" for a in answers if a["userId"] >= "c-00060")
    assert all(a["source"] != "champion" for a in answers if a["horizonDays"] in (56, 13.5))
    assert all(a["value"] is None for a in answers if a["source"] == "prior")
    assert all(a["value"] > 0 for a in answers if a["source"] != "prior")


def test_a_shorter_log_gives_the_beginning_of_what_a_longer_one_gives(
    log: list[bytes], whole: Outcome, request: pytest.FixtureRequest
) -> None:
    rng = Random(3)
    cuts = 30 if request.config.getoption("--nightly") else 3
    for cut in (*(rng.randrange(len(log)) for _ in range(cuts)), 0, len(log) - 1):
        shorter = replayed(log[:cut], PARAMETERS_OF_A_SHORT_LOG)

        assert shorter.triggers == whole.triggers[: len(shorter.triggers)]
        assert sum(map(is_score, log[:cut])) == len(shorter.scores)
        assert shorter.scores == whole.scores[: len(shorter.scores)]
        assert shorter.dead_letters == whole.dead_letters[: len(shorter.dead_letters)]


def test_a_log_without_its_score_lines_gives_the_same(log: list[bytes], whole: Outcome) -> None:
    left_alone = replayed(
        [content for content in log if not is_score(content)], PARAMETERS_OF_A_SHORT_LOG
    )

    assert whole.triggers == left_alone.triggers
    assert whole.customers == left_alone.customers
    assert whole.dead_letters != []
    assert [orjson.loads(letter)["raw"] for letter in whole.dead_letters] == [
        orjson.loads(letter)["raw"] for letter in left_alone.dead_letters
    ]
    assert whole.replay.summary().model_version == left_alone.replay.summary().model_version > 1


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 12))]
)
def test_a_question_asked_late_is_answered_as_if_nothing_later_had_come(
    kind: str, seed: int
) -> None:
    rng = Random(seed)
    lines = LOGS[kind](SHOP)
    cut = rng.randrange(len(lines) // 2, len(lines))
    now_ms = max(moment(content, 0) for content in lines[:cut])
    at_ms = now_ms - rng.choice([1_000, 30_000, 3_600_000, 5 * DAY_MS, 25 * DAY_MS])
    questions = [
        asked(number, f"c-{number:05d}", at_ms, rng.choice(HORIZONS)) for number in range(62)
    ]
    # A line that cannot be read stays where it is.
    earlier = [content for content in lines[:cut] if moment(content, 0) <= at_ms]
    later = [content for content in lines[:cut] if moment(content, 0) > at_ms]
    asked_late = replayed([*lines[:cut], *questions], PARAMETERS_OF_A_SHORT_LOG)
    asked_in_time = replayed([*earlier, *questions, *later], PARAMETERS_OF_A_SHORT_LOG)

    assert later
    assert asked_in_time.scores == asked_late.scores
    sources = {msgspec.json.decode(score, type=Score).source for score in asked_late.scores}
    assert "prior" in sources
    assert len(sources) > 1


def bought(day: float) -> bytes:
    return line("Order Completed", at(days=day), properties={"order_id": f"{day}", "revenue": 9})


def test_a_question_asked_late_finds_orders_packed_as_they_were_then() -> None:
    """Of old orders less is stored, whenever the question is asked."""
    hindsight, row, known = Hindsight(), Row(), {}
    hindsight.adopted(PRIOR, 0)
    for day in (0, 1, 500, 507, 520):
        event = decode_event(bought(day), message_id="")
        now = context(event.occurred_at_ms)
        row, *_ = step(row, event, now)
        hindsight.record(event, now.clock_ms)
        known[day] = row
    plan = context().plan
    then = hindsight.row(row, "ada", at(days=510), plan)
    kept = of(known[507]).purchases

    assert (2, 2) == (len(kept.orders), count(kept.records))
    assert then is not None
    assert PURCHASES.pack(kept) == PURCHASES.pack(of(then).purchases)
    assert assessment(scene(known[507], at(days=510))) == assessment(scene(then, at(days=510)))
    assert hindsight.row(row, "ada", at(days=520), plan) is row
    assert hindsight.row(row, "ada", at(days=-1), plan) is None


@pytest.mark.parametrize(
    ("before", "customer"),
    [
        ([], "nobody"),
        ([line("page", at())], "ada"),
        ([line("page", at())], "bob"),
        ([bought(0), line("Order Cancelled", at(1), properties={"order_id": "0"})], "ada"),
        ([bought(9)], "ada"),
    ],
    ids=["an empty log", "a visitor", "a stranger", "cancelled", "not yet"],
)
def test_who_has_not_bought_has_the_prior(before: list[bytes], customer: str) -> None:
    [said] = replayed([*before, asked(1, customer, at(days=5), 30)]).scores
    score = msgspec.json.decode(said, type=Score)

    assert ("prior", 0, 30.0, PARAMETERS.churn.prior, None) == (
        score.source,
        score.model_version,
        score.horizon_days,
        score.churn_probability,
        score.value,
    )


def test_a_later_question_is_no_less_certain_that_a_silent_customer_is_gone() -> None:
    questions = [asked(day, "c-00003", at(days=80 + day), 56) for day in range(200)]
    answers = [
        msgspec.json.decode(score, type=Score)
        for score in replayed(
            [*with_watermarks(SHOP), *questions], PARAMETERS_OF_A_SHORT_LOG
        ).scores
    ]

    assert {"baseline"} == {answer.source for answer in answers}
    said = [answer.churn_probability for answer in answers]
    assert sorted(said) == said
    assert said[-1] > said[0] + 0.05
