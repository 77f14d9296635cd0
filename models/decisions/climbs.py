"""Rules that fire when a fact climbs to a threshold: once a climb, even if they are delayed.

A climb begins when the fact reaches ``to``, and ends when it has fallen to ``rearm``. Only firing
uses it up. If the cooldown holds a climb back, the rule is evaluated again at the millisecond at
which the cooldown ends. If the condition does, it is evaluated again at every later look.
"""

from models.customer.contacts import CONTACTS, COOLDOWN
from models.customer.scene import Scene
from models.decisions.policy import CompiledTrigger


def may_fire(scene: Scene, compiled: CompiledTrigger) -> bool:
    """Whether the fact is in a climb for which the rule has not fired, and the condition holds."""
    rule, contacts = compiled.rule, scene.row.read(CONTACTS)
    rises = rule.rises
    assert rises is not None
    if rule.name in contacts.at_risk:
        # Do this even if the condition is false: a climb that is over must not block the next one.
        if _value(scene, rises.fact) <= rises.rearm:
            scene.row.edit(CONTACTS).at_risk.remove(rule.name)
        return False
    # Check the condition first: the fact may be expensive to compute.
    if compiled.when.holds(scene) and _value(scene, rises.fact) >= rises.to:
        return True
    if rule.name in contacts.held and _value(scene, rises.fact) <= rises.rearm:
        scene.row.edit(CONTACTS).held.remove(rule.name)
    return False


def hold(scene: Scene, compiled: CompiledTrigger, until_ms: int) -> None:
    """Remember a climb that the cooldown holds back, to evaluate it again at ``until_ms``."""
    contacts, name = scene.row.read(CONTACTS), compiled.rule.name
    if name not in contacts.held:
        scene.row.edit(CONTACTS).held.append(name)
    due_ms = scene.row.due(COOLDOWN).due_ms
    if not due_ms or until_ms < due_ms:
        scene.row.set_due(COOLDOWN, until_ms, may_repeat=True)


def use_up(scene: Scene, compiled: CompiledTrigger) -> None:
    """Note that the rule fired for this climb."""
    contacts, name = scene.row.edit(CONTACTS), compiled.rule.name
    contacts.at_risk.append(name)
    if name in contacts.held:
        contacts.held.remove(name)


def let_go(scene: Scene, rules: tuple[CompiledTrigger, ...]) -> tuple[CompiledTrigger, ...]:
    """The ``rules`` whose climb was held back by a cooldown that is now over. Sets the timer to the
    end of the next cooldown.

    From now on only the condition and the fact can hold these rules back. Rules that no longer
    exist are forgotten.
    """
    contacts = scene.row.edit(CONTACTS)
    held = [compiled for compiled in rules if compiled.rule.name in contacts.held]
    contacts.held.clear()
    free = []
    for compiled in held:
        until_ms = contacts.fired_ms.get(compiled.rule.name, 0) + compiled.rule.cooldown
        if until_ms > scene.at_ms:
            hold(scene, compiled, until_ms)
        else:
            free.append(compiled)
    return tuple(free)


def _value(scene: Scene, fact: str) -> float:
    value: float = scene[fact]  # type: ignore[assignment]  # rules that rise name numbers
    return value
