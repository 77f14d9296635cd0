"""Turns facts into findings: what is well and what isn't, in words, each problem with a fix.

No I/O and no clock here: `streams.examination` gathers the facts.
"""

from collections.abc import Iterator

from config import topics
from config.names import folded
from config.parameters import Parameters
from models.events.refusals import loud_in_words, misnamed_in_words
from streams.delivery_diagnosis import delivery_findings, rehearsal_findings
from streams.endpoint_diagnosis import endpoint_findings
from streams.findings import (
    Finding,
    counted,
    listed,
    notice,
    ok,
    problem,
    span,
    unseen,
    with_fix,
)
from streams.model_diagnosis import quality_findings, snapshot_findings
from streams.vitals import DeploymentFacts, in_partitions

#: Seconds between two looks at the lag; a worker that makes progress commits within this time.
LOOK_AGAIN_S = 5.0
#: A worker has usually committed by then, so looking at a healthy deployment is over soon.
LOOK_SOON_S = 1.2
#: Fewer waiting records than this are normal.
LAG_RECORDS_MANY = 10_000
#: The wall clock drives a partition only if the partition's clock is this close to it.
CLOCK_REACH_MS = 600_000
#: Clocks count as different if a record's timestamp is later than now by more than this.
SKEW_MS = 2_000
#: A larger share of refused events means a broken publisher, not a stray event.
REJECTED_SHARE_MAX = 0.05
#: Above this share, the store's memory counts as nearly full.
MEMORY_SHARE_MAX = 0.9


def diagnose(facts: DeploymentFacts, parameters: Parameters) -> list[Finding]:
    """Every finding, in the order of the flow."""
    findings = list(_broker(facts))
    if facts.broker_error is None:
        findings += _topics(facts)
        findings += _group(facts)
        findings += _lag(facts)
        findings += _rows(facts)
        findings += rehearsal_findings(facts, parameters.time.lateness)
        findings += delivery_findings(facts)
        findings += endpoint_findings(facts)
        findings += snapshot_findings(facts, parameters)
        findings += quality_findings(facts)
    findings += _store(facts)
    if facts.broker_error is None:
        findings += _clocks(facts, parameters)
        findings += _letters(facts)
        findings += _names(facts, parameters)
        findings += _foreign(facts)
    return findings


def _broker(facts: DeploymentFacts) -> Iterator[Finding]:
    if facts.broker_error is not None:
        yield unseen("broker", *with_fix(facts.broker_error, "): "))
        return
    yield ok("broker", f"Kafka {facts.broker_version}, {counted(facts.brokers, 'broker')}")


def _topics(facts: DeploymentFacts) -> Iterator[Finding]:
    for wrong in facts.topic_problems:
        yield problem("topics", *with_fix(wrong, ": "))
    if not facts.topic_problems:
        yield ok("topics", "all are there, as they must be")


def _group(facts: DeploymentFacts) -> Iterator[Finding]:
    group = facts.group
    if group is None or not group.members:
        name = group.name if group is not None else "the workers"
        yield problem(
            "workers",
            f"nobody is in the group {name}, so nothing is applied and nothing fires",
            "start `keepstream worker`; when it refuses, it says why",
        )
    elif group.state != "Stable":
        yield notice(
            "workers",
            f"{counted(group.members, 'worker')} share the partitions out ({group.state})",
            "look again in a minute; if it goes on, a worker comes and goes: see its log",
        )
    else:
        yield ok("workers", f"{counted(group.members, 'worker')} in the group {group.name}")


def _lag(facts: DeploymentFacts) -> Iterator[Finding]:
    is_settled = facts.group is not None and facts.group.members and facts.group.state == "Stable"
    quiet = 0
    for topic in dict.fromkeys(position.topic for position in facts.positions):
        found = [position for position in facts.positions if position.topic == topic]
        waiting = sum(position.waiting for position in found)
        stuck = [position.partition for position in found if position.is_stuck]
        if topic == topics.LABELLED_EXAMPLES:
            # Committed only up to the last snapshot, so a lag there is normal.
            continue
        if stuck and is_settled:
            yield problem(
                "lag",
                f"{counted(waiting, 'record')} of {topic} to be taken, and none of partition "
                f"{listed(stuck)} was taken in {LOOK_AGAIN_S:.0f} s",
                _unstick(topic),
            )
        elif waiting >= LAG_RECORDS_MANY or (waiting and not is_settled):
            more = "start more workers, up to one a partition, if it does not shrink"
            yield notice("lag", f"{counted(waiting, 'record')} of {topic} to be taken", more)
        else:
            quiet += 1
    if quiet:
        yield ok("lag", f"{counted(quiet, 'topic')} taken as they come")


