"""The archive gives the log back, whichever worker died while it was written."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from models.admission import decode_event
from models.events.event import Source
from models.events.line import GONE
from models.events.rejection import Rejected
from models.events.times import milliseconds
from models.events.wire import decode_line, encode_event
from models.partition import Partition
from models.partition_state import PartitionState, encode_state
from streams.graves import CustomerGraves
from tests.examples import drawn
from tests.models.lines import START_MS, line
from tests.properties.archives import Owner, Topics, Written
from tests.properties.histories import StoredRows, canonical_logs
from tests.properties.test_partitions import PLAN, run, snapshot_of

seeds = st.integers(0, 2**64)


def lived(log: list[bytes], chance: Random) -> Topics:
    """What workers leave behind that fold ``log`` in batches, and die now and then."""
    topics = Topics()
    owner, again = Owner(topics), 0
    late: list[Written] = []
    while (begin := owner.fold.state.applied + 1) < len(log):
        end = min(begin + chance.choice((2, 8, 30)), len(log))
        if chance.random() < 0.4:
            owner.take(log, end, dies=chance, again=again)
            late += owner.late
            owner, again = Owner(topics), chance.choice((0, 3, 20))
        else:
            owner.take(log, end, again=again)
            again = 0
            topics.keep(late)
            late = []
    return topics


def of_customer(record: bytes, customer: str) -> bool:
    return f'"userId":"{customer}"'.encode() in record


@given(log=canonical_logs(), seed=seeds)
def test_the_fold_of_the_archive_is_the_fold_of_the_log(log: list[bytes], seed: int) -> None:
    topics = lived(log, Random(seed))
    archived, found = topics.unsealed()

    assert (len(log), 0, 0, 0) == (found.records, found.gone, found.missing, found.foreign)
    # To the bit: states, rows and what was decided, at every record.
    assert run(log) == run(archived)
    # And of each record of somebody who is known by then, the very bytes.
    assert all(
        record == sealed or decode_line(sealed).type == GONE
        for record, sealed in zip(log, archived, strict=True)
        if sealed
    )


def erasing_bob(log: list[bytes], at: int) -> bytes:
    """A request as ingest writes it, with the time that the log has reached."""
    moments = [decode_line(record).timestamp for record in log[:at] if record.endswith(b"}")]
    latest = max((milliseconds(one) for one in moments if one is not None), default=START_MS)
    raw = line("User Erase Requested", latest, customer="bob", message="erase")
    source = Source(topic="feedback", partition=0, offset=0, received_at=latest)
    return encode_event(decode_event(raw, message_id="", source=source))


@given(log=canonical_logs(), seed=seeds)
@drawn(times=5)
def test_the_archive_has_nothing_of_who_was_erased_and_all_else_is_as_ever(
    log: list[bytes], seed: int
) -> None:
    chance = Random(seed)
    at = chance.randint(1, len(log))
    with_erasure = [*log[:at], erasing_bob(log, at), *log[at:]]
    topics = lived(with_erasure, chance)
    archived, found = topics.unsealed()

    assert 0 == found.missing == found.foreign
    erased = decode_line(with_erasure[at]).timestamp
    assert erased is not None
    for offset, one in topics.readable():
        if of_customer(one, "bob"):
            told = decode_line(one).timestamp
            assert offset > at
            assert told is not None
            assert told > erased
    assert len(found.erased) == min(found.gone, 1)
    # To the bit, also of whoever came later under the id, and of the grave.
    assert folded(with_erasure) == folded(archived)


def folded(log: list[bytes]) -> tuple[dict[str, bytes], bytes, dict[bytes, bytes]]:
    """Rows, state and graves according to the log."""
    rows, graves = StoredRows(), CustomerGraves()
    state = PartitionState()
    fold = Partition(0, rows, snapshot_of(0), PLAN, snapshot_of, state, graves)
    for offset, content in enumerate(log):
        try:
            fold.apply(offset, decode_line(content))
        except Rejected:
            fold.skip(offset)
    return rows.stored, encode_state(fold.state), graves.all_packed()
