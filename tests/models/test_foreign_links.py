"""A link record that no worker wrote is refused, and takes nothing with it."""

import pytest

from models.events.link_record import LinkRecord, LinkSaid, encode_link_record, row_text
from models.events.rejection import Rejected
from models.events.wire import decode_line
from models.partition import Partition
from streams.customers_table import CustomerRows
from tests.models.lines import HOUR_MS, PRIOR, at
from tests.models.test_partition import PLAN, put


def test_what_earlier_records_of_the_batch_made_of_the_row_stays() -> None:
    rows = CustomerRows()
    partition = Partition(0, rows, PRIOR, PLAN, lambda *_: PRIOR)
    partition.apply(0, decode_line(put(at())))
    said = LinkSaid("anon-1", "ada", since=at(), row=row_text(b"no row"))
    foreign = LinkRecord("graft", "ada", at() + HOUR_MS, said, partition=1, offset=7, index=0)

    with pytest.raises(Rejected):
        partition.apply(1, decode_line(encode_link_record(foreign)))

    row = rows.get("ada")
    assert row is not None
    assert (0, at()) == (row.applied, row.latest_ms)
