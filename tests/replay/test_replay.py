"""The engine over a log: exact, causal, and the same on every run."""

from itertools import pairwise
from random import Random

import msgspec
import orjson
import pytest
from msgspec.structs import replace

from agents.trials.demo.shop import simulate
from models.answer import Score
from models.customer.row import encode_row
from models.decisions.trigger import ACTION_WITHDRAWN, NEXT_BEST_ACTION, Trigger
from models.engine import Fate
from models.events.dead_letter import DeadLetter
from models.events.rejection import Reason
from models.events.times import iso
from models.learning.population import Population
from models.learning.snapshot import Snapshot, SnapshotError
from models.learning.trainer import Trainer, TrainerState
from models.replay import Replay
from streams.log_records import clock_record
from tests.models.lines import PARAMETERS, PRIOR, at, line, watermark
from tests.replay.shops import (
    PARAMETERS_OF_A_SMALL_SHOP,
    SHOP,
    Outcome,
    replayed,
    with_watermarks,
)


@pytest.fixture(scope="module")
def shop() -> list[bytes]:
    return [record.value for record in simulate(SHOP)]


@pytest.fixture(scope="module")
def watched() -> list[bytes]:
    """The shop's log with a watermark a day."""
    return with_watermarks(SHOP)


@pytest.fixture(scope="module")
def whole(shop: list[bytes]) -> Outcome:
    return replayed(shop)


def test_the_shop_has_something_of_everything(shop: list[bytes], whole: Outcome) -> None:
    summary = whole.replay.summary()

    assert len(shop) == summary.events["read"]
    # Nobody asks to be erased in it.
    for fate in ({*Fate} - {Fate.ERASED}) | {"deadLettered"}:
        assert summary.events[fate] > 0
    kinds = {rule.name for rule in PARAMETERS.triggers.triggers}
    kinds |= {NEXT_BEST_ACTION, ACTION_WITHDRAWN}
    # Too few customers for too short a time for anybody to be at risk or lost, for a year to pass,
    # points to expire, or three purchases of one who pays the full price of none. Of all of these
    # somebody tells in `tests.company`.
    rare = {"churn-risk", "silent-churn", "points-expiring", "price-dependent", "customer-lost"}
    rare |= {"drifting", "improved-for-them", "interest-faded", "risk-recovered", "vip-slipping"}
    rare |= {"anniversary", "key-customer-slipping"}
    assert kinds - rare <= summary.triggers.keys() <= kinds
    assert summary.model_version > 1
    assert summary.nothing > 0
    assert len(whole.triggers) == sum(summary.triggers.values()) + summary.nothing


def test_the_same_log_gives_the_same_bytes(shop: list[bytes], whole: Outcome) -> None:
    again = replayed(shop)

    assert whole[:4] == again[:4]
    assert whole.replay.summary() == again.replay.summary()
    assert {key: encode_row(row) for key, row in whole.replay.rows().items()} == {
        key: encode_row(row) for key, row in again.replay.rows().items()
    }


@pytest.mark.parametrize("cut", [0, *Random(7).sample(range(1_600), 12)])
def test_a_shorter_log_gives_the_beginning_of_the_triggers(
    shop: list[bytes], whole: Outcome, cut: int
) -> None:
    assert cut < len(shop)
    shorter = replayed(shop[:cut])

    assert shorter.triggers == whole.triggers[: len(shorter.triggers)]
    assert shorter.dead_letters == whole.dead_letters[: len(shorter.dead_letters)]


@pytest.mark.parametrize("cut", Random(8).sample(range(1_600), 6))
def test_so_does_a_shorter_log_with_watermarks(watched: list[bytes], cut: int) -> None:
    longer, shorter = replayed(watched), replayed(watched[:cut])

    assert longer.triggers
    assert shorter.triggers == longer.triggers[: len(shorter.triggers)]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_appended_changes_nothing_that_came_before(shop: list[bytes], seed: int) -> None:
    rng = Random(seed)
    cut = rng.randrange(500, 1_500)
    others = ["Order Completed", "Product Added", "Ticket Solved", "page"]
    appended = [
        line(
            rng.choice(others),
            at(days=rng.uniform(0, 90)),
            customer=f"c-{rng.randrange(60):05d}",
            properties={"revenue": 1.0, "ticket_id": "T", "product_id": "P"},
        )
        for _ in range(40)
    ]
    before = replayed(shop[:cut])
    after = replayed([*shop[:cut], *appended, watermark(at(days=400))])

    assert before.triggers == after.triggers[: len(before.triggers)]
    assert len(after.triggers) > len(before.triggers)