def _rows(facts: DeploymentFacts) -> Iterator[Finding]:
    """Whether every row follows from the log, as far as workers know."""
    damaged = [p for p in facts.partitions if p.damaged]
    if damaged:
        count = sum(partition.damaged for partition in damaged)
        yield problem(
            "rows",
            f"{counted(count, 'row')} of customers{in_partitions(damaged)} were damaged: "
            f"profiles and decisions of these may be wrong",
            "stop the workers, run `keepstream rebuild`, start them again",
        )
    if lacking := [p for p in facts.partitions if not p.has_archive]:
        yield problem(
            "archive",
            f"the archive{in_partitions(lacking)} is not known to have all that was applied",
            "stop the workers, run `keepstream archive fill`, start them again; until then do not "
            "shorten the retention of customer-events",
        )


def _unstick(topic: str) -> str:
    if topic in topics.DELIVERED_TOPICS:
        return "they wait for Redis: see there; if it is well, restart the worker that owns them"
    return "ask /health/ready of the workers who owns it, read that one's log, and restart it"


def _store(facts: DeploymentFacts) -> Iterator[Finding]:
    store = facts.store
    if store.error is not None:
        yield (problem if store.is_seen else unseen)(
            "redis",
            f"{store.address} can't be used ({store.error}): profiles and streams get old there",
            "start it, see that it may be written to, or set KEEPSTREAM_REDIS_URL",
        )
        return
    evicts = store.memory_max_bytes > 0 and store.policy != "noeviction"
    is_full = 0 < store.memory_max_bytes * MEMORY_SHARE_MAX < store.memory_bytes
    if evicts:
        yield problem(
            "redis",
            f"when its memory is full it drops profiles and triggers by itself ({store.policy})",
            "CONFIG SET maxmemory-policy noeviction",
        )
    if is_full:
        share = store.memory_bytes / store.memory_max_bytes
        yield problem("redis", f"its memory is {share:.0%} full", "raise its maxmemory")
    if store.displaced:
        yield problem(
            "redis",
            f"{store.displaced:,} decisions wait, as the keys of their streams hold something else",
            "the workers' log and /health/ready name the keys: delete or rename them",
        )
    has_customers = any(partition.latest_ms for partition in facts.partitions)
    if has_customers and not store.has_profiles:
        yield problem(
            "redis",
            "there are customers, but none has a profile there",
            "see that the workers use this KEEPSTREAM_REDIS_URL and this topic prefix",
        )
    elif not evicts and not is_full:
        profiles = "with profiles" if store.has_profiles else "no profiles yet"
        yield ok("redis", f"{store.version} at {store.address}, can be written to, {profiles}")


def _clocks(facts: DeploymentFacts, parameters: Parameters) -> Iterator[Finding]:
    newest_ms = facts.newest_record_ms
    if newest_ms is None:
        yield ok("clock", "no event yet to compare this host's clock with the broker's")
    elif newest_ms > facts.at_ms + SKEW_MS:
        yield problem(
            "clock",
            f"the broker's clock is {span(newest_ms - facts.at_ms)} ahead of this host's",
            "let both keep time by NTP",
        )
    else:
        ago = f"the broker took the latest event {span(facts.at_ms - newest_ms)} ago"
        yield ok("clock", f"this host's and the broker's do not contradict each other: {ago}")
    yield from _partition_clocks(facts, parameters)


