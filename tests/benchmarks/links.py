"""The cost of linking an id to a person, and of splitting it off again.

    python -m tests.benchmarks.links [--days 200] [--customers 150] [--rounds 40]

CPU of all records between the rows, from stored bytes to stored bytes, for two typical rows of a
simulated shop and for the two largest ones. Each figure is the minimum of all rounds. The pairs
take turns in each round, so that other load affects them alike.
"""

import argparse
import sys
from time import process_time_ns

from models.customer.identities import BY_EVENT, IDENTITIES, note_claimed
from models.customer.row import Row, decode_row, encode_row
from models.customer.scene import Context
from models.events.link_record import CLAIM, UNLINK, LinkRecord, LinkSaid
from models.links import take
from models.parameters import load_parameters
from models.plan import plan_for
from tests.benchmarks.rows import rows_of
from tests.models.lines import PRIOR

PERSON, ID = "ada", "anon-1"


class Pair:
    """The stored rows of a person and of an id. ``link_ns`` and ``split_ns``: the least CPU that
    linking and splitting took, on both sides.
    """

    def __init__(self, person: Row, id_: Row, context: Context) -> None:
        id_.edit(IDENTITIES).is_visitor = True
        self.now_ms = max(person.latest_ms, id_.latest_ms)
        note_claimed(person.edit(IDENTITIES).claimed, ID, self.now_ms - 1, BY_EVENT)
        self._packed = {PERSON: encode_row(person), ID: encode_row(id_)}
        self._linked = dict(self._packed)
        self._context, self._plan = context, plan_for(load_parameters())
        self.link_ns = self.split_ns = sys.maxsize

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self._packed[PERSON]), len(self._packed[ID])

    def measure(self) -> None:
        self._context.clock_ms = self.now_ms
        self._linked = dict(self._packed)
        claim = LinkRecord(CLAIM, ID, self.now_ms - 1, LinkSaid(ID, PERSON, BY_EVENT))
        unlink = LinkRecord(UNLINK, ID, self.now_ms, LinkSaid(ID, PERSON, until=self.now_ms))
        self.link_ns = min(self.link_ns, self._told(claim))
        self.split_ns = min(self.split_ns, self._told(unlink))

    def _told(self, first: LinkRecord) -> int:
        """The CPU of folding a record and all records that follow from it."""
        before_ns, waiting = process_time_ns(), [first]
        while waiting:
            record = waiting.pop(0)
            row = decode_row(self._linked[record.customer])
            stepped = take(row, record, self._context, self._plan)
            self._linked[record.customer] = encode_row(stepped.row)
            waiting += [one for one in stepped.effects if isinstance(one, LinkRecord)]
        return process_time_ns() - before_ns


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=150)
    options.add_argument("--days", type=int, default=200)
    options.add_argument("--rounds", type=int, default=40)
    chosen = options.parse_args()
    rows = sorted(rows_of(chosen.customers, chosen.days), key=lambda row: len(encode_row(row)))
    middle, context = len(rows) // 2, plan_for(load_parameters()).context(PRIOR)
    pairs = {
        "typical": Pair(rows[middle], rows[middle + 1], context),
        "heavy": Pair(rows[-1], rows[-2], context),
    }
    for _ in range(chosen.rounds):
        for pair in pairs.values():
            pair.measure()
    for name, pair in pairs.items():
        person, id_ = pair.sizes
        print(
            f"{name}: rows of {person:,} and {id_:,} bytes, link {pair.link_ns / 1e6:.2f} ms,"
            f" split {pair.split_ns / 1e6:.2f} ms"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
