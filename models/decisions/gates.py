"""The gates that an action must pass to be chosen, in order. The first to reject is reported."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from config.duration import DAY_MS
from config.rules import Cap
from models.customer.consent import (
    email_unreachable_since_ms,
    personalisation_refused,
    refusal,
)
from models.customer.consent_events import EMAIL, channel_code
from models.customer.consent_purposes import Purpose
from models.customer.contacts import CONTACTS, Contact
from models.customer.engagement import customer_zone
from models.customer.evidence import reason_at_last_signal
from models.customer.prices import is_price_dependent
from models.customer.scene import Scene
from models.customer.support import truce
from models.decisions.policy import CompiledAction
from models.decisions.quiet_hours import not_before_ms
from models.decisions.trigger import Suppressed
from models.events.times import iso_or_none


class Candidate(NamedTuple):
    """An action, the channel that it would go out by, and the greatest weight of the triggers of
    this moment that it answers.
    """

    compiled: CompiledAction
    weight: float
    channel: str


class Shut(NamedTuple):
    """The gate that rejects an action. ``since_ms`` and ``until_ms`` are 0 if they are not known.
    ``what`` is the detail, in the gate's own code.
    """

    by: str
    since_ms: int = 0
    until_ms: int = 0
    what: str | None = None

    def suppressed(self, action: str) -> Suppressed:
        """The gate as a receipt shows it."""
        if self is UNANSWERED:
            return _unanswered(action)
        return Suppressed(
            action, self.by, iso_or_none(self.since_ms), iso_or_none(self.until_ms), self.what
        )


@lru_cache(maxsize=256)
def _unanswered(action: str) -> Suppressed:
    """What receipts say of most actions at most moments."""
    return Suppressed(action, ANSWERS)


#: The kind of offer that lowers the price.
DISCOUNT: Final = "discount"
#: Returns None if the gate lets the action pass.
Gate = Callable[[Scene, Candidate], Shut | None]


def shut_gate(scene: Scene, candidate: Candidate) -> Shut | None:
    """The first gate that rejects the action, or None."""
    for gate in _IN_ORDER:
        shut = gate(scene, candidate)
        if shut is not None:
            return shut
    return None


def _answers(_scene: Scene, candidate: Candidate) -> Shut | None:
    """The action answers one of the triggers."""
    return None if candidate.weight > 0 else UNANSWERED


def _eligibility(scene: Scene, candidate: Candidate) -> Shut | None:
    """The action's own condition holds."""
    return None if candidate.compiled.when.holds(scene) else Shut(ELIGIBILITY)


def _consent(scene: Scene, candidate: Candidate) -> Shut | None:
    """The customer does not refuse marketing by the action's channel and list. Service messages
    need no consent.
    """
    rule = candidate.compiled.rule
    if rule.service:
        return None
    refused = refusal(scene, Purpose.MARKETING, channel_code(candidate.channel), rule.list)
    return Shut(CONSENT, refused.since_ms, what=refused.what) if refused is not None else None


def _channel_opt_out(scene: Scene, candidate: Candidate) -> Shut | None:
    """The customer can be reached by the action's channel. An address from which mail bounces
    cannot be used, not even for messages about a purchase.
    """
    if channel_code(candidate.channel) != EMAIL:
        return None
    since_ms = scene.of(email_unreachable_since_ms)
    return Shut(CHANNEL_OPT_OUT, since_ms, what=f"{EMAIL}:unreachable") if since_ms else None


def _impersonal(scene: Scene, candidate: Candidate) -> Shut | None:
    """The customer does not refuse personalised decisions, or the action is not one."""
    if not candidate.compiled.rule.personal:
        return None
    refused = scene.of(personalisation_refused)
    return Shut(IMPERSONAL, refused.since_ms, what=refused.what) if refused is not None else None


def _truce(scene: Scene, candidate: Candidate) -> Shut | None:
    """Nothing is sold to customers who wait for help or were just disappointed."""
    if candidate.compiled.rule.service:
        return None
    found = scene.of(truce)
    return Shut(TRUCE, found.since_ms, found.until_ms, found.why) if found is not None else None


def _reason(scene: Scene, candidate: Candidate) -> Shut | None:
    """If the action is for some reasons to leave alone, the customer's likely reason is one."""
    plays = candidate.compiled.rule.reasons
    if not plays:
        return None
    found = scene.of(reason_at_last_signal)
    return Shut(REASON, what=str(found)) if found not in plays else None


