"""What a step may read beside the customer's row and the event."""

from typing import NamedTuple

from config.parameters import Parameters
from models.decisions.policy import Policy
from models.learning.snapshot import Snapshot


class Context(NamedTuple):
    """The customer it is about, the partition's time, and what all customers share.

    ``label_delay_ms``: how long after its horizon a label waits for late events; 0 once the log
    has said that everything up to its clock is delivered.
    """

    customer: str
    clock_ms: int
    snapshot: Snapshot
    parameters: Parameters
    policy: Policy
    label_delay_ms: int
