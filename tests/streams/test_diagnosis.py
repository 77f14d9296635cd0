"""The doctor's findings: which facts are well, which are not, and what to do about them."""

from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from models.events.refusals import Misnamed, RefusalCause, Refusals
from models.events.rejection import Reason, Rejected
from models.learning.churn_models import ChurnModels, ChurnScoring, LinearModel, Quality
from models.learning.snapshot import Snapshot, prior_snapshot
from models.parameters import load_parameters
from streams.diagnosis import LAG_RECORDS_MANY, diagnose
from streams.findings import Finding, Severity
from streams.refusal_examination import loudest
from streams.vitals import (
    Deliveries,
    DeploymentFacts,
    GroupPosition,
    Letters,
    LoudCause,
    PartitionFact,
    Store,
    WorkerGroup,
)

PARAMETERS = load_parameters()
NOW_MS = 1_767_225_600_000
HOUR_MS = 3_600_000


def models_of(champion: str, examples: int) -> ChurnModels:
    nothing = LinearModel(0.0, ())
    return ChurnModels((), (), nothing, nothing, 0.0, champion, examples)


def snapshot(
    *, serves: bool = True, examples: int = 2_000, error: float = 0.01, age_ms: int = HOUR_MS
) -> Snapshot:
    quality = tuple(
        Quality(28.0, "all", scorer, examples, loss, auc, error)
        for scorer, loss, auc in (("champion", 0.31, 0.81), ("baseline", 0.33, 0.8))
    )
    scoring = ChurnScoring(
        {"28": models_of("blend" if serves else "baseline", examples)},
        quality if examples else (),
    )
    prior = prior_snapshot(PARAMETERS)
    return prior.replace(scoring, version=7, created_at_ms=NOW_MS - age_ms)


def at_end(topic: str, partition: int = 0, waiting: int = 0, moved: int = 0) -> GroupPosition:
    return GroupPosition(topic, partition, 100, 100 + waiting, 100 - moved)


WELL = DeploymentFacts(
    at_ms=NOW_MS,
    store=Store("redis://127.0.0.1:6379/0", version="valkey 9.1", has_profiles=True),
    broker_version="4.3",
    brokers=3,
    group=WorkerGroup("keepstream", "Stable", 2),
    positions=(at_end("clickstream"), at_end("customer-events"), at_end("retention-triggers")),
    partitions=(PartitionFact(0, NOW_MS - 60_000, NOW_MS, 7),),
    snapshot=snapshot(),
    lessons=5_000,
    newest_record_ms=NOW_MS - 5_000,
    letters=Letters(0, 1_000, {}, 0),
    deliveries=Deliveries(9, 9, {"cart-abandoned": 5, "next-best-action": 4}, {}, 1),
)


def found(level: Severity, check: str, **changes: Any) -> Finding:
    """The one finding of this check at this level when these facts differ from those that are
    well.
    """
    [finding] = [
        finding
        for finding in diagnose(replace(WELL, **changes), PARAMETERS)
        if finding.check == check and finding.level is level
    ]
    return finding


def levels(**changes: Any) -> dict[str, Severity]:
    """The levels of findings that are not well, by check."""
    return {
        finding.check: finding.level
        for finding in diagnose(replace(WELL, **changes), PARAMETERS)
        if finding.level is not Severity.OK
    }


def test_when_all_is_well_everything_is_named_and_nothing_is_to_be_done() -> None:
    findings = diagnose(WELL, PARAMETERS)

    assert {Severity.OK} == {finding.level for finding in findings}
    assert {""} == {finding.fix for finding in findings}
    checks = [
        "broker",
        "topics",
        "workers",
        "lag",
        "live",
        "deliveries",
        "gates",
        "model",
        "scores",
        "redis",
        "clock",
    ]
    assert [*checks, "dead letters"] == list(dict.fromkeys(finding.check for finding in findings))


def test_whatever_is_not_well_says_what_to_do() -> None:
    ill = replace(
        WELL,
        topic_problems=("x is missing: run `keepstream topics create`",),
        group=WorkerGroup("keepstream", "Empty", 0),
        positions=(at_end("clickstream", waiting=5),),
        snapshot=snapshot(serves=False, age_ms=99 * DAY_MS),
        store=Store("redis://h", error="ConnectionError"),
        newest_record_ms=NOW_MS + HOUR_MS,
        letters=Letters(900, 1_000, {"wrong_type": 900}, 900),
    )
    findings = [f for f in diagnose(ill, PARAMETERS) if f.level is not Severity.OK]

    assert 8 == len(findings)
    assert all(finding.fix for finding in findings)


