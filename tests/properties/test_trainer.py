"""The trainer learns the same from the same observations, however partitions are interleaved."""

from hypothesis import given
from hypothesis import strategies as st

from models.learning.population import Observation, Population
from models.learning.snapshot import decode_snapshot, encode_snapshot
from tests.models.lines import PARAMETERS, at

amounts = st.floats(0, 1e9, allow_nan=False)
facts = st.tuples(
    st.integers(0, 10**9), amounts, st.integers(0, 500), st.integers(0, 10**12), st.none() | amounts
)
partitions = st.lists(st.lists(facts, max_size=12), min_size=1, max_size=4)


def placed(
    number: int, drawn: list[tuple[int, float, int, int, float | None]]
) -> list[Observation]:
    return [
        Observation(
            timestamp_ms=at() + later_ms,
            recency_days=recency,
            frequency=frequency,
            monetary_minor=monetary,
            gap_days=gap,
            partition=number,
            offset=place // 2,
            index=place % 2,
        )
        for place, (later_ms, recency, frequency, monetary, gap) in enumerate(drawn)
    ]


@st.composite
def interleaved(draw: st.DrawFn, lanes: list[list[Observation]]) -> list[Observation]:
    """One order of all, in which each lane keeps its own."""
    turns = [number for number, lane in enumerate(lanes) for _ in lane]
    waiting = [iter(lane) for lane in lanes]
    return [next(waiting[turn]) for turn in draw(st.permutations(turns))]


def learnt(population: Population, observations: list[Observation]) -> bytes:
    for observation in observations:
        population.learn(observation)
    return encode_snapshot(population.draw(consumed=9))[0]


@given(drawn=partitions, data=st.data())
def test_any_interleaving_of_partitions_teaches_the_same(
    drawn: list[list[tuple[int, float, int, int, float | None]]], data: st.DataObject
) -> None:
    lanes = [placed(number, lane) for number, lane in enumerate(drawn)]
    one = data.draw(interleaved(lanes))
    other = data.draw(interleaved(lanes))

    assert learnt(Population(PARAMETERS), one) == learnt(Population(PARAMETERS), other)


@given(drawn=partitions, data=st.data())
def test_resuming_anywhere_and_reading_some_again_teaches_the_same(
    drawn: list[list[tuple[int, float, int, int, float | None]]], data: st.DataObject
) -> None:
    order = data.draw(interleaved([placed(number, lane) for number, lane in enumerate(drawn)]))
    cut = data.draw(st.integers(0, len(order)))
    again = data.draw(st.integers(0, cut))
    steady = Population(PARAMETERS)
    content = learnt(steady, order[:cut])
    resumed = Population(PARAMETERS, decode_snapshot(content))

    assert learnt(steady, order[cut:]) == learnt(resumed, order[again:])
    assert steady.observations == resumed.observations == len(order)
