"""What is well and what isn't, in words with a fix each: facts in, findings out.

Nothing here asks a broker or a clock: `streams.examination` gathers the facts.
"""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from config import topics
from config.duration import DAY_MS
from config.parameters import Parameters
from models.events.wire import iso
from models.learning.snapshot import Quality, Snapshot

#: Between two looks at what waits: a worker that moves at all commits more often than this.
LOOK_AGAIN_S = 5.0
#: Fewer waiting records than this are what is on its way.
LAG_RECORDS_MANY = 10_000
#: The wall clock drives a partition only if its own clock is this near.
CLOCK_REACH_MS = 600_000
#: A broker's record may be this much later than now before clocks disagree.
SKEW_MS = 2_000
#: Beyond this gap between scores and outcomes, thresholds don't mean what they say.
CALIBRATION_ERROR_MAX = 0.05
#: With fewer matured decisions, quality is told but not judged.
JUDGED_EXAMPLES_MIN = 500
#: More refused events than this share mean a broken publisher, not a stray event.
REJECTED_SHARE_MAX = 0.05
#: The memory of a store is nearly full from here on.
MEMORY_SHARE_MAX = 0.9

_DELIVERED = (topics.RETENTION_TRIGGERS, topics.NEXT_BEST_ACTIONS)


class Level(StrEnum):
    """A notice is worth knowing and may be right; a problem is not."""

    OK = "ok"
    NOTICE = "notice"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One thing that was looked at, and what to do where something is to be done."""

    check: str
    level: Level
    words: str
    fix: str = ""


class Group(Struct, frozen=True):
    """The workers' consumer group, as its coordinator has it."""

    name: str
    state: str
    members: int


class Position(Struct, frozen=True):
    """How far the group has committed a partition, now and at the look before."""

    topic: str
    partition: int
    committed: int
    end: int
    committed_before: int

    @property
    def waiting(self) -> int:
        return max(self.end - self.committed, 0)

    @property
    def is_stuck(self) -> bool:
        return self.waiting > 0 and self.committed <= self.committed_before


class PartitionFact(Struct, frozen=True):
    """A partition of `customer-events` as its changelog says it is."""

    number: int
    clock_ms: int
    latest_ms: int
    model_version: int


class Store(Struct, frozen=True):
    """Redis or Valkey; ``error`` is why it can't be used, without its address."""

    address: str
    error: str | None = None
    version: str = ""
    policy: str = "noeviction"
    memory_max_bytes: int = 0
    memory_bytes: int = 0
    has_profiles: bool = False


class Letters(Struct, frozen=True):
    """Dead letters of the last hour; the reasons are those of the newest ``read`` ones."""

    count: int
    events: int
    reasons: dict[str, int]
    read: int


class Facts(Struct, frozen=True):
    """Everything that was looked at, at one moment. ``broker_error`` leaves the rest empty."""

    at_ms: int
    store: Store
    broker_error: str | None = None
    broker_version: str = ""
    brokers: int = 0
    topic_problems: tuple[str, ...] = ()
    group: Group | None = None
    positions: tuple[Position, ...] = ()
    partitions: tuple[PartitionFact, ...] = ()
    snapshot: Snapshot | None = None
    snapshot_error: str | None = None
    lessons: int = 0
    newest_record_ms: int | None = None
    letters: Letters | None = None


def diagnose(facts: Facts, parameters: Parameters) -> list[Finding]:
    """Every finding, in the order of the flow."""
    findings = list(_broker(facts))
    if facts.broker_error is None:
        findings += _topics(facts)
        findings += _group(facts)
        findings += _lag(facts)
        findings += _snapshot(facts, parameters)
        findings += _quality(facts)
    findings += _store(facts)
    if facts.broker_error is None:
        findings += _clocks(facts, parameters)
        findings += _letters(facts)
    return findings


def _broker(facts: Facts) -> Iterator[Finding]:
    if facts.broker_error is not None:
        yield _problem("broker", *_with_fix(facts.broker_error, "): "))
        return
    yield _ok("broker", f"Kafka {facts.broker_version}, {_counted(facts.brokers, 'broker')}")


def _topics(facts: Facts) -> Iterator[Finding]:
    for problem in facts.topic_problems:
        yield _problem("topics", *_with_fix(problem, ": "))
    if not facts.topic_problems:
        yield _ok("topics", "all are there, as they must be")


def _group(facts: Facts) -> Iterator[Finding]:
    group = facts.group
    if group is None or not group.members:
        name = group.name if group is not None else "the workers"
        yield _problem(
            "workers",
            f"nobody is in the group {name}, so nothing is applied and nothing fires",
            "start `keepstream worker`; when it refuses, it says why",
        )
    elif group.state != "Stable":
        yield _notice(
            "workers",
            f"{_counted(group.members, 'worker')} share the partitions out ({group.state})",
            "look again in a minute; if it goes on, a worker comes and goes: see its log",
        )
    else:
        yield _ok("workers", f"{_counted(group.members, 'worker')} in the group {group.name}")


