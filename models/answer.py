"""The answer to a question about a customer: what a score line gets back."""

from msgspec import Struct

from config.parameters import Parameters
from models.customer.row import Row
from models.events.wire import iso
from models.learning.churn import score, see
from models.learning.silent import silent_churn
from models.learning.snapshot import Snapshot
from models.learning.value import expected_revenue


class Score(Struct, frozen=True, rename="camel"):
    """The answer to a score line: P(no purchase in (timestamp, timestamp + horizon]); as ``value``
    the net revenue expected in it, in the shop's currency, null while nothing was learnt and for
    who has not bought; and how much speaks for the customer thinning out, null for who has too
    little history.
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
    snapshot: Snapshot,
    parameters: Parameters,
) -> Score:
    """Every score of the customer as ``row`` has them, as of ``at_ms``."""
    seen = see(row, at_ms, snapshot, parameters)
    churn = score(seen, horizon_days, snapshot, parameters)
    value = silent = None
    if row is not None and seen is not None:
        value = expected_revenue(row, seen.history, at_ms, horizon_days, snapshot, parameters)
        first_days = parameters.churn.horizon_days[0]
        first = churn
        if horizon_days != first_days:
            # By the first horizon, whichever was asked for: rules see the same number.
            first = score(seen, first_days, snapshot, parameters)
        silent = silent_churn(seen.history, first.probability, at_ms)
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
