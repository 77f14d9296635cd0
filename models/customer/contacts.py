"""What was decided for a customer lately, and what became of it."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct, field, msgpack

from config.parameters import Parameters
from models.customer.fingerprint import fingerprint
from models.customer.part import Line, Part, ProfileSection
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import how_long_before
from models.events.event import Event, EventType, Text
from models.events.wire import iso

DECISIONS_MAX = 24
#: Older decisions are in the profile as JSON.
_DECISIONS_TOLD_MAX = 5
#: Whether the customer is treated, or in the holdout that shows what would have happened anyway.
TREATED, CONTROL = "treated", "control"


class Outcome(StrEnum):
    """What came back about an action, from nothing to the last word; ``contaminated``: somebody
    carried out a decision of the control group.
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
#: How far an action came, by the event that says so.
OUTCOMES = {
    f"Action {outcome.capitalize()}": outcome
    for outcome in _STAGES[_STAGES.index(Outcome.DELIVERED) :]
}
_OUTCOME_WORDS = {
    Outcome.NONE: "nothing heard of it yet",
    Outcome.FAILED: "could not be delivered",
    Outcome.WITHDRAWN: "withdrawn, for the customer refused it",
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


class Contacts(State):
    """The latest actions, oldest first; ``fired_ms``: when each trigger last fired; ``at_risk``:
    the triggers whose threshold the customer is above.
    """

    latest: list[Contact] = field(default_factory=list)
    fired_ms: dict[str, int] = field(default_factory=dict)
    at_risk: list[str] = field(default_factory=list)

    def remember(self, new: Contact) -> None:
        """Keep one more action.

        Of too many, the oldest goes of those whose action was decided again since: a cooldown is
        counted from an action's last time, however long ago that was.
        """
        self.latest.append(new)
        if len(self.latest) > DECISIONS_MAX:
            last = {contact.action: place for place, contact in enumerate(self.latest)}
            repeated = (p for p, contact in enumerate(self.latest) if last[contact.action] > p)
            del self.latest[next(repeated, 0)]


def _record(state: Contacts, event: Event, _scene: Scene) -> None:
    """Note what became of an action: a later stage replaces an earlier one, in whatever order they
    are heard of. What was done to the control group is no success of anything.
    """
    contact, heard = decided_contact(state, event), OUTCOMES[event.name]
    if contact is None:
        return
    if contact.treated:
        contact.outcome = max(Outcome(contact.outcome), heard, key=_STAGES.index)
    elif heard is not Outcome.FAILED:
        contact.outcome = Outcome.CONTAMINATED


def decided_contact(state: Contacts, event: Event) -> Contact | None:
    """The decision that an outcome is about; None if it was not decided for this customer, or is
    long forgotten.
    """
    wanted = fingerprint(event.properties.decision_id)
    for contact in state.latest:
        if contact.id == wanted:
            return contact
    return None


def _united(states: Sequence[Contacts], _parameters: Parameters) -> Contacts:
    """One person's contacts: all that any of their ids got, so that caps and cooldowns hold.

    Not additive: what became of an action is only known if it was heard under the id that the
    action was decided for. Beyond `DECISIONS_MAX` the oldest are let go of, as for one id.
    """
    one = Contacts()
    for contact in sorted((c for state in states for c in state.latest), key=lambda c: c.at_ms):
        one.remember(contact)
    for state in states:
        for name, fired_ms in state.fired_ms.items():
            one.fired_ms[name] = max(fired_ms, one.fired_ms.get(name, 0))
        one.at_risk += [name for name in state.at_risk if name not in one.at_risk]
    return one


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
    about="What was decided for the customer, when each trigger last fired, and what came of it.",
    state=Contacts,
    united=_united,
    events={name: EventType(shape=ActionOutcome) for name in OUTCOMES},
    listens=frozenset(OUTCOMES),
    record=_record,
    # Without the decision's own id and its end.
    version=2,
    older={1: msgpack.Decoder(Contacts).decode},
    offers=(contacts,),
    sections=(
        ProfileSection(
            "decisions", tuple[DecisionView, ...], _decisions, _decisions_in_words, place=620
        ),
        ProfileSection(
            "last_triggers", dict[str, str], _last_triggers, _triggers_in_words, place=610
        ),
    ),
)