def test_a_store_that_does_not_answer_is_not_seen() -> None:
    """It may well answer the workers."""
    away = Store("redis://h", error="ConnectionError", is_seen=False)
    assert "start it" in found(Severity.UNSEEN, "redis", store=away).fix


def test_without_a_broker_only_the_store_is_told_of() -> None:
    error = "no Kafka broker at k:9092 (refused): start the broker, or set KEEPSTREAM_X"
    findings = diagnose(DeploymentFacts(NOW_MS, WELL.store, broker_error=error), PARAMETERS)

    assert ["broker", "redis"] == [finding.check for finding in findings]
    assert Severity.UNSEEN is findings[0].level
    assert "no Kafka broker at k:9092 (refused)" == findings[0].words
    assert "start the broker, or set KEEPSTREAM_X" == findings[0].fix


def test_a_topic_s_problem_comes_with_its_own_fix() -> None:
    finding = found(
        Severity.PROBLEM,
        "topics",
        topic_problems=("a has 3 partitions, 4 are configured: set X=3",),
    )

    assert "a has 3 partitions, 4 are configured" == finding.words
    assert "set X=3" == finding.fix


@pytest.mark.parametrize(
    ("group", "level", "words"),
    [
        (WorkerGroup("mine", "Empty", 0), Severity.PROBLEM, "nobody is in the group mine"),
        (None, Severity.PROBLEM, "nobody is in the group"),
        (
            WorkerGroup("mine", "PreparingRebalance", 1),
            Severity.NOTICE,
            "1 worker share the partitions",
        ),
        (WorkerGroup("mine", "Stable", 1), Severity.OK, "1 worker in the group mine"),
    ],
)
def test_a_group_without_workers_is_a_problem(
    group: WorkerGroup | None, level: Severity, words: str
) -> None:
    assert found(level, "workers", group=group).words.startswith(words)


@pytest.mark.parametrize(
    ("position", "group", "level"),
    [
        (at_end("clickstream", waiting=5, moved=1), WELL.group, None),
        (at_end("clickstream", waiting=5), WELL.group, Severity.PROBLEM),
        (at_end("clickstream", waiting=LAG_RECORDS_MANY, moved=1), WELL.group, Severity.NOTICE),
        (
            at_end("clickstream", waiting=5),
            WorkerGroup("g", "PreparingRebalance", 1),
            Severity.NOTICE,
        ),
        # Committed up to the last snapshot only.
        (at_end("labelled-examples", waiting=5_000), WELL.group, None),
    ],
)
def test_what_waits_is_a_problem_only_when_it_does_not_move(
    position: GroupPosition, group: WorkerGroup, level: Severity | None
) -> None:
    assert level == levels(positions=(position,), group=group).get("lag")


def test_the_partition_that_is_stuck_is_named_and_where_to_look() -> None:
    stuck = at_end("customer-events", 3, waiting=5), at_end("customer-events", 4, waiting=1)
    moving = at_end("customer-events", 5, waiting=9, moved=1)
    finding = found(Severity.PROBLEM, "lag", positions=(*stuck, moving))

    assert "15 records of customer-events" in finding.words
    assert "partition 3, 4 was taken" in finding.words
    assert "/health/ready" in finding.fix
    delivery = at_end("next-best-actions", waiting=5)
    assert "Redis" in found(Severity.PROBLEM, "lag", positions=(delivery,)).fix


def test_before_the_first_snapshot_the_priors_decide() -> None:
    early = found(Severity.NOTICE, "model", snapshot=None, lessons=20)
    assert f"about {PARAMETERS.learning.minimum_examples} customers" in early.fix

    late = found(Severity.PROBLEM, "model", snapshot=None, lessons=50_000)
    assert "50,000 lessons wait" in late.words
    assert "trainer" in late.fix


@pytest.mark.parametrize(
    ("age_days", "level"), [(0, None), (1, None), (6.9, None), (7.1, Severity.PROBLEM)]
)
def test_a_snapshot_much_older_than_the_events_is_a_problem(
    age_days: float, level: Severity | None
) -> None:
    # Three times snapshot_every, or a whole check-in, after which there is always something new.
    aged = snapshot(age_ms=60_000 + round(age_days * DAY_MS))

    assert level == levels(snapshot=aged).get("model")