def _price_dependence(scene: Scene, candidate: Candidate) -> Shut | None:
    """No discount for customers who only buy at a reduced price: it would only lower the price."""
    if candidate.compiled.rule.offer != DISCOUNT or not scene.of(is_price_dependent):
        return None
    return Shut(PRICE_DEPENDENCE, what=DISCOUNT)


def _quiet_hours(scene: Scene, candidate: Candidate) -> Shut | None:
    """There is time left for the action after the quiet hours of its channel."""
    rule = candidate.compiled.rule
    until_ms = not_before_ms(scene, candidate.channel)
    if until_ms <= scene.at_ms + rule.due:
        return None
    return Shut(QUIET_HOURS, until_ms=until_ms, what=scene.of(customer_zone))


def _cooldown(scene: Scene, candidate: Candidate) -> Shut | None:
    """The action was not decided for the customer within its cooldown."""
    rule = candidate.compiled.rule
    for contact in reversed(scene.row.read(CONTACTS).latest):
        until_ms = contact.at_ms + rule.cooldown
        if contact.action == rule.name and rule.cooldown > 0 and scene.at_ms < until_ms:
            return Shut(COOLDOWN, contact.at_ms, until_ms)
    return None


def _contact_cap(scene: Scene, candidate: Candidate) -> Shut | None:
    """The customer has room for one more contact: of any kind, by this channel, and of this action.

    Decisions for the holdout count as contacts, so that the caps treat both groups alike.
    """
    rule = candidate.compiled.rule
    if rule.service:
        return None
    for cap in scene.parameters.actions.caps:
        if cap.covers(candidate.channel, rule.name):
            shut = _full(cap, scene)
            if shut is not None:
                return shut
    return None


def _full(cap: Cap, scene: Scene) -> Shut | None:
    times = [
        contact.at_ms
        for contact in scene.of(counted_contacts)
        if cap.covers(contact.channel, contact.action) and scene.at_ms - cap.per < contact.at_ms
    ]
    if len(times) < cap.at_most:
        return None
    whose = cap.channel or cap.action or "customer"
    what = f"{whose}: {cap.at_most} per {cap.per / DAY_MS:g}d"
    if not cap.at_most:
        return Shut(CONTACT_CAP, what=what)
    # Since the contact that filled the cap, until the end of the one that makes room again.
    return Shut(CONTACT_CAP, times[-1], times[-cap.at_most] + cap.per, what)


def counted_contacts(scene: Scene) -> list[Contact]:
    """The customer's contacts that count towards caps, oldest first; service messages do not."""
    service = {rule.name for rule in scene.parameters.actions.actions if rule.service}
    return [c for c in scene.row.read(CONTACTS).latest if c.action not in service]


ANSWERS: Final = "answers"
ELIGIBILITY: Final = "eligibility"
REASON: Final = "reason"
CONSENT: Final = "consent"
CHANNEL_OPT_OUT: Final = "channel-opt-out"
IMPERSONAL: Final = "impersonal"
TRUCE: Final = "truce"
PRICE_DEPENDENCE: Final = "price-dependence"
QUIET_HOURS: Final = "quiet-hours"
COOLDOWN: Final = "cooldown"
CONTACT_CAP: Final = "contact-cap"
#: The action is worth no more than it costs, or its worth is unknown. This gate comes last, for
#: actions that passed all others.
PRIORITY: Final = "priority"

#: By their names in receipts, in the order in which they are checked.
GATES: Mapping[str, Gate] = {
    ANSWERS: _answers,
    ELIGIBILITY: _eligibility,
    REASON: _reason,
    CONSENT: _consent,
    CHANNEL_OPT_OUT: _channel_opt_out,
    IMPERSONAL: _impersonal,
    TRUCE: _truce,
    PRICE_DEPENDENCE: _price_dependence,
    QUIET_HOURS: _quiet_hours,
    COOLDOWN: _cooldown,
    CONTACT_CAP: _contact_cap,
}
_IN_ORDER: Final[tuple[Gate, ...]] = tuple(GATES.values())
#: The result for most actions: they answer other triggers.
UNANSWERED: Final = Shut(ANSWERS)
#: The names of all gates, for receipts.
GATE_NAMES: tuple[str, ...] = (*GATES, PRIORITY)