def _lag(facts: Facts) -> Iterator[Finding]:
    is_settled = facts.group is not None and facts.group.members and facts.group.state == "Stable"
    quiet = 0
    for topic in dict.fromkeys(position.topic for position in facts.positions):
        found = [position for position in facts.positions if position.topic == topic]
        waiting = sum(position.waiting for position in found)
        stuck = [str(position.partition) for position in found if position.is_stuck]
        if topic.endswith(topics.LABELLED_EXAMPLES):
            # Committed up to the last snapshot only, so what waits there says nothing.
            continue
        if stuck and is_settled:
            yield _problem(
                "lag",
                f"{_counted(waiting, 'record')} of {topic} wait, and none of partition "
                f"{', '.join(stuck)} was taken in {LOOK_AGAIN_S:.0f} s",
                _unstick(topic),
            )
        elif waiting >= LAG_RECORDS_MANY or (waiting and not is_settled):
            more = "start more workers, up to one a partition, if it does not shrink"
            yield _notice("lag", f"{_counted(waiting, 'record')} of {topic} wait", more)
        else:
            quiet += 1
    if quiet:
        yield _ok("lag", f"{_counted(quiet, 'topic')} taken as they come")


def _unstick(topic: str) -> str:
    if topic.endswith(_DELIVERED):
        return "they wait for Redis: see there; if it is well, restart the worker that owns them"
    return "ask /health/ready of the workers who owns it, read that one's log, and restart it"


def _snapshot(facts: Facts, parameters: Parameters) -> Iterator[Finding]:
    if facts.snapshot_error is not None:
        yield _problem("model", facts.snapshot_error, "see who else writes to model-snapshots")
        return
    snapshot, minimum = facts.snapshot, parameters.learning.minimum_examples
    if snapshot is None:
        words = "no snapshot yet: the shipped priors decide"
        if facts.lessons > 10 * minimum:
            fix = "see the log of the worker that owns labelled-examples: it is the trainer"
            yield _problem("model", f"{words}, and {facts.lessons:,} lessons wait", fix)
        else:
            fix = f"nothing, until about {minimum:,} customers have been looked at"
            yield _notice("model", words, fix)
        return
    age_ms = max((p.clock_ms for p in facts.partitions), default=0) - snapshot.created_at_ms
    drawn = f"snapshot {snapshot.version} as of {_moment(snapshot.created_at_ms)}"
    usual_ms = max(3 * parameters.learning.snapshot_every, parameters.churn.check_in_ms)
    if age_ms > usual_ms:
        yield _problem(
            "model",
            f"{drawn}, {_span(age_ms)} older than the events it decides for",
            "see the log of the worker that owns labelled-examples: it is the trainer",
        )
    else:
        yield _ok("model", f"{drawn}, {_span(max(age_ms, 0))} behind the events")
    behind = [str(p.number) for p in facts.partitions if p.model_version < snapshot.version]
    if behind:
        yield _notice(
            "model",
            f"partition {', '.join(behind)} still decides by an older snapshot",
            "nothing, if it has records waiting; else restart a worker: it announces it anew",
        )


def _quality(facts: Facts) -> Iterator[Finding]:
    if facts.snapshot is None:
        return
    for horizon, model in facts.snapshot.churn.items():
        told = {
            found.scorer: found
            for found in facts.snapshot.quality
            if f"{found.horizon_days:g}" == horizon and found.kind == "all"
        }
        champion, baseline = told.get("champion"), told.get("baseline")
        about = f"{horizon} days: {_quality_in_words(champion, baseline)}"
        if not model.serves:
            yield _notice(
                "scores",
                f"the baseline serves, for the champion has yet to beat it; {about}",
                "nothing while it is young; later, see what changed in the data it learns from",
            )
        elif _is_uncalibrated(champion):
            yield _notice(
                "scores",
                f"the champion serves, but its probabilities are off; {about}",
                "trust the order of customers more than thresholds, and see what changed",
            )
        else:
            yield _ok("scores", f"the champion serves; {about}")


def _quality_in_words(champion: Quality | None, baseline: Quality | None) -> str:
    if champion is None or champion.log_loss is None or champion.auc is None:
        return "no decision has matured yet"
    words = f"{champion.examples:,} matured, AUC {champion.auc:.3f}"
    if baseline is not None and baseline.log_loss is not None:
        words += f", log loss {champion.log_loss:.3f} against {baseline.log_loss:.3f}"
    return f"{words}, calibration error {champion.calibration_error or 0.0:.3f}"


def _is_uncalibrated(champion: Quality | None) -> bool:
    return (
        champion is not None
        and champion.examples >= JUDGED_EXAMPLES_MIN
        and (champion.calibration_error or 0.0) > CALIBRATION_ERROR_MAX
    )


