"""Segments in words: their conditions, how exact they are, and what an edit changes."""

from collections.abc import Iterator

from agents.words.rules import duration
from config.parameters import Parameters
from config.segments import SEGMENT_ENTERED, SEGMENT_LEFT, SegmentRule, Segments, trigger_name
from models.customer.registry import FACTS
from models.customer.segments import TIME, watched_name
from models.customer.words import counted
from models.decisions.segments import Watched
from models.plan import plan_for


def segments_in_words(parameters: Parameters) -> Iterator[str]:
    """Every segment in the order of its file, followed by the rules of the moment `time`."""
    watched = {segment.name: segment for segment in plan_for(parameters).watch.segments}
    segments = parameters.segments
    yield f"{segments.file}: {counted(len(segments.segments), 'segment')}"
    if segments.segments and not watched:
        yield "  nobody is looked at: segments.enabled is false"
        return
    for rule in segments.segments:
        yield from _segment(rule, watched[rule.name], parameters)
    for trigger in parameters.triggers.triggers:
        if trigger.moment == TIME:
            yield f"  rule {trigger.name} ({trigger.file}, line {trigger.line})"
            yield from exactness(watched[watched_name(trigger.name)], parameters)


def _segment(rule: SegmentRule, segment: Watched, parameters: Parameters) -> Iterator[str]:
    yield f"  {rule.name} (version {rule.version}, line {rule.line})"
    if rule.about:
        yield f"    {rule.about}"
    yield f"    in it while {rule.when}"
    if rule.hold:
        yield f"    once that has been so, or not, for {duration(rule.hold)}"
    if rule.announce:
        entered, left = (trigger_name(rule.name, m) for m in (SEGMENT_ENTERED, SEGMENT_LEFT))
        also = ", also for those who are in when it is new or has changed" if rule.backfill else ""
        yield f"    fires {entered}{also}, and {left}"
    yield from exactness(segment, parameters)


def exactness(segment: Watched, parameters: Parameters) -> Iterator[str]:
    """When customers enter and leave: to the millisecond, or which conditions are noticed later."""
    if not segment.timing.inexact:
        yield "    to the millisecond, also when nothing happens"
    days = parameters.churn.check_in_days
    for comparison, fact in segment.timing.inexact:
        moves = FACTS[fact].moves if fact is not None else None
        if moves is not None:
            yield (
                f"    `{comparison}` to the millisecond by what all customers are like; that "
                f"{fact} moves with a new model is seen at events and every {days:g} days"
            )
            continue
        why = f"nobody can say when {fact} changes by itself" if fact else "it is no straight line"
        yield f"    `{comparison}` is seen at events and every {days:g} days, for {why}"


def changes_in_words(before: Segments, after: Segments) -> Iterator[str]:
    """The changes that another file makes, segment by segment; nothing if it is the same."""
    old = {rule.name: rule for rule in before.segments}
    for rule in after.segments:
        known = old.pop(rule.name, None)
        if known is None:
            yield f"new: {rule.name}: {rule.when}"
        elif known.when != rule.when or known.hold != rule.hold:
            yield f"changed: {rule.name}: was {_said(known)}"
            yield f"         {' ' * len(rule.name)}  is  {_said(rule)}"
            if known.version == rule.version:
                yield f"         raise its version, which is {rule.version} still"
        elif known.version != rule.version:
            yield f"changed: {rule.name}: version {known.version} is now {rule.version}"
    for name in old:
        yield f"gone: {name}"


def _said(rule: SegmentRule) -> str:
    held = f", held for {duration(rule.hold)}" if rule.hold else ""
    return f"{rule.when}{held}"
