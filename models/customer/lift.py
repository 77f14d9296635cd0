"""What actions bring: the customers for whom one was decided, in the control group too, are
followed until it is known whether they bought.

A customer counts once for an action while they are followed, by its first decision: later ones
would follow from what the first brought. Results are reported once late events have come.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from msgspec import field
from msgspec.structs import replace

from config.duration import DAY_MS
from config.limits import PositiveMs
from config.parameters import Parameters, Section
from models.customer.contacts import OUTCOMES, Outcome, contacts, decided_contact
from models.customer.holdout import CONTROL, TREATED
from models.customer.lift_measures import (
    ANY,
    CELLS_MAX,
    CONVERTED,
    FOLLOWED,
    KEPT,
    MEASURES,
    NET,
    NET_MAX_MINOR,
    SEEN,
    SQUARES,
    SUMS,
    LiftCell,
    cells,
    keys,
    samples,
    squared,
)
from models.customer.part import Part, Sum, Timer, Told, changed_sums
from models.customer.purchase_windows import bought_within
from models.customer.purchases import purchases
from models.customer.row import State
from models.customer.scene import Context, Scene
from models.events.event import Event
from models.learning.acquisition import cohort_of

#: The most decisions that are followed at once, or remembered as reported.
FOLLOWED_MAX: Final = 24
#: Comparisons cover the decisions of this month and of the twelve before.
_WINDOW_DAYS: Final = 365
_DUE: Final = "lift"
#: How much of a followed action is known.
_OPEN, _CONVERSION_KNOWN, _ALL_KNOWN = 0, 1, 2
_when = attrgetter("at_ms")


class LiftParameters(Section, frozen=True):
    section = "lift"
    enabled: bool
    converted_within: PositiveMs
    kept_within: PositiveMs

    def problems(self) -> Iterator[str]:
        """Conversion must not take longer than retention, and orders are known for a year only."""
        if not self.converted_within <= self.kept_within <= _WINDOW_DAYS * DAY_MS:
            yield "lift.kept_within is between lift.converted_within and 365d"


class FollowedAction(State):
    """A customer for whom an action was decided, "*" for any; ``reason``: the reason it was for,
    "*" for any. ``known``: how much of the outcome is known.
    """

    at_ms: int
    action: str
    reason: str
    is_treated: bool
    known: int = _OPEN
    has_converted: bool = False
    was_kept: bool = False
    net_minor: int = 0


class FollowedActions(State):
    """The latest, in the order of time; ``is_left_out``: the customer has decisions of both groups,
    and is in no comparison.
    """

    latest: list[FollowedAction] = field(default_factory=list)
    is_left_out: bool = False


def follow_action(scene: Scene, action: str, reason: str, *, is_treated: bool) -> None:
    """Follow the customer from now on for an action that was just decided; ``reason``: "" for an
    action that is for any reason.
    """
    if not LIFT.is_on(scene.parameters) or scene.of(contacts).contaminated_ms:
        return
    told_of = scene.context.settled(_told_of)
    state = scene.row.edit(LIFT)
    if state.is_left_out:
        return
    for name, why in ((ANY, ANY), (action, reason or ANY)):
        if LiftCell(name) in told_of and not _is_followed(state, name, scene):
            new = FollowedAction(scene.at_ms, name, why, is_treated)
            state.latest = _kept(sorted([*state.latest, new], key=_when))
    _wait(scene)


def _told_of(context: Context) -> frozenset[LiftCell]:
    return frozenset(cells(context.parameters))


def _is_followed(state: FollowedActions, action: str, scene: Scene) -> bool:
    kept_ms = scene.parameters.of(LiftParameters).kept_within
    return any(
        one.action == action and abs(scene.at_ms - one.at_ms) < kept_ms for one in state.latest
    )


def _kept(actions: list[FollowedAction]) -> list[FollowedAction]:
    """As many as the bound allows: the oldest that were fully reported go first."""
    while len(actions) > FOLLOWED_MAX:
        place = next((n for n, one in enumerate(actions) if one.known == _ALL_KNOWN), 0)
        actions = [*actions[:place], *actions[place + 1 :]]
    return actions


def _due_ms(followed: FollowedAction, section: LiftParameters, delay_ms: int) -> int:
    """When the next part of an outcome is known, late events included; 0 for never."""
    if followed.known == _ALL_KNOWN:
        return 0
    within_ms = section.converted_within if followed.known == _OPEN else section.kept_within
    return followed.at_ms + within_ms + delay_ms


def _wait(scene: Scene) -> None:
    section, delay_ms = scene.parameters.of(LiftParameters), scene.context.label_delay_ms
    next_ms = 0
    for one in scene.row.read(LIFT).latest:
        due_ms = _due_ms(one, section, delay_ms)
        if due_ms and (due_ms < next_ms or not next_ms):
            next_ms = due_ms
    scene.row.set_due(_DUE, next_ms, may_repeat=True)


def _run(scene: Scene) -> None:
    """Note the outcomes whose time is over, and report them."""
    section, delay_ms = scene.parameters.of(LiftParameters), scene.context.label_delay_ms
    state = scene.row.edit(LIFT)
    learnt: list[Sum] = []
    for followed in state.latest:
        told = followed.known
        while 0 < _due_ms(followed, section, delay_ms) <= scene.at_ms:
            _note(followed, section, scene)
        if followed.known != told:
            learnt += _sums_of(followed, told)
    if not state.is_left_out and (changed := changed_sums([(learnt, 1)])):
        LIFT.tell(scene, changed)
    _wait(scene)


def _take_up(scene: Scene) -> None:
    """Note the outcomes since then of followed customers, unless they are in no comparison."""
    state, decided = scene.row.read(LIFT), scene.of(contacts).latest
    if not state.is_left_out and any(one.outcome == Outcome.CONTAMINATED for one in decided):
        _leave_out(scene.row.edit(LIFT), scene)
    if state.latest:
        _run(scene)


def _note(followed: FollowedAction, section: LiftParameters, scene: Scene) -> None:
    bought = scene.of(purchases)
    if followed.known == _OPEN:
        until_ms = followed.at_ms + section.converted_within
        followed.has_converted = bought_within(bought, followed.at_ms, until_ms)[0] > 0
        followed.known = _CONVERSION_KNOWN
    else:
        count, net_minor = bought_within(
            bought, followed.at_ms, followed.at_ms + section.kept_within
        )
        followed.was_kept = count > 0
        followed.net_minor = min(net_minor, NET_MAX_MINOR)
        followed.known = _ALL_KNOWN


def _record(state: FollowedActions, event: Event, scene: Scene) -> None:
    """Leave out a customer whom somebody treated although they are in the control group."""
    contact = decided_contact(scene.of(contacts), event)
    if contact is None or contact.treated or OUTCOMES[event.name] is Outcome.FAILED:
        return
    _leave_out(state, scene)


def _leave_out(state: FollowedActions, scene: Scene) -> None:
    before = _sums(state)
    state.is_left_out = True
    LIFT.tell_changes(scene, before, _sums(state))


def _sums(state: FollowedActions) -> list[Sum]:
    """One customer's share of the sums."""
    return [] if state.is_left_out else _sums_of_all(state.latest)


