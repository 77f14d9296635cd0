"""The latest decisions for a customer, and what became of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from operator import attrgetter
from typing import Any

from msgspec import Struct, field, msgpack
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer import holdout
from models.customer.fingerprint import fingerprint
from models.customer.holdout import CONTROL, TREATED, HoldoutView
from models.customer.part import Line, Part, ProfileSection, Timer
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import counted, how_long_before, moment_in_words
from models.events.event import Event, EventType, Text
from models.events.times import iso, iso_or_none

DECISIONS_MAX = 24
#: How many of the latest moments with a trigger are kept with the reasons why nothing else was
#: decided, how many actions of each, and how many characters of what a gate says.
MOMENTS_MAX, REJECTED_MAX, _WHAT_LENGTH_MAX = 2, 12, 64
#: How many rejected actions, of these moments and of earlier ones, are kept with their gate.
SUPPRESSIONS_MAX = 24
#: How many of them a profile in words lists, each with how often.
_SUPPRESSIONS_TOLD_MAX = 5
#: The timer at the end of the cooldown that holds a climb back, and the moment that it raises.
#: Rules cannot name this moment: every rule with a threshold is evaluated at it.
COOLDOWN, COOLDOWN_OVER = "cooldown", "cooldown-over"
#: Decisions in a profile in words; older ones are only in its JSON.
_DECISIONS_TOLD_MAX = 5
_when = attrgetter("at_ms")


class Outcome(StrEnum):
    """What was reported about an action, from nothing to its final outcome; ``contaminated``:
    somebody carried out a decision of the control group.
    """

    NONE = "none"
    CONTAMINATED = "contaminated"
    WITHDRAWN = "withdrawn"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"


_STAGES = tuple(Outcome)
#: The outcome that each event reports.
OUTCOMES = {
    f"Action {outcome.capitalize()}": outcome
    for outcome in _STAGES[_STAGES.index(Outcome.DELIVERED) :]
}
_OUTCOME_WORDS = {
    Outcome.NONE: "nothing heard of it yet",
    Outcome.FAILED: "could not be delivered",
    Outcome.WITHDRAWN: "withdrawn: refused, or bought before it was heard of",
}


class ActionOutcome(Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of an action; ``decision_id`` is the id of the decision it was taken for."""

    decision_id: Text


class Contact(State):
    """An action decided for the customer; ``treated`` is False for the holdout. ``decision`` is
    the decision's own id, ``id`` its fingerprint. It is not to be carried out after ``due_ms``.
    """

    id: int
    action: str
    channel: str
    at_ms: int
    treated: bool
    outcome: str = Outcome.NONE
    decision: bytes = b""
    due_ms: int = 0


class RejectedAction(State):
    """A rejected action and the gate that rejected it (``by``): since when, until when, and
    ``what`` the gate says; 0 or empty if not known.
    """

    action: str
    by: str
    since_ms: int = 0
    until_ms: int = 0
    what: str = ""


class Decided(State):
    """What was decided at a moment with a trigger; ``action`` is empty if nothing is done. Actions
    that answer none of its triggers are left out.
    """

    at_ms: int
    triggers: list[str]
    action: str = ""
    outranked: list[str] = field(default_factory=list)
    rejected: list[RejectedAction] = field(default_factory=list)

    def limited(self) -> None:
        """Cut both lists to their bound, keeping the first in the catalogue's order."""
        del self.outranked[REJECTED_MAX:]
        del self.rejected[REJECTED_MAX:]
        for one in self.rejected:
            one.what = one.what[:_WHAT_LENGTH_MAX]


class SuppressedAction(State):
    """An action that a gate rejected at a moment."""

    at_ms: int
    action: str
    by: str


class Contacts(State):
    """``latest``: the latest actions, oldest first; ``fired_ms``: when each trigger last fired;
    ``at_risk``: the triggers that fired for the climb their fact is in; ``held``: those whose
    cooldown holds a climb back.

    ``moments``: the latest decisions, oldest first; ``earlier``: the actions rejected at the
    moments before, as many as there is room for; ``contaminated_ms``: since when the customer has
    decisions of the other group of the holdout.
    """

    latest: list[Contact] = field(default_factory=list)
    fired_ms: dict[str, int] = field(default_factory=dict)
    at_risk: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    moments: list[Decided] = field(default_factory=list)
    earlier: list[SuppressedAction] = field(default_factory=list)
    contaminated_ms: int = 0

    @property
    def has_decisions(self) -> bool:
        """Whether a trigger or an action was ever decided live."""
        return bool(self.latest or self.fired_ms)

    def contaminate(self, at_ms: int) -> None:
        """Note decisions of both groups since ``at_ms``, unless since an earlier time."""
        self.contaminated_ms = min(at_ms, self.contaminated_ms or at_ms)

    def decide(self, new: Decided) -> None:
        """Keep the decision of one more moment."""
        new.limited()
        self.keep_moments([*self.moments, new], self.earlier)

    def keep_moments(self, moments: list[Decided], earlier: list[SuppressedAction]) -> None:
        """Keep the latest of ``moments``, and the rejected actions of the others and of
        ``earlier``.
        """
        moments = sorted(moments, key=_when)
        gone, self.moments = moments[:-MOMENTS_MAX], moments[-MOMENTS_MAX:]
        known = sorted([*earlier, *_suppressed(gone)], key=_when)
        room = SUPPRESSIONS_MAX
        for decided in self.moments:
            room -= len(decided.rejected)
        self.earlier = known[max(len(known) - room, 0) :]

    def suppressed(self) -> list[SuppressedAction]:
        """The latest actions that were rejected, oldest first."""
        return sorted([*self.earlier, *_suppressed(self.moments)], key=_when)

    def remember(self, new: Contact) -> None:
        """Keep one more action, in the order of time: a late event may bring an earlier one.

        Beyond the bound, drop the oldest whose action was decided again since: a cooldown is
        counted from an action's last time, however long ago that was.
        """
        self.latest = sorted([*self.latest, new], key=_when)
        if len(self.latest) > DECISIONS_MAX:
            last = {contact.action: place for place, contact in enumerate(self.latest)}
            repeated = (p for p, contact in enumerate(self.latest) if last[contact.action] > p)
            del self.latest[next(repeated, 0)]