def test_a_quiet_shop_does_not_make_a_snapshot_old() -> None:
    """Age is event time: a log of last year has a model of last year."""
    year_ms = 365 * DAY_MS
    past = PartitionFact(0, NOW_MS - year_ms, NOW_MS - year_ms, 7)

    assert {"clock": Severity.NOTICE} == levels(
        partitions=(past,), snapshot=snapshot(age_ms=year_ms + HOUR_MS)
    )


def test_a_partition_that_did_not_adopt_the_snapshot_is_named() -> None:
    finding = found(
        Severity.NOTICE,
        "model",
        partitions=(WELL.partitions[0], PartitionFact(4, NOW_MS, NOW_MS, 6)),
    )

    assert "partition 4 still decides" in finding.words


def test_a_snapshot_that_can_not_be_read_is_a_problem() -> None:
    assert (
        "offset 3"
        in found(
            Severity.PROBLEM, "model", snapshot_error="the record at offset 3 can't be used"
        ).words
    )


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        (
            snapshot(),
            Severity.OK,
            "the blend model serves; 28 days: 2,000 matured, AUC 0.810, log",
        ),
        (snapshot(serves=False), Severity.NOTICE, "the baseline serves"),
        (snapshot(error=0.2), Severity.NOTICE, "its probabilities are off"),
        (
            snapshot(error=0.2, examples=20),
            Severity.OK,
            "the blend model serves; 28 days: 20 matured",
        ),
        (snapshot(examples=0), Severity.OK, "no decision that learnt models scored has matured"),
    ],
)
def test_who_serves_and_how_well_is_told(changed: Snapshot, level: Severity, words: str) -> None:
    assert words in found(level, "scores", snapshot=changed).words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"error": "ConnectionError"}, "can't be used (ConnectionError)"),
        ({"memory_max_bytes": 100, "policy": "allkeys-lru"}, "by itself (allkeys-lru)"),
        ({"memory_max_bytes": 100, "memory_bytes": 95}, "its memory is 95% full"),
        ({"has_profiles": False}, "none has a profile there"),
    ],
)
def test_a_store_that_loses_things_is_a_problem(changes: dict[str, Any], words: str) -> None:
    assert words in found(Severity.PROBLEM, "redis", store=replace(WELL.store, **changes)).words


@pytest.mark.parametrize(
    "changes",
    [
        # Without a limit there is nothing to evict.
        {"policy": "allkeys-lru"},
        {"memory_max_bytes": 100, "memory_bytes": 50},
    ],
)
def test_a_store_that_keeps_everything_is_well(changes: dict[str, Any]) -> None:
    assert {} == levels(store=replace(WELL.store, **changes))


def test_no_profiles_are_right_before_there_is_a_customer() -> None:
    empty = replace(WELL.store, has_profiles=False)

    assert "no profiles yet" in found(Severity.OK, "redis", store=empty, partitions=()).words


def test_clocks_that_contradict_each_other_are_a_problem() -> None:
    finding = found(Severity.PROBLEM, "clock", newest_record_ms=NOW_MS + 2 * HOUR_MS)

    assert "the broker's clock is 2 hours ahead" in finding.words
    assert {} == levels(newest_record_ms=NOW_MS + 1_000)
    assert {} == levels(newest_record_ms=None)


def test_partitions_are_told_by_how_far_they_are_from_now() -> None:
    def standing(number: int, behind_ms: int) -> PartitionFact:
        return PartitionFact(number, NOW_MS - behind_ms, NOW_MS, 7)

    partitions = (
        standing(0, 60_000),
        standing(1, 3 * DAY_MS),
        standing(2, 2 * DAY_MS),
        standing(3, 5 * DAY_MS),
        standing(4, -2 * HOUR_MS),
        # Nothing was ever there.
        PartitionFact(5, 0, 0, 0),
    )
    catching_up = at_end("customer-events", 3, waiting=9, moved=1)
    words = [
        finding.words
        for finding in diagnose(
            replace(WELL, partitions=partitions, positions=(catching_up,)), PARAMETERS
        )
        if finding.check == "clock"
    ]

    assert [
        "partition 4 is up to 2 hours ahead of now: what comes now counts as late there",
        "partition 3 is up to 5 days behind now",
        "partitions 1, 2 are up to 3 days behind now, as no event came since",
        "partition 0 is within 1 minute of now",
    ] == words[1:]


def test_a_clock_is_not_called_idle_while_raw_records_wait() -> None:
    behind = (PartitionFact(0, NOW_MS - 5 * DAY_MS, NOW_MS, 7),)
    # Whatever waits may be for another partition of the log than its own of the raw topic.
    raw = (at_end("transactions", 2, waiting=9, moved=1),)
    facts = replace(WELL, partitions=behind, positions=raw)
    [_, clock] = [finding for finding in diagnose(facts, PARAMETERS) if finding.check == "clock"]

    assert ("partition 0 is up to 5 days behind now", "nothing: they catch up") == (
        clock.words,
        clock.fix,
    )