def _partition_clocks(facts: DeploymentFacts, parameters: Parameters) -> Iterator[Finding]:
    """Event time compared with now; partitions with the same finding share one."""
    # Records in a raw topic may go to any partition of the log.
    to_come = (topics.CUSTOMER_EVENTS, *topics.RAW_TOPICS)
    waiting = [p for p in facts.positions if p.topic in to_come and p.waiting]
    is_raw_waiting = any(p.topic != topics.CUSTOMER_EVENTS for p in waiting)
    behind_by_the_log = {p.partition for p in waiting if p.topic == topics.CUSTOMER_EVENTS}
    ahead, behind, idle, current = _Clocks(), _Clocks(), _Clocks(), _Clocks()
    for partition in facts.partitions:
        behind_ms = facts.at_ms - partition.clock_ms
        if not partition.clock_ms:
            continue
        if -behind_ms > parameters.time.future:
            ahead.add(partition.number, -behind_ms)
        elif behind_ms <= CLOCK_REACH_MS:
            current.add(partition.number, max(behind_ms, 0))
        else:
            catches_up = is_raw_waiting or partition.number in behind_by_the_log
            (behind if catches_up else idle).add(partition.number, behind_ms)
    if ahead:
        yield problem(
            "clock",
            f"{ahead} up to {ahead.span} ahead of now: what comes now counts as late there",
            "find out who publishes dates in the future; time.future bounds how far",
        )
    if behind:
        yield notice("clock", f"{behind} up to {behind.span} behind now", "nothing: they catch up")
    if idle:
        yield notice(
            "clock",
            f"{idle} up to {idle.span} behind now, as no event came since",
            "nothing, for a log of the past; else publish events: silence fires only after one",
        )
    if current:
        yield ok("clock", f"{current} within {current.span} of now")


class _Clocks:
    """Partitions with the same finding, and the largest distance of their clocks."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._span_ms = 0

    def add(self, number: int, span_ms: int) -> None:
        self._numbers.append(number)
        self._span_ms = max(self._span_ms, span_ms)

    @property
    def span(self) -> str:
        return span(self._span_ms)

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def __str__(self) -> str:
        one = len(self._numbers) == 1
        return f"partition{'' if one else 's'} {listed(self._numbers)} {'is' if one else 'are'}"


def _letters(facts: DeploymentFacts) -> Iterator[Finding]:
    letters = facts.letters
    if letters is None:
        return
    for loud in letters.loud:
        words = loud_in_words(loud.cause, loud.events)
        yield problem("refused", f"within ten minutes, {words}", loud.cause.fix)
    if not letters.count:
        yield ok("dead letters", "none in the last hour")
        return
    reasons = ", ".join(
        f"{count:,} {reason}"
        for reason, count in sorted(letters.reasons.items(), key=lambda item: (-item[1], item[0]))
    )
    of_newest = f", of the newest {letters.read:,}" if letters.read < letters.count else ""
    words = f"{letters.count:,} in the last hour{of_newest}: {reasons}"
    fix = "`keepstream dead-letters list` shows the field, `retry` puts them back once mended"
    if "too_late" in letters.reasons:
        fix += "; those too late only if workers have a longer time.lateness, with --include-late"
    if letters.count > REJECTED_SHARE_MAX * letters.events:
        share = f", of {letters.events:,} events"
        yield problem("dead letters", words + share, fix)
    else:
        yield notice("dead letters", words, fix)


def _names(facts: DeploymentFacts, parameters: Parameters) -> Iterator[Finding]:
    """Names that resemble known ones, except those that the operator has declared."""
    spoken_for = {*parameters.names.own, *parameters.names.aliases}
    for misnamed in facts.misnamed:
        if folded(misnamed.name) not in spoken_for:
            yield notice(
                "names",
                misnamed_in_words(misnamed),
                "mend the sender, or name it in names.aliases, or in names.own if it is your own",
            )


def _foreign(facts: DeploymentFacts) -> Iterator[Finding]:
    """Records that others wrote to topics that only workers write to."""
    for found in facts.foreign:
        yield problem(
            "records",
            f"{found.count:,} of the newest {found.read:,} records of {found.topic} are not ours "
            f"and were left out, the last at partition {found.partition}, offset {found.offset}: "
            f"{found.why}",
            "find out who else writes there, and take the right to do so away (docs/security.md)",
        )
