"""The answer to a score line, a question about a customer."""

from msgspec import Struct

from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.customer.scores import net_so_far, seen, thinning
from models.events.times import iso
from models.learning.scoring import score
from models.learning.value import expected_revenue


class Score(Struct, frozen=True, rename="camel"):
    """The answer to a score line: P(no purchase in (timestamp, timestamp + horizon]). ``value``:
    the net revenue expected in that time, in the shop's currency; null while nothing has been
    learnt, and for customers without a purchase. ``silentChurn``: the evidence of silent churn from
    0 to 1; null with too little history.
    """

    message_id: str
    user_id: str
    timestamp: str
    churn_probability: float
    horizon_days: float
    source: str
    model_version: int
    value: float | None
    silent_churn: float | None = None


def answer(
    *,
    message_id: str,
    customer: str,
    at_ms: int,
    horizon_days: float,
    row: Row | None,
    context: Context,
) -> Score:
    """The scores of the customer with this ``row``, as of ``at_ms``."""
    snapshot, parameters = context.snapshot, context.parameters
    scene = Scene(row or Row(), customer, at_ms, context)
    found = seen(scene)
    churn = score(found, horizon_days, snapshot, parameters)
    value = silent = None
    if found is not None:
        net_minor = net_so_far(scene)
        value = expected_revenue(found.history, net_minor, horizon_days, snapshot, parameters)
        # Always for the first horizon, so that it is the number that rules see.
        silent = thinning(scene)
    return Score(
        message_id=message_id,
        user_id=customer,
        timestamp=iso(at_ms),
        churn_probability=churn.probability,
        horizon_days=horizon_days,
        source=churn.source,
        model_version=churn.model_version,
        value=value,
        silent_churn=silent,
    )