def test_score_lines_are_answered_and_change_nothing(watched: list[bytes]) -> None:
    without = replayed(watched)
    with_scores: list[bytes] = []
    asked = 0
    for content in watched:
        with_scores.append(content)
        if b"watermark" in content:
            asked += 1
            with_scores.append(
                orjson.dumps(
                    {
                        "type": "score",
                        "messageId": f"s-{asked}",
                        "userId": "c-00007",
                        "timestamp": iso(at(days=asked)),
                        "horizonDays": 56,
                    }
                )
            )
    with_them = replayed(with_scores)

    assert without.triggers == with_them.triggers
    assert without.customers == with_them.customers
    assert asked == len(with_them.scores) == with_them.replay.summary().scores
    assert without.replay.summary().events == with_them.replay.summary().events
    assert Score(
        message_id="s-1",
        user_id="c-00007",
        timestamp="2026-01-02T00:00:00.000Z",
        churn_probability=PARAMETERS.churn.prior,
        horizon_days=56.0,
        source="prior",
        model_version=0,
        value=None,
    ) == msgspec.json.decode(with_them.scores[0], type=Score)


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        ({"userId": None}, Reason.NO_IDENTITY, "$.userId"),
        ({"timestamp": None}, Reason.REQUIRED_MISSING, "$.timestamp"),
        ({"horizonDays": 0}, Reason.OUT_OF_RANGE, "$.horizonDays"),
        ({"horizonDays": "four weeks"}, Reason.WRONG_TYPE, "$.horizonDays"),
    ],
)
def test_a_bad_score_line_is_a_dead_letter(
    changes: dict[str, object], reason: Reason, path: str
) -> None:
    asked = {"type": "score", "userId": "ada", "timestamp": iso(at()), **changes}
    [letter] = Replay(PARAMETERS).feed(orjson.dumps(asked), 3)

    assert isinstance(letter, DeadLetter)
    assert (reason, path, 3) == (letter.reason, letter.path, letter.line)


def clock_of(replay: Replay) -> str | None:
    return replay.summary().clock


def test_without_watermarks_the_clock_follows_the_latest_event() -> None:
    replay = Replay(PARAMETERS)
    assert clock_of(replay) is None
    replay.feed(line("page", at(minutes=5)), 1)
    assert iso(at(minutes=4)) == clock_of(replay)
    replay.feed(line("page", at(minutes=3)), 2)
    assert iso(at(minutes=4)) == clock_of(replay)


def test_from_the_first_watermark_on_only_watermarks_move_the_clock() -> None:
    replay = Replay(PARAMETERS)
    replay.feed(line("page", at(minutes=5)), 1)
    replay.feed(watermark(at(minutes=7)), 2)
    replay.feed(line("page", at(days=30)), 3)
    assert iso(at(minutes=7)) == clock_of(replay)
    replay.feed(watermark(at(minutes=9)), 4)
    assert iso(at(minutes=9)) == clock_of(replay)


def test_a_broken_watermark_does_not_stop_the_clock() -> None:
    replay = Replay(PARAMETERS)
    [letter] = replay.feed(b'{"type":"watermark"}', 1)
    replay.feed(line("page", at(minutes=5)), 2)

    assert isinstance(letter, DeadLetter)
    assert iso(at(minutes=4)) == clock_of(replay)


def test_a_late_event_is_kept_with_the_dead_letters_and_counts_as_late() -> None:
    replay = Replay(PARAMETERS)
    replay.feed(watermark(at(days=9)), 1)
    late = line("page", at(days=5))
    [letter] = replay.feed(late, 2)

    assert isinstance(letter, DeadLetter)
    assert (Reason.TOO_LATE, "$.timestamp", "profile", late) == (
        letter.reason,
        letter.path,
        letter.step,
        letter.content(),
    )
    assert {"read": 1, "applied": 0, "duplicate": 0, "late": 1, "erased": 0, "deadLettered": 0} == {
        str(fate): count for fate, count in replay.summary().events.items()
    }


def placed(content: bytes, partition: int, offset: int, log_format: int = 2) -> bytes:
    """A record as an export of the live log writes it; format 2 is that of a release without
    rehearsals, whose partitions were always live.
    """
    position = {"partition": partition, "offset": offset}
    return orjson.dumps({**orjson.loads(content), "position": position, "logFormat": log_format})


def clock(at_ms: int) -> bytes:
    return clock_record(at_ms)


def test_in_an_older_export_only_clock_records_move_the_clock_and_no_event_is_lost() -> None:
    records = [
        line("Product Added", at(), properties={"product_id": "P"}),
        line("page", at(days=1), customer="bob"),
        line("page", at(days=2), customer="bob"),
        clock(at(minutes=30)),
        clock(at(minutes=60)),
    ]
    replay = Replay(PARAMETERS)
    outputs = [
        replay.feed(placed(content, 0, offset), offset + 1)
        for offset, content in enumerate(records)
    ]

    # The trigger, and that nothing is done about it.
    assert [0, 0, 0, 0, 2] == [len(out) for out in outputs]
    assert 3 == replay.summary().events[Fate.APPLIED]


