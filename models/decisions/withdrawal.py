"""Withdraws decisions that must no longer be carried out: the customer now refuses them, or has
bought what they were to bring about.
"""

from collections.abc import Sequence
from typing import Final

from models.customer.consent import CONSENT_CHANGED
from models.customer.contacts import CONTACTS, Contact, Outcome
from models.customer.holdout import TREATED
from models.customer.order_news import COMPLETED
from models.customer.purchases import purchases
from models.customer.scene import Scene
from models.decisions.causes import cause_of
from models.decisions.gates import CHANNEL_OPT_OUT, CONSENT, GATES, IMPERSONAL, Candidate, Shut
from models.decisions.policy import CompiledAction
from models.decisions.trigger import ACTION_WITHDRAWN, ActionWithdrawn, Cause, decision_id
from models.events.times import iso, iso_or_none

#: The gates that customers close themselves.
_THEIR_OWN: Final = (CONSENT, CHANNEL_OPT_OUT, IMPERSONAL)
#: Why an action is withdrawn that applies only until the customer buys.
BOUGHT: Final = "bought"


def may_withdraw(scene: Scene) -> bool:
    """Whether this moment may be a reason to withdraw anything."""
    if CONSENT_CHANGED in scene.moments:
        return True
    return scene.event is not None and scene.event.name == COMPLETED


def withdrawn(scene: Scene, actions: Sequence[CompiledAction]) -> list[ActionWithdrawn]:
    """Withdrawals of the customer's open decisions that they now refuse, or that are pointless
    because they bought. Each is withdrawn once; the customer's contacts remember it.

    Without those of the control group: nobody carries these out.
    """
    by_name = {compiled.rule.name: compiled for compiled in actions}
    told: list[ActionWithdrawn] = []
    bought = _bought(scene)
    for place, contact in enumerate(scene.row.read(CONTACTS).latest):
        compiled = by_name.get(contact.action)
        if compiled is None or not _is_open(contact, scene):
            continue
        shut = _shut(scene, compiled, contact.channel)
        if shut is None and compiled.rule.until_bought:
            shut = bought
        if shut is not None:
            scene.row.edit(CONTACTS).latest[place].outcome = Outcome.WITHDRAWN
            told.append(_withdrawal(scene, contact, shut))
    return told


def _bought(scene: Scene) -> Shut | None:
    """Since when the customer has bought, if this event is the first news of it. An older order, or
    an order page that is shown again, does not count.
    """
    event = scene.event
    if event is None or event.name != COMPLETED:
        return None
    bought_ms = scene.of(purchases).last_at_ms
    return Shut(BOUGHT, since_ms=bought_ms) if event.occurred_at_ms == bought_ms else None


def _is_open(contact: Contact, scene: Scene) -> bool:
    """Whether the decision may still be carried out, at the time that the customer has reached."""
    now_ms = max(scene.at_ms, scene.row.latest_ms, scene.context.clock_ms)
    return contact.treated and contact.outcome == Outcome.NONE and now_ms < contact.due_ms


def _shut(scene: Scene, compiled: CompiledAction, channel: str) -> Shut | None:
    candidate = Candidate(compiled, 1.0, channel)
    for name in _THEIR_OWN:
        shut = GATES[name](scene, candidate)
        if shut is not None:
            return shut
    return None


def _withdrawal(scene: Scene, contact: Contact, shut: Shut) -> ActionWithdrawn:
    decided = contact.decision.hex()
    # The id depends on the decision alone, because it is withdrawn once: whichever reason comes
    # first, and whichever row has it among its contacts. An id that left a person has the contacts
    # of before, as the person has.
    name = decision_id(ACTION_WITHDRAWN, 1, "", Cause(message_id=decided))
    return ActionWithdrawn(
        id=name,
        kind=ACTION_WITHDRAWN,
        user_id=scene.customer,
        timestamp=iso(scene.at_ms),
        cause=cause_of(scene, CONSENT_CHANGED),
        decision_id=decided,
        action=contact.action,
        channel=contact.channel,
        because=shut.by,
        since=iso_or_none(shut.since_ms),
        what=shut.what,
        group=TREATED,
    )
