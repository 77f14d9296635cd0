"""The archive gives the log back, whoever died while it was written."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from models.events.wire import GONE, decode_line
from tests.properties.archives import FORGET_BOB, Owner, Topics
from tests.properties.histories import canonical_logs
from tests.properties.test_partitions import Run, run

seeds = st.integers(0, 2**64)


def lived(log: list[bytes], chance: Random) -> Topics:
    """What workers leave who fold ``log`` in batches, and die now and then."""
    topics = Topics()
    owner = Owner(topics)
    while (begin := owner.fold.state.applied + 1) < len(log):
        end = min(begin + chance.choice((2, 8, 30)), len(log))
        if chance.random() < 0.4:
            owner.take(log, end, dies=chance)
            owner = Owner(topics)
        else:
            owner.take(log, end)
    return topics


def of_customer(record: bytes, customer: str) -> bool:
    return f'"userId":"{customer}"'.encode() in record


def others(whole: Run) -> tuple[dict[str, bytes], bytes]:
    """What is stored of everybody but bob."""
    rows = {customer: row for customer, row in whole.stored.rows.items() if customer != "bob"}
    return rows, whole.stored.state


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


@given(log=canonical_logs(), seed=seeds)
def test_everybody_else_is_as_ever_without_a_customer_who_was_forgotten(
    log: list[bytes], seed: int
) -> None:
    chance = Random(seed)
    at = chance.randint(1, len(log))
    with_erasure = [*log[:at], FORGET_BOB, *log[at:]]
    topics = lived(with_erasure, chance)
    archived, found = topics.unsealed()

    assert 0 == found.missing == found.foreign
    assert not any(
        of_customer(record, "bob") for offset, record in topics.readable() if offset < at
    )
    assert others(run(with_erasure)) == others(run(archived))
    assert len(found.erased) == min(found.gone, 1)
    # Whoever came later is there again, from their first record that left a row.
    rows = topics.table().packed
    assert ("bob" in rows) == any(of_customer(record, "bob") for record in archived)
