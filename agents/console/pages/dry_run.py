"""The effects of an event, step by step, in words."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from agents.console.pages.figures import day_and_time
from agents.console.pages.live import LiveEntry, entry_of
from agents.console.pages.receipt import Receipt, receipt_of
from agents.words.decision_lines import words_of
from agents.words.profile import lines
from models.customer.profile import Profile
from models.customer.registry import MOMENTS
from models.decisions.verdicts import RuleLook, RuleVerdict
from models.dry_run import DeadlineChange, DryRun
from models.engine import Fate
from streams.decision_ledger import Found

_Profile = dict[str, Any] | None
#: The fates of an event, in words.
_FATES = {
    Fate.APPLIED: "It counts.",
    Fate.DUPLICATE: "An event with this messageId has counted already: nothing changes.",
    Fate.LATE: "It is older than time.lateness allows by the clock of its partition: it would "
    "become a dead letter.",
    Fate.ERASED: "Its customer was erased: nothing comes of it.",
}
#: Fields of the profile that are left out: its metadata, and what is shown elsewhere.
_LEFT_OUT = frozenset({"asOf", "sections", "nextDeadlineAt", "modelVersion"})
_TOLD_ELSEWHERE = frozenset({
    "action", "decided", "happened", "held back", "looked at again", "nothing done", "shared model",
    "trigger",
})  # fmt: skip
_LESSONS = {
    "observation": "a look at what is usual among customers",
    "example": "an example for the models",
    "cost": "the cost of a campaign",
    "tally": "sums over all customers",
    "dayend": "the end of a day",
}


class ProfileChange(NamedTuple):
    """A line or field of the profile, without and with the event."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class LookView(NamedTuple):
    """A rule that was evaluated. ``why``: the reason it does not fire."""

    rule: str
    fires: bool
    moment: str
    why: str
    facts: tuple[tuple[str, str], ...]


class DecidedMoment(NamedTuple):
    """A moment with a decision, and its receipt."""

    entry: LiveEntry
    receipt: Receipt | None


class DryRunView(NamedTuple):
    """The whole dry run. ``fate``: empty for a refused event; ``quiet``: why no decision would be
    written; ``fields``: the exact changes of the profile.
    """

    run: DryRun
    fate: str
    quiet: str
    changes: tuple[ProfileChange, ...]
    fields: tuple[ProfileChange, ...]
    looks: tuple[LookView, ...]
    outcomes: tuple[DecidedMoment, ...]
    deadlines: tuple[str, ...]
    lessons: tuple[str, ...]


def dry_run_view(run: DryRun, currency: str) -> DryRunView:
    """A dry run in words."""
    return DryRunView(
        run,
        _FATES[Fate(run.fate)] if run.fate is not None else "",
        "The partition rehearses: until it is live, no decisions are written."
        if run.is_rehearsing
        else "",
        tuple(_changes(run.before, run.after, currency)),
        tuple(_fields(run.before, run.after)),
        tuple(_look(one) for one in run.looks),
        tuple(_outcomes(run, currency)),
        tuple(_deadline(one) for one in run.deadlines),
        tuple(f"{_LESSONS.get(kind, kind)}: {count}" for kind, count in run.lessons.items()),
    )


def _changes(before: _Profile, after: _Profile, currency: str) -> Iterator[ProfileChange]:
    """The lines that differ, as `keepstream customers show` prints them."""
    earlier, later = _lines(before, currency), _lines(after, currency)
    for name in dict.fromkeys((*later, *earlier)):
        one, other = earlier.get(name, ()), later.get(name, ())
        if one != other and name not in _TOLD_ELSEWHERE:
            yield ProfileChange(name, one, other)


def _lines(told: _Profile, currency: str) -> dict[str, tuple[str, ...]]:
    view: Any = msgspec.convert(told, Profile | None, str_keys=True)
    found: dict[str, list[str]] = {}
    for name, words in lines(view, currency) if view is not None else ():
        found.setdefault(name, []).append(words)
    return {name: tuple(told) for name, told in found.items()}


def _fields(before: _Profile, after: _Profile) -> Iterator[ProfileChange]:
    """The fields that differ, by path."""
    earlier, later = dict(_flat(before)), dict(_flat(after))
    for path in sorted(earlier.keys() | later.keys()):
        one, other = earlier.get(path), later.get(path)
        if one != other:
            yield ProfileChange(path, _shown(one), _shown(other))


def _flat(told: _Profile) -> Iterator[tuple[str, Any]]:
    for name, value in (told or {}).items():
        if name not in _LEFT_OUT:
            yield from _leaves(name, value)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from _leaves(f"{path}.{name}", one)
    elif isinstance(value, list) and value:
        for place, one in enumerate(value):
            yield from _leaves(f"{path}[{place}]", one)
    else:
        yield path, value


def _shown(value: Any) -> tuple[str, ...]:
    return () if value is None else (msgspec.json.encode(value).decode(),)


def _look(one: RuleLook) -> LookView:
    facts = tuple((name, _figure(value)) for name, value in one.facts.items())
    moment = f"{MOMENTS.get(one.moment, one.moment)}, {day_and_time(one.at)}"
    return LookView(words_of(one.rule), one.verdict is RuleVerdict.FIRES, moment, _why(one), facts)


def _why(one: RuleLook) -> str:
    match one.verdict:
        case RuleVerdict.CONDITION:
            return f"{' and '.join(one.unmet)} does not hold"
        case RuleVerdict.BELOW:
            return "its fact has not climbed to the threshold"
        case RuleVerdict.USED_UP:
            return "it has fired for this climb, which is not over"
        case RuleVerdict.COOLDOWN:
            return f"it fired lately, and is silent until {day_and_time(one.until or one.at)}"
        case _:
            return ""


def _figure(value: float | str | None) -> str:
    if value is None:
        return "not known"
    return value if isinstance(value, str) else f"{value:.6g}"


def _outcomes(run: DryRun, currency: str) -> Iterator[DecidedMoment]:
    answered = {action.timestamp for action in run.actions}
    moments = [Found((), None, withdrawal) for withdrawal in run.withdrawals]
    moments += [
        Found(tuple(one for one in run.triggers if one.timestamp == action.timestamp), action)
        for action in run.actions
    ]
    moments += [Found((one,), None) for one in run.triggers if one.timestamp not in answered]
    for found in moments:
        entry = entry_of(found, currency)
        assert entry is not None
        is_told = found.action is not None or bool(found.triggers)
        yield DecidedMoment(entry, receipt_of(found, currency, ()) if is_told else None)


def _deadline(one: DeadlineChange) -> str:
    name = f"{one.part} ({one.name})" if one.part else one.name
    if one.after is None:
        return f"{name}: none any more, was {day_and_time(one.before or '')}"
    if one.before is None:
        return f"{name}: {day_and_time(one.after)}"
    return f"{name}: {day_and_time(one.after)}, was {day_and_time(one.before)}"
