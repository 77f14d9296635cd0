"""Whether decisions reach those who act on them, and what holds them back."""

from collections.abc import Iterator, Mapping

from config.settings import variable_of
from models.decisions.trigger import NEXT_BEST_ACTION
from streams.findings import Finding, counted, notice, ok
from streams.vitals import DeploymentFacts, in_partitions

#: With fewer moments without an action than this, there is nothing to report.
MOMENTS_MANY = 20
#: How many gates and kinds of decisions are named.
_GATES_TOLD, _KINDS_TOLD = 3, 5


def rehearsal_findings(facts: DeploymentFacts, lateness_ms: int) -> Iterator[Finding]:
    """Whether partitions rehearse or decide live; empty before the first record."""
    rehearsing = [p for p in facts.partitions if p.live_at_ms is None]
    held = sum(partition.rehearsed for partition in rehearsing or facts.partitions)
    if not rehearsing:
        if facts.partitions:
            was = "was" if held == 1 else "were"
            of_history = f"; of history {counted(held, 'decision')} {was} held" if held else ""
            yield ok("live", f"every partition publishes its decisions{of_history}")
        return
    numbers = "" if len(rehearsing) == len(facts.partitions) else in_partitions(rehearsing)
    yield notice(
        "live",
        f"rehearsing{numbers}: {counted(held, 'decision')} held, none is written or delivered",
        "publish the history of all topics, sorted by time, at once; then run `keepstream live`",
    )
    waits = [p for p in rehearsing if p.latest_ms and p.latest_ms - p.clock_ms > lateness_ms]
    if waits:
        yield notice(
            "live",
            f"events of now came before the history{in_partitions(waits)}, "
            f"whose clock waits for it",
            "publish the history; if there is none, run `keepstream live`",
        )


def delivery_findings(facts: DeploymentFacts) -> Iterator[Finding]:
    """What became of the decisions of the last hour; empty if there were none."""
    found = facts.deliveries
    if found is None or not found.read:
        return
    of_newest = f", of the newest {found.read:,}" if found.read < found.count else ""
    when = f"in the last hour{of_newest}"
    delivered = _kinds(found.delivered) or "none"
    if found.held_back:
        counts = found.held_back.values()
        yield notice(
            "deliveries",
            f"{when}, {counted(sum(counts), 'decision')} came too late for Redis: "
            f"{_kinds(found.held_back)}; delivered: {delivered}",
            f"nothing, if events are published long after; else see what waits, above. "
            f"{variable_of('deliver_max_age')} bounds the age of triggers (0: none), `due` in the "
            f"file of actions that of actions",
        )
    else:
        yield ok("deliveries", f"{when}, delivered to Redis: {delivered}; none came too late")
    yield from _gates(facts, when)


def _gates(facts: DeploymentFacts, when: str) -> Iterator[Finding]:
    found = facts.deliveries
    assert found is not None
    done = found.delivered.get(NEXT_BEST_ACTION, 0) + found.held_back.get(NEXT_BEST_ACTION, 0)
    moments = done + found.nothing
    if not moments:
        return
    shut = _by_count(found.gates, most=_GATES_TOLD)
    words = (
        f"{when}, an action was chosen at {done:,} of {counted(moments, 'moment')} with triggers"
    )
    words += f"; rejected most often by {shut}" if shut else ""
    if done or moments < MOMENTS_MANY:
        yield ok("gates", words)
    else:
        yield notice(
            "gates", words, "`keepstream explain ID` says of a decision why nothing was done"
        )


def _kinds(counts: Mapping[str, int]) -> str:
    """The most frequent kinds, and how many decisions are of other kinds."""
    told = _by_count(counts, most=_KINDS_TOLD)
    other_counts = sorted(counts.values(), reverse=True)[_KINDS_TOLD:]
    if not other_counts:
        return told
    return f"{told} and {sum(other_counts):,} of {counted(len(other_counts), 'other kind')}"


def _by_count(counts: Mapping[str, int], most: int | None = None) -> str:
    """Names with their counts, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ranked[:most])