def _suppressed(moments: Sequence[Decided]) -> list[SuppressedAction]:
    return [
        SuppressedAction(decided.at_ms, one.action, one.by)
        for decided in moments
        for one in decided.rejected
    ]


def _record(state: Contacts, event: Event, _scene: Scene) -> None:
    """Note what became of an action: a later stage replaces an earlier one, whatever the order of
    arrival. In the control group, a decision that was carried out is contaminated, not a success.
    """
    contact, heard = decided_contact(state, event), OUTCOMES[event.name]
    if contact is None:
        return
    if contact.treated:
        contact.outcome = max(Outcome(contact.outcome), heard, key=_STAGES.index)
    elif heard is not Outcome.FAILED:
        contact.outcome = Outcome.CONTAMINATED


def decided_contact(state: Contacts, event: Event) -> Contact | None:
    """The decision that an outcome is about; None if it was not made for this customer, or is no
    longer kept.
    """
    wanted = fingerprint(event.properties.decision_id)
    for contact in state.latest:
        if contact.id == wanted:
            return contact
    return None


def _united(states: Sequence[Contacts], _parameters: Parameters) -> Contacts:
    """One person's contacts: those of all their ids, so that caps and cooldowns hold.

    Not additive: what became of an action is only known if it was heard under the id that the
    action was decided for. Beyond `DECISIONS_MAX` the oldest are dropped, as for one id.
    """
    one = Contacts()
    for contact in sorted((c for state in states for c in state.latest), key=_when):
        # A copy: its outcome for the person must not change the id's own contact.
        one.remember(replace(contact))
    for state in states:
        for name, fired_ms in state.fired_ms.items():
            one.fired_ms[name] = max(fired_ms, one.fired_ms.get(name, 0))
        one.at_risk += [name for name in state.at_risk if name not in one.at_risk]
        one.keep_moments([*one.moments, *state.moments], [*one.earlier, *state.earlier])
        if state.contaminated_ms:
            one.contaminate(state.contaminated_ms)
    for state in states:
        new = {*state.held}.difference(one.held, one.at_risk)
        one.held += [name for name in state.held if name in new]
    return one


def _end_cooldown(scene: Scene) -> None:
    scene.raise_moment(COOLDOWN_OVER)


def contacts(scene: Scene) -> Contacts:
    """The customer's contacts; read only."""
    return scene.row.read(CONTACTS)


class DecisionView(Struct, frozen=True, rename="camel"):
    """An action that was decided, and what became of it."""

    action: str
    channel: str
    at: str
    group: str
    outcome: str


class RejectedView(Struct, frozen=True, rename="camel"):
    """A rejected action and the gate that rejected it (``by``): since when, until when, and
    ``what`` the gate says.
    """

    action: str
    by: str
    since: str | None
    until: str | None
    what: str | None


class DecidedView(Struct, frozen=True, rename="camel"):
    """What was decided at a moment with a trigger, and why nothing else was; no action if nothing
    is done.
    """

    at: str
    triggers: tuple[str, ...]
    action: str | None
    outranked: tuple[str, ...]
    rejected: tuple[RejectedView, ...]


def _moments(scene: Scene) -> tuple[DecidedView, ...]:
    return tuple(
        DecidedView(
            iso(decided.at_ms),
            tuple(decided.triggers),
            decided.action or None,
            tuple(decided.outranked),
            tuple(
                RejectedView(
                    one.action,
                    one.by,
                    iso_or_none(one.since_ms),
                    iso_or_none(one.until_ms),
                    one.what or None,
                )
                for one in decided.rejected
            ),
        )
        for decided in scene.row.read(CONTACTS).moments
    )


class SuppressionView(Struct, frozen=True, rename="camel"):
    """A rejected action and the gate that rejected it."""

    at: str
    action: str
    by: str


def _suppressions(scene: Scene) -> tuple[SuppressionView, ...]:
    return tuple(
        SuppressionView(iso(one.at_ms), one.action, one.by)
        for one in scene.row.read(CONTACTS).suppressed()
    )