def _store(facts: Facts) -> Iterator[Finding]:
    store = facts.store
    if store.error is not None:
        yield _problem(
            "redis",
            f"{store.address} can't be used ({store.error}): profiles and streams get old there",
            "start it, see that it may be written to, or set KEEPSTREAM_REDIS_URL",
        )
        return
    evicts = store.memory_max_bytes > 0 and store.policy != "noeviction"
    is_full = 0 < store.memory_max_bytes * MEMORY_SHARE_MAX < store.memory_bytes
    if evicts:
        yield _problem(
            "redis",
            f"when its memory is full it drops profiles and triggers by itself ({store.policy})",
            "CONFIG SET maxmemory-policy noeviction",
        )
    if is_full:
        share = store.memory_bytes / store.memory_max_bytes
        yield _problem("redis", f"its memory is {share:.0%} full", "raise its maxmemory")
    has_customers = any(partition.latest_ms for partition in facts.partitions)
    if has_customers and not store.has_profiles:
        yield _problem(
            "redis",
            "there are customers, but none has a profile there",
            "see that the workers use this KEEPSTREAM_REDIS_URL and this topic prefix",
        )
    elif not evicts and not is_full:
        profiles = "with profiles" if store.has_profiles else "no profiles yet"
        yield _ok("redis", f"{store.version} at {store.address}, can be written to, {profiles}")


def _clocks(facts: Facts, parameters: Parameters) -> Iterator[Finding]:
    newest_ms = facts.newest_record_ms
    if newest_ms is None:
        yield _ok("clock", "no event yet to compare this host's clock with the broker's")
    elif newest_ms > facts.at_ms + SKEW_MS:
        yield _problem(
            "clock",
            f"the broker's clock is {_span(newest_ms - facts.at_ms)} ahead of this host's",
            "let both keep time by NTP",
        )
    else:
        ago = f"the broker took the latest event {_span(facts.at_ms - newest_ms)} ago"
        yield _ok("clock", f"this host's and the broker's do not contradict each other: {ago}")
    for partition in facts.partitions:
        yield from _partition_clock(facts, partition, parameters)


def _partition_clock(
    facts: Facts, partition: PartitionFact, parameters: Parameters
) -> Iterator[Finding]:
    behind_ms = facts.at_ms - partition.clock_ms
    stands = f"partition {partition.number} stands at {_moment(partition.clock_ms)}"
    waiting = sum(
        position.waiting
        for position in facts.positions
        if position.topic.endswith(topics.CUSTOMER_EVENTS)
        and position.partition == partition.number
    )
    if not partition.clock_ms:
        return
    if -behind_ms > parameters.time.future:
        yield _problem(
            "clock",
            f"{stands}, {_span(-behind_ms)} ahead: what comes now counts as late",
            "find out who publishes dates in the future; time.future bounds how far",
        )
    elif behind_ms > CLOCK_REACH_MS and waiting:
        yield _notice("clock", f"{stands}, {_span(behind_ms)} behind, and catches up", "nothing")
    elif behind_ms > CLOCK_REACH_MS:
        yield _notice(
            "clock",
            f"{stands}, {_span(behind_ms)} behind, as no event came since",
            "nothing, for a log of the past; else publish events: silence fires only after one",
        )
    else:
        yield _ok("clock", f"{stands}, {_span(max(behind_ms, 0))} behind")


def _letters(facts: Facts) -> Iterator[Finding]:
    letters = facts.letters
    if letters is None:
        return
    if not letters.count:
        yield _ok("dead letters", "none in the last hour")
        return
    reasons = ", ".join(
        f"{count:,} {reason}"
        for reason, count in sorted(letters.reasons.items(), key=lambda item: (-item[1], item[0]))
    )
    of_newest = f" of the newest {letters.read:,}" if letters.read < letters.count else ""
    words = f"{letters.count:,} in the last hour{of_newest and ';'}{of_newest}: {reasons}"
    fix = "`keepstream dead-letters list` shows the field, `retry` puts them back once mended"
    if letters.count > REJECTED_SHARE_MAX * letters.events:
        share = f", of {letters.events:,} events"
        yield _problem("dead letters", words + share, fix)
    else:
        yield _notice("dead letters", words, fix)


def _with_fix(text: str, mark: str) -> tuple[str, str]:
    """An explanation that ends in what to do, taken apart there."""
    words, _, fix = text.partition(mark)
    return words + mark.rstrip(": "), fix


def _ok(check: str, words: str) -> Finding:
    return Finding(check, Level.OK, words)


def _notice(check: str, words: str, fix: str) -> Finding:
    return Finding(check, Level.NOTICE, words, fix)


def _problem(check: str, words: str, fix: str) -> Finding:
    return Finding(check, Level.PROBLEM, words, fix)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _moment(moment_ms: int) -> str:
    text = iso(moment_ms)
    return f"{text[:10]} {text[11:16]} UTC"


def _span(span_ms: int) -> str:
    for size_ms, noun in ((DAY_MS, "day"), (3_600_000, "hour"), (60_000, "minute")):
        if span_ms >= size_ms:
            return _counted(span_ms // size_ms, noun)
    return f"{span_ms / 1_000:.1f} s"