def test_partitions_of_an_export_have_clocks_of_their_own() -> None:
    replay = Replay(PARAMETERS)
    for partition, customer in ((0, "ada"), (1, "bob")):
        put = line("Product Added", at(), customer=customer, properties={"product_id": "P"})
        replay.feed(placed(put, partition, 0), 1)
    told, _ = replay.feed(placed(clock(at(days=1)), 1, 1), 2)

    assert isinstance(told, Trigger)
    assert "bob" == told.user_id
    assert ["ada", "bob"] == [view.user_id for view in replay.profiles()]


def test_records_of_an_export_that_are_given_twice_do_nothing() -> None:
    replay = Replay(PARAMETERS)
    page = placed(line("page", at()), 0, 5)
    replay.feed(page, 1)
    replay.feed(page, 2)

    assert 1 == replay.summary().events["read"]


def test_an_event_without_an_id_gets_one_from_its_place_in_the_live_log() -> None:
    survey = {
        "type": "track",
        "event": "Survey Responded",
        "userId": "ada",
        "timestamp": iso(at()),
        "properties": {"kind": "nps", "score": 1},
    }
    exported = placed(orjson.dumps(survey), 2, 14)
    told, _ = Replay(PARAMETERS).feed(exported, 99)
    plain, _ = Replay(PARAMETERS).feed(orjson.dumps(survey), 99)

    assert isinstance(told, Trigger)
    assert isinstance(plain, Trigger)
    assert ("2-14", "event-1") == (told.cause.message_id, plain.cause.message_id)


def test_a_model_in_the_log_is_taken_from_the_folder_and_none_is_made() -> None:
    slow = PRIOR.replace(replace(PRIOR.of(Population), gap_days=100.0), version=4)
    asked_for: list[tuple[int, str]] = []

    def models(version: int, sha256: str) -> Snapshot:
        asked_for.append((version, sha256))
        return slow

    replay = Replay(PARAMETERS_OF_A_SMALL_SHOP, models)
    replay.feed(b'{"type":"model","version":4,"sha256":"ab"}', 1)
    replay.feed(line("Order Completed", at(), properties={"revenue": 1}), 2)
    # One purchase says nothing of a rhythm: overdue is what would be at the population's.
    assert [] == replay.feed(watermark(at(days=426)), 3)
    told, _ = replay.feed(watermark(at(days=427)), 4)

    assert isinstance(told, Trigger)
    assert (4, [(4, "ab")]) == (told.model_version, asked_for)
    assert 4 == replay.summary().model_version


def test_a_model_without_a_folder_of_models_says_what_is_missing() -> None:
    with pytest.raises(SnapshotError, match="adopts model 4: .*--models"):
        Replay(PARAMETERS).feed(b'{"type":"model","version":4,"sha256":"ab"}', 1)


def test_a_plain_log_has_a_model_made_once_a_day_when_there_is_enough_to_learn_from(
    shop: list[bytes],
) -> None:
    replay, starved = Replay(PARAMETERS_OF_A_SMALL_SHOP), Replay(PARAMETERS)
    versions = [0]
    for number, content in enumerate(shop, 1):
        replay.feed(content, number)
        starved.feed(content, number)
        versions.append(replay.summary().model_version)

    assert {0, 1} >= {later - earlier for earlier, later in pairwise(versions)}
    assert 1 < versions[-1] < SHOP.days
    assert starved.summary().model_version < versions[-1]


def test_what_a_day_has_taught_by_a_watermark_is_learnt_then() -> None:
    few = replace(PARAMETERS, learning=replace(PARAMETERS.learning, minimum_examples=1))
    trainer = Trainer(few, partitions=1)
    replay = Replay(few, trainer=trainer)
    order = {"order_id": "O-1", "revenue": 20.0}
    bought = line("Order Completed", at(), properties=order)
    costs = {"channel": "search", "amount": 7.0}
    spent = line("Campaign Cost", at(days=9, hours=1), properties=costs)
    for number, content in enumerate(
        [bought, watermark(at(days=9)), spent, watermark(at(days=9, hours=2))], 1
    ):
        replay.feed(content, number)

    state = msgspec.json.decode(trainer.snapshot.trainer, type=TrainerState)
    assert 2 == trainer.snapshot.version
    assert b'"search":[700,0,0]' in bytes(state.learners["acquisition"])
