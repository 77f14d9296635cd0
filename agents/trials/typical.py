"""The size of each part's state in the rows of a simulated shop's customers."""

from collections import defaultdict
from statistics import median_low
from typing import NamedTuple

from agents.trials.demo.shop import ShopConfig, simulate
from models import engine
from models.admission import admit
from models.customer.registry import PARTS
from models.customer.row import Row, encode_row
from models.events.rejection import Rejected
from models.learning.snapshot import prior_snapshot
from models.parameters import load_parameters
from models.plan import plan_for

SHOP = ShopConfig(seed=0, customers=60, start_ms=1_700_000_000_000, days=200)


class Sizes(NamedTuple):
    """Median bytes: of each part, by name, before compression, among the customers who have any of
    it; and of a row as it is stored.
    """

    parts: dict[str, int]
    row: int


def typical_sizes() -> Sizes:
    """The same on every machine. Parts without state in any row are left out."""
    rows = _rows()
    bytes_by_part = {
        part.name: [len(part.pack(row.read(part))) for row in rows if row.has(part)]
        for part in PARTS
    }
    return Sizes(
        {name: median_low(sizes) for name, sizes in bytes_by_part.items() if sizes},
        median_low([len(encode_row(row)) for row in rows]),
    )


def _rows() -> list[Row]:
    """Every customer of the shop at the end of its last day."""
    parameters = load_parameters()
    plan, rows, clock_ms = plan_for(parameters), defaultdict[str, Row](Row), 0
    context = plan.context(prior_snapshot(parameters))
    for number, record in enumerate(simulate(SHOP)):
        try:
            event = admit(record.value, parameters, message_id=f"m-{number}")
        except Rejected:
            continue
        clock_ms = max(clock_ms, event.occurred_at_ms - parameters.time.disorder)
        context.clock_ms = clock_ms
        engine.step(rows[event.customer], event, context, plan)
    context.clock_ms = SHOP.end_ms
    for customer, row in rows.items():
        engine.run_due(row, customer, SHOP.end_ms, context, plan)
    return list(rows.values())