def test_many_partitions_are_few_words() -> None:
    many = tuple(PartitionFact(n, NOW_MS - 60_000, NOW_MS, 7) for n in range(500))
    [_, words] = [f.words for f in diagnose(replace(WELL, partitions=many), PARAMETERS)][-3:-1]

    assert "partitions 0, 1, 2, 3, 4, 5, 6, 7 and 492 more are within 1 minute of now" == words


@pytest.mark.parametrize(
    ("letters", "level", "words"),
    [
        (Letters(0, 0, {}, 0), Severity.OK, "none in the last hour"),
        (
            Letters(3, 1_000, {"bad_json": 1, "wrong_type": 2}, 3),
            Severity.NOTICE,
            "3 in the last hour: 2 wrong_type, 1 bad_json",
        ),
        (Letters(51, 1_000, {"wrong_type": 51}, 51), Severity.PROBLEM, ", of 1,000 events"),
        (
            Letters(9_000, 1_000_000, {"wrong_type": 5_000}, 5_000),
            Severity.NOTICE,
            "9,000 in the last hour, of the newest 5,000: 5,000 wrong_type",
        ),
    ],
)
def test_dead_letters_are_told_by_reason_and_judged_by_their_share(
    letters: Letters, level: Severity, words: str
) -> None:
    assert words in found(level, "dead letters", letters=letters).words


def test_what_came_too_late_is_told_with_what_a_retry_of_it_needs() -> None:
    late = found(Severity.NOTICE, "dead letters", letters=Letters(1, 1_000, {"too_late": 1}, 1))
    other = found(Severity.NOTICE, "dead letters", letters=Letters(1, 1_000, {"bad_json": 1}, 1))

    assert "--include-late" in late.fix
    assert "--include-late" not in other.fix


def test_an_archive_that_lacks_something_is_a_problem_before_the_log_may_expire() -> None:
    whole = PartitionFact(2, NOW_MS, NOW_MS, 7)
    lacking = PartitionFact(3, NOW_MS, NOW_MS, 7, has_archive=False)
    told = found(Severity.PROBLEM, "archive", partitions=(whole, lacking))
    assert told.words.startswith("the archive in partition 3 is not known")
    assert "keepstream archive fill" in told.fix
    assert "do not shorten the retention" in told.fix


def test_damaged_rows_are_a_problem_with_the_command_that_makes_them_anew() -> None:
    sound = PartitionFact(0, NOW_MS, NOW_MS, 7)
    damaged = PartitionFact(3, NOW_MS, NOW_MS, 7, damaged=2)
    told = found(Severity.PROBLEM, "rows", partitions=(sound, damaged))
    assert told.words.startswith("2 rows of customers in partition 3 were damaged")
    assert "keepstream rebuild" in told.fix
    assert "rows" not in {f.check for f in diagnose(replace(WELL, partitions=(sound,)), PARAMETERS)}


def test_a_rehearsal_says_how_many_decisions_were_held_and_how_to_end_it() -> None:
    clock_ms = NOW_MS - 60_000
    rehearsing = PartitionFact(0, clock_ms, NOW_MS, 7, live_at_ms=None, rehearsed=41_000)
    other = PartitionFact(1, clock_ms, NOW_MS, 7, live_at_ms=None, rehearsed=212)
    live = PartitionFact(2, clock_ms, NOW_MS, 7, live_at_ms=NOW_MS)

    told = found(Severity.NOTICE, "live", partitions=(rehearsing, other))
    assert told.words.startswith("rehearsing: 41,212 decisions held")
    assert "keepstream live" in told.fix
    told = found(Severity.NOTICE, "live", partitions=(rehearsing, live))
    assert told.words.startswith("rehearsing in partition 0: 41,000 decisions held")


def test_a_live_event_before_the_history_is_told_with_what_to_publish() -> None:
    waits = PartitionFact(3, 0, NOW_MS, 0, live_at_ms=None)
    told = [
        finding
        for finding in diagnose(replace(WELL, partitions=(waits,)), PARAMETERS)
        if finding.check == "live"
    ]
    assert ["publish the history; if there is none, run `keepstream live`"] == [
        finding.fix for finding in told[1:]
    ]


