"""Class and stage of a person from those of their ids, and what all ids know of them."""

from collections.abc import Iterable, Sequence

from config.parameters import Parameters
from models.customer import winning
from models.customer.decay import added
from models.customer.life_stages import STAGES, CustomerClass, LifecycleParameters
from models.customer.lifecycle_state import Lifecycle


def united(states: Sequence[Lifecycle], parameters: Parameters) -> Lifecycle:
    """One person: the signs of interest and praise of all ids. Of results of looks, that of an id
    that has bought and the highest stage, until the person is looked at: the visitor who logs in
    says nothing against what is known of the user.
    """
    one, section = Lifecycle(), parameters.of(LifecycleParameters)
    _take_class(one, max(states, key=_class_order, default=one))
    _take_stage(one, max(states, key=_stage_order, default=one))
    for state in states:
        one.reached |= state.reached
        if state.cohort and (not one.cohort or _came(state) < _came(one)):
            one.first_day, one.cohort = state.first_day, state.cohort
        winning.unite(one, state)
        one.points = added(
            one.points, one.points_at_ms, state.points, state.points_at_ms, section.half_life
        )
        one.points_at_ms = max(one.points_at_ms, state.points_at_ms)
        one.praised_ms = max(one.praised_ms, state.praised_ms)
        one.shared_ms = sorted([*one.shared_ms, *state.shared_ms])[-section.shares :]
    return one


def go_on(
    state: Lifecycle, known: Iterable[Lifecycle], customer_class: CustomerClass, stage: str
) -> None:
    """Let a person go on from what was ``known`` of them, or else of the id that came: from the
    results that are what the person is found to be now. That ids are one person is no news of the
    customer, so nothing begins anew. Of a customer who was lost and has bought under another id, a
    look is yet to say that they returned.
    """
    known = [*known]
    of_class = [one for one in known if one.customer_class == customer_class]
    if not of_class and customer_class == CustomerClass.RETURNED:
        of_class = [one for one in known if one.customer_class == CustomerClass.LOST]
    if of_class:
        _take_class(state, of_class[0])
    if of_stage := [one for one in known if one.stage == stage]:
        _take_stage(state, of_stage[0])


def _take_class(state: Lifecycle, other: Lifecycle) -> None:
    state.customer_class, state.class_before = other.customer_class, other.class_before
    state.class_since_ms = other.class_since_ms


def _take_stage(state: Lifecycle, other: Lifecycle) -> None:
    state.stage, state.stage_before = other.stage, other.stage_before
    state.stage_since_ms = other.stage_since_ms


def _class_order(state: Lifecycle) -> tuple[bool, int, str, str]:
    has_bought = state.customer_class not in ("", CustomerClass.POTENTIAL)
    return has_bought, state.class_since_ms, state.customer_class, state.class_before


def _stage_order(state: Lifecycle) -> tuple[int, int, str]:
    """The highest stage; of ids at the same one, that which came to it first."""
    place = STAGES.index(state.stage) if state.stage else -1
    return place, -state.stage_since_ms, state.stage_before


def _came(state: Lifecycle) -> tuple[int, str]:
    return state.first_day, state.cohort
