"""What happens when nothing does: deadlines that passed without the event that would end them."""

from collections.abc import Sequence

from msgspec.structs import replace

from models.advance import next_decision_of, next_ticket_ms
from models.context import Context
from models.customer.row import Deadline, Row
from models.decisions.actions import next_best_action
from models.decisions.decide import look
from models.decisions.facts import Scene
from models.decisions.policy import CART_IDLE, SCORE, SILENCE, TICKET_WAITING
from models.decisions.trigger import Cause, Decision
from models.learning.examples import Lesson
from models.learning.labels import is_check_in, mature, observe, with_pending

_MOMENTS = {"cart": CART_IDLE, "purchase": SILENCE, "ticket": TICKET_WAITING}


def run_deadline(row: Row, due_ms: int, context: Context) -> tuple[Row, list[Decision | Lesson]]:
    """Run everything of this customer's that is due at exactly ``due_ms``: first the labels, then
    what silence fires, then the decision point of the day.
    """
    effects: list[Decision | Lesson] = []
    if row.deadlines.label.due_ms == due_ms <= context.clock_ms:
        row, examples = mature(row, due_ms)
        effects += examples
    moments = []
    for part, moment in _MOMENTS.items():
        if _is_due(row, part, due_ms):
            moments.append(moment)
            row = _handled(row, part, due_ms)
    if TICKET_WAITING in moments:
        row = _due_again(row, "ticket", next_ticket_ms(row, context.parameters))
    # One scene for all of it: a score is computed once a moment.
    scene = Scene(row, due_ms, context)
    if _is_due(row, "decision", due_ms):
        effects += _decision_point(scene)
        moments.append(SCORE)
    effects += decide(scene, moments, None)
    return scene.row, effects


def decide(scene: Scene, moments: Sequence[str], message_id: str | None) -> list[Decision]:
    """Look at the rules of ``moments``, and choose one action for all that they fire; what must be
    remembered of it is in ``scene.row``.
    """
    decisions: list[Decision] = []
    triggers = []
    for moment in moments:
        deadline = f"{moment}:{scene.at_ms}" if message_id is None else None
        triggers += look(scene, moment, Cause(message_id, deadline))
    decisions += triggers
    if triggers:
        action = next_best_action(scene, triggers, triggers[0].cause)
        if action is not None:
            decisions.append(action)
    return decisions


def _decision_point(scene: Scene) -> list[Lesson]:
    """Wait for this moment's labels, and let the population count the customer."""
    at_ms, context = scene.at_ms, scene.context
    row = _handled(scene.row, "decision", at_ms)
    lessons: list[Lesson] = []
    if scene.assessment is not None:
        row = with_pending(row, scene.assessment, at_ms, context)
        check_in_ms = context.parameters.churn.check_in_ms
        if is_check_in(row, at_ms, check_in_ms):
            row, observation = observe(row, scene.assessment, at_ms, check_in_ms)
            lessons.append(observation)
    scene.row = _due_again(row, "decision", next_decision_of(row, context.parameters))
    return lessons


def _is_due(row: Row, part: str, due_ms: int) -> bool:
    deadline: Deadline = getattr(row.deadlines, part)
    return deadline.due_ms == due_ms


def _handled(row: Row, part: str, at_ms: int) -> Row:
    return replace(row, deadlines=replace(row.deadlines, **{part: Deadline(0, at_ms)}))


def _due_again(row: Row, part: str, due_ms: int) -> Row:
    deadline: Deadline = getattr(row.deadlines, part)
    again = Deadline(due_ms, deadline.handled_ms)
    return replace(row, deadlines=replace(row.deadlines, **{part: again}))