@pytest.mark.parametrize(
    ("rehearsed", "words"),
    [
        (0, "every partition publishes its decisions"),
        (1_234, "every partition publishes its decisions; of history 1,234 decisions were held"),
    ],
)
def test_what_was_rehearsed_is_told_after_going_live(rehearsed: int, words: str) -> None:
    partition = PartitionFact(0, NOW_MS, NOW_MS, 7, live_at_ms=1, rehearsed=rehearsed)

    assert words == found(Severity.OK, "live", partitions=(partition,)).words


def test_decisions_that_came_too_late_for_redis_are_told_by_kind_with_what_to_do() -> None:
    late = {"next-best-action": 4, "cart-abandoned": 1_200}
    finding = found(
        Severity.NOTICE, "deliveries", deliveries=Deliveries(5_000, 1_206, {"nps-passive": 2}, late)
    )

    assert (
        "in the last hour, of the newest 1,206, 1,204 decisions came too late for Redis: "
        "1,200 cart-abandoned, 4 next-best-action; delivered: 2 nps-passive" == finding.words
    )
    assert "KEEPSTREAM_DELIVER_MAX_AGE" in finding.fix


def test_what_was_delivered_is_told_by_kind() -> None:
    assert (
        "in the last hour, delivered to Redis: 5 cart-abandoned, 4 next-best-action; "
        "none came too late" == found(Severity.OK, "deliveries").words
    )


@pytest.mark.parametrize(
    ("done", "nothing", "level"),
    [(1, 90, Severity.OK), (0, 19, Severity.OK), (0, 20, Severity.NOTICE)],
)
def test_gates_that_let_nothing_pass_are_told_with_how_to_ask_why(
    done: int, nothing: int, level: Severity
) -> None:
    gates = {"consent": 9, "cooldown": 40, "truce": 2, "priority": 1}
    decided = Deliveries(100, 100, {"next-best-action": done}, {}, nothing, gates)
    finding = found(level, "gates", deliveries=decided)

    assert (
        f"in the last hour, an action was chosen at {done} of {done + nothing} moments with "
        "triggers; rejected most often by 40 cooldown, 9 consent, 2 truce" == finding.words
    )
    assert (level is Severity.NOTICE) == ("keepstream explain" in finding.fix)


def test_without_a_decision_in_the_last_hour_nothing_is_told_of_deliveries() -> None:
    checks = {f.check for f in diagnose(replace(WELL, deliveries=None), PARAMETERS)}
    of_none = replace(WELL, deliveries=Deliveries(0, 0, {}, {}))

    assert {"deliveries", "gates"}.isdisjoint(checks)
    assert checks == {f.check for f in diagnose(of_none, PARAMETERS)}


def test_what_much_was_refused_for_is_told_with_its_count_and_its_fix() -> None:
    cause = RefusalCause(
        "out_of_range", "$.properties.currency", "not EUR", "--set money.currency=USD", 30
    )
    letters = Letters(30, 1_000, {"out_of_range": 30}, 30, (LoudCause(cause, 100),))
    finding = found(Severity.PROBLEM, "refused", letters=letters)

    assert "30 of 100 events (30%) are refused: out_of_range at $.properties.currency: not EUR" in (
        finding.words
    )
    assert "--set money.currency=USD" == finding.fix


def test_each_cause_is_told_as_of_the_ten_minutes_in_which_it_was_worst() -> None:
    def refused(count: int, reason: Reason) -> Refusals:
        refusals = Refusals()
        refusals.add(Rejected(reason, "$"), count)
        return refusals

    late, bad = Reason.TOO_LATE, Reason.BAD_JSON
    windows = [refused(30, late), refused(60, late), refused(90, bad), refused(9, bad), Refusals()]
    loud = loudest(windows, [100, 100, 300, 10, 0])

    assert [("too_late", 60, 100), ("bad_json", 90, 300)] == [
        (one.cause.reason, one.cause.count, one.events) for one in loud
    ]


def test_a_name_that_is_nearly_known_is_told_unless_the_operator_has_spoken_for_it() -> None:
    misnamed = (Misnamed("Order Complete", "Order Completed", 12),)
    finding = found(Severity.NOTICE, "names", misnamed=misnamed)

    assert "12 events named 'Order Complete': did you mean Order Completed?" == finding.words
    assert "names.aliases" in finding.fix
    for assignment in ("names.own=order_complete", "names.aliases.order_complete=Order Completed"):
        parameters = load_parameters(assignments=[assignment])
        findings = diagnose(replace(WELL, misnamed=misnamed), parameters)
        assert "names" not in {finding.check for finding in findings}
