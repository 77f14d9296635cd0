"""A message counts once, however late it is repeated and whatever was forgotten in between."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from config.duration import DAY_MS
from models.engine import Fate
from models.events.wire import decode_line
from models.partition import Partition
from models.partition_state import PartitionState, rehearsing_state
from models.plan import plan_for
from tests.models.lines import MINUTE_MS, PARAMETERS, PRIOR, START_MS, line
from tests.properties.histories import StoredRows, clock_record, no_models

LATENESS_MS = PARAMETERS.time.lateness
#: Of how few messages a log is: all are remembered, unless they are forgotten by their age.
EVENTS_MAX = 60


def log_with_repeats(seed: int) -> list[bytes]:
    """Events, most of them in order, and many of them again later in the log."""
    rng = Random(seed)
    events: list[bytes] = []
    records: list[bytes] = []
    now_ms = START_MS
    for number in range(rng.randint(5, EVENTS_MAX)):
        now_ms += rng.choice([MINUTE_MS, DAY_MS, LATENESS_MS - 1, LATENESS_MS, LATENESS_MS + 1])
        if rng.random() < 0.5:
            # Other customers move the clock.
            records.append(clock_record(now_ms - rng.choice([0, MINUTE_MS])))
        behind_ms = rng.choice([0, 0, MINUTE_MS, 2 * DAY_MS, LATENESS_MS])
        name = rng.choice(["page", "Order Completed"])
        said = {"order_id": f"O-{number}", "revenue": 5.0} if name != "page" else {}
        at_ms = max(now_ms - behind_ms, START_MS)
        events.append(line(name, at_ms, message=f"m-{number}", properties=said))
        records.append(events[-1])
        records += rng.choices(events, k=rng.choice([0, 0, 1, 3]))
    return records


@given(seed=st.integers(0, 2**64), live_after=st.none() | st.integers(0, EVENTS_MAX))
def test_a_message_counts_once_whenever_it_is_repeated(seed: int, live_after: int | None) -> None:
    """Also in a partition that rehearses first, where no event is late."""
    records = log_with_repeats(seed)
    state = PartitionState()
    if live_after is not None:
        state = rehearsing_state()
        records.insert(live_after, clock_record(START_MS, "live"))
    partition = Partition(0, StoredRows(), PRIOR, plan_for(PARAMETERS), no_models, state)
    applied: list[str] = []
    for offset, content in enumerate(records):
        done = partition.apply(offset, decode_line(content))
        if done.fate is Fate.APPLIED:
            assert done.event is not None
            applied.append(done.event.message_id)

    assert sorted(set(applied)) == sorted(applied)


def test_the_logs_repeat_messages_that_were_forgotten() -> None:
    fates = dict.fromkeys((Fate.APPLIED, Fate.DUPLICATE, Fate.LATE), 0)
    remembered: set[int] = set()
    for seed in range(30):
        rows = StoredRows()
        partition = Partition(0, rows, PRIOR, plan_for(PARAMETERS), no_models)
        for offset, content in enumerate(log_with_repeats(seed)):
            fate = partition.apply(offset, decode_line(content)).fate
            if fate is not None:
                fates[fate] += 1
        row = rows.get("ada")
        assert row is not None
        remembered.add(len(row.messages) // 8)
    assert min(fates.values()) > 100
    assert min(remembered) <= 1
    assert max(remembered) < EVENTS_MAX / 2