def _sums_of_all(followed: Sequence[FollowedAction]) -> list[Sum]:
    return [sum_ for one in followed for sum_ in _sums_of(one)]


def _sums_of(followed: FollowedAction, told: int = _OPEN) -> list[Sum]:
    """The sums for the action, and for it with its reason, by the month of the decision: what is
    known beyond what was ``told``.
    """
    amounts: list[tuple[str, int]] = []
    if told == _OPEN < followed.known:
        amounts = [(SEEN, 1), (CONVERTED, int(followed.has_converted))]
    if followed.known == _ALL_KNOWN:
        net_minor = followed.net_minor
        amounts += [(FOLLOWED, 1), (KEPT, int(followed.was_kept))]
        amounts += [(NET, net_minor), (SQUARES, squared(net_minor))]
    month = cohort_of(followed.at_ms // DAY_MS)
    group = TREATED if followed.is_treated else CONTROL
    cells_of = [LiftCell(followed.action)]
    if followed.reason != ANY:
        cells_of.append(LiftCell(followed.action, followed.reason))
    return [(cell.key(group, what), month, amount) for cell in cells_of for what, amount in amounts]


def _reunited(scene: Scene, before: FollowedActions, other: FollowedActions, sign: int) -> None:
    """A person with decisions of both groups is left out; decisions for an id that leaves go with
    it.
    """
    state = scene.row.read(LIFT)
    latest, is_left_out = state.latest, state.is_left_out
    if sign < 0:
        theirs = {(one.at_ms, one.action) for one in other.latest}
        latest = [one for one in latest if (one.at_ms, one.action) not in theirs]
    is_left_out = is_left_out or (bool(latest) and scene.of(contacts).contaminated_ms > 0)
    if (latest, is_left_out) != (state.latest, state.is_left_out):
        # A new state, because this one may be ``before``.
        scene.row.replace(LIFT, FollowedActions(latest, is_left_out))
    LIFT.tell_anew(scene, before, other, sign, _sums)
    _wait(scene)


def _united(states: Sequence[FollowedActions], parameters: Parameters) -> FollowedActions:
    """One person is followed for what was decided for any of their ids, for each action from the
    first time on: decisions make them, and what is told already stays as it was told.
    """
    kept_ms = parameters.of(LiftParameters).kept_within
    first: dict[str, int] = {}
    found: list[FollowedAction] = []
    for followed in sorted((one for state in states for one in state.latest), key=_order):
        begun_ms = first.get(followed.action)
        if begun_ms is None or followed.at_ms - begun_ms >= kept_ms:
            first[followed.action] = followed.at_ms
            found.append(replace(followed))
    return FollowedActions(_kept(found), any(state.is_left_out for state in states))


def _order(followed: FollowedAction) -> tuple[int, str, str, bool, int]:
    return followed.at_ms, followed.action, followed.reason, followed.is_treated, -followed.known


LIFT: Part[FollowedActions] = Part(
    name="lift",
    code="li",
    about="What actions bring: those they were carried out for, against the control group.",
    state=FollowedActions,
    united=_united,
    reunited=_reunited,
    parameters=LiftParameters,
    has_own_file=True,
    listens=frozenset(OUTCOMES),
    record=_record,
    timers=(Timer(_DUE, _run, may_repeat=True, waits_for_clock=True),),
    take_up=_take_up,
    reads=(contacts, purchases),
    population=Told(
        keys=keys,
        window_days=lambda _parameters: _WINDOW_DAYS,
        measures=MEASURES,
        samples=samples,
        keys_max=CELLS_MAX * len(SUMS) * 2,
    ),
)