def _suppressions_in_words(
    suppressions: tuple[SuppressionView, ...] | None, as_of: str, _currency: str
) -> Iterator[Line]:
    """One line for each action and gate, the latest first."""
    counts = Counter((one.action, one.by) for one in suppressions or ())
    last = {(one.action, one.by): one.at for one in suppressions or ()}
    latest_first = sorted(last.items(), key=lambda item: item[1], reverse=True)
    for (action, by), at in latest_first[:_SUPPRESSIONS_TOLD_MAX]:
        times = counted(counts[action, by], "time")
        yield Line("held back", f"{action}, by {by}: {times}, last {how_long_before(at, as_of)}")


def _moments_in_words(
    moments: tuple[DecidedView, ...], _as_of: str, _currency: str
) -> Iterator[Line]:
    for decided in reversed(moments):
        about = f"on {moment_in_words(decided.at)} about {', '.join(decided.triggers)}"
        why = [f"{', '.join(names)}: {gate}" for gate, names in _by_gate(decided).items()]
        if decided.action is None:
            yield Line("nothing done", f"{about}: {'; '.join(why) or 'no action is for it'}")
        else:
            others = f"; not {'; not '.join(why)}" if why else ""
            yield Line("decided", f"{decided.action} {about}{others}")


def _by_gate(decided: DecidedView) -> dict[str, list[str]]:
    """The actions that were not chosen, by the reason why not."""
    found: dict[str, list[str]] = {}
    for name in decided.outranked:
        found.setdefault("outranked", []).append(name)
    for one in decided.rejected:
        more = [
            one.what or "",
            f"since {moment_in_words(one.since)}" if one.since else "",
            f"until {moment_in_words(one.until)}" if one.until else "",
        ]
        words = ", ".join(filter(None, more))
        found.setdefault(f"{one.by} ({words})" if words else one.by, []).append(one.action)
    return found


def _decisions(scene: Scene) -> tuple[DecisionView, ...]:
    return tuple(
        DecisionView(
            contact.action,
            contact.channel,
            iso(contact.at_ms),
            TREATED if contact.treated else CONTROL,
            contact.outcome,
        )
        for contact in scene.row.read(CONTACTS).latest
    )


def _holdout(scene: Scene) -> HoldoutView:
    since_ms = scene.row.read(CONTACTS).contaminated_ms
    return HoldoutView(holdout.group(scene), iso_or_none(since_ms))


def _last_triggers(scene: Scene) -> dict[str, str]:
    fired = scene.row.read(CONTACTS).fired_ms
    return {name: iso(at_ms) for name, at_ms in sorted(fired.items())}


def _triggers_in_words(fired: dict[str, str], as_of: str, _currency: str) -> Iterator[Line]:
    latest_first: list[Any] = sorted(fired.items(), key=lambda item: item[1], reverse=True)
    for name, at in latest_first:
        yield Line("trigger", f"{name}, {how_long_before(at, as_of)}")


def _decisions_in_words(
    decisions: tuple[DecisionView, ...], as_of: str, _currency: str
) -> Iterator[Line]:
    for decided in decisions[: -_DECISIONS_TOLD_MAX - 1 : -1]:
        words = f"{decided.action} by {decided.channel}, {how_long_before(decided.at, as_of)}"
        if decided.group == CONTROL:
            outcome = "not taken, for the customer is in the control group"
            if decided.outcome == Outcome.CONTAMINATED:
                outcome = "carried out, though the customer is in the control group"
        else:
            outcome = _OUTCOME_WORDS.get(Outcome(decided.outcome), decided.outcome)
        yield Line("action", f"{words}: {outcome}")


CONTACTS: Part[Contacts] = Part(
    name="contacts",
    code="co",
    about="The decisions for a customer, their outcomes, and when each trigger last fired.",
    state=Contacts,
    united=_united,
    events={name: EventType(shape=ActionOutcome) for name in OUTCOMES},
    listens=frozenset(OUTCOMES),
    record=_record,
    # Earlier versions had fewer fields at the ends of their structs.
    version=5,
    dense_since=3,
    older=dict.fromkeys((1, 3, 4), msgpack.Decoder(Contacts).decode),
    timers=(Timer(COOLDOWN, _end_cooldown, may_repeat=True),),
    offers=(contacts,),
    sections=(
        ProfileSection(
            "decisions", tuple[DecisionView, ...], _decisions, _decisions_in_words, place=620
        ),
        ProfileSection(
            "last_triggers", dict[str, str], _last_triggers, _triggers_in_words, place=610
        ),
        ProfileSection(
            "last_moments", tuple[DecidedView, ...], _moments, _moments_in_words, place=630
        ),
        # Profiles by earlier releases have neither this one nor the next.
        ProfileSection("holdout", HoldoutView | None, _holdout, holdout.in_words, place=605),
        ProfileSection(
            "suppressions",
            tuple[SuppressionView, ...] | None,
            _suppressions,
            _suppressions_in_words,
            place=635,
        ),
    ),
    population=holdout.TOLD,
)
