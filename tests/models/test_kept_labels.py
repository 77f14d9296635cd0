"""How waiting labels are stored, by this release and earlier ones."""

from base64 import b64decode
from pathlib import Path

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.duration import DAY_MS
from models.comparison import different_parts, has_content
from models.customer.churn import CHURN
from models.customer.labels import (
    DecisionPoint,
    Inputs,
    Label,
    Labels,
    inputs_of,
    narrow,
    unpack_first,
)
from models.customer.row import Row, decode_row, encode_row
from models.learning.history import past_at
from models.learning.lessons import Example, Forecast, encode_lesson
from models.learning.spend import features
from tests.models.lines import at, happened, lived, waited

#: Labels of a customer of a shop as they were stored, and the examples that became of them.
KEPT = orjson.loads(Path(__file__).with_name("kept_labels.json").read_bytes())
FIRST, SECOND = b64decode(KEPT["version 1"]), b64decode(KEPT["version 2"])


def stored_in(version: int, content: bytes) -> Row:
    """A row with only these labels, as if read back."""
    row = Row()
    row._apart = {CHURN.code: bytes([version]) + content}
    row.set_due("label", row.read(CHURN).next_due_ms(), may_repeat=True)
    return row


def examples_of(row: Row) -> list[object]:
    """The examples that the row releases in a hundred years."""
    _, effects = waited(row, at(days=36_500))
    return [orjson.loads(encode_lesson(one)) for one in effects if isinstance(one, Example)]


@pytest.mark.parametrize(("version", "content"), [(1, FIRST), (2, SECOND)])
def test_labels_of_either_version_become_the_same_examples(version: int, content: bytes) -> None:
    assert KEPT["examples"] == examples_of(stored_in(version, content))


def test_labels_of_version_1_are_kept_in_less_room_as_soon_as_they_are_changed() -> None:
    assert SECOND == CHURN.pack(unpack_first(FIRST))
    assert SECOND == CHURN.pack(CHURN.readers[2](SECOND))
    assert len(SECOND) < 0.7 * len(FIRST)
    assert CHURN.dense is not None
    assert len(CHURN.dense.compress(SECOND)) < 0.85 * len(SECOND)


def first_of(*forecasts: Forecast | None, kind: str = "check-in") -> bytes:
    """Labels of version 1, from one decision point with these forecasts."""
    waiting = [
        [at(days=28 * n + 3), at(), 28.0 * n, kind, 1, b"features", b"said", forecast]
        for n, forecast in enumerate(forecasts, 1)
    ]
    return msgspec.msgpack.encode([waiting, None, None])


def test_a_forecast_that_does_not_follow_from_its_inputs_is_kept_whole() -> None:
    strange = [
        Forecast(100.0, None, 50.0, (0.1, 1.5, 2.5, 3.5, 4.5, 5.5)),
        Forecast(100.0, 90.0, 50.0, (0.1, 1e9, 2.5, 3.5, 4.5, 5.5)),
        Forecast(100.0, 90.0, 50.0, (0.1, 0.2)),
        None,
    ]
    labels = CHURN.unpack(CHURN.pack(unpack_first(first_of(*strange))))

    assert 1 == len(labels.points)
    assert strange == [one.point.forecast(one.label) for one in labels.waiting()]


forecasts = st.floats(0.0, 1e9)


@given(
    at_ms=st.integers(1_600_000_000_000, 2_000_000_000_000),
    bought=st.tuples(st.integers(0, 2_000), st.integers(0, 2_000)).map(sorted),
    repeats=st.integers(0, 5_000),
    net_minor=st.integers(-(10**7), 10**12),
    order_minor=st.floats(0.01, 1e9),
    said=st.lists(st.tuples(forecasts, st.none() | forecasts), min_size=1, max_size=3),
)
def test_a_forecast_is_made_again_bit_for_bit(
    at_ms: int,
    bought: list[int],
    repeats: int,
    net_minor: int,
    order_minor: float,
    said: list[tuple[float, float | None]],
) -> None:
    """From what this version stores, and from what version 1 stored."""
    today = at_ms // DAY_MS
    past = past_at(at_ms, (), repeats, today - bought[1], today - bought[0])
    made = [
        Forecast(
            formula,
            challenger,
            order_minor,
            features(past, net_minor, formula / order_minor, order_minor),
        )
        for formula, challenger in said
    ]
    labels = tuple(
        Label(28 * n, 1, b"", one.formula_minor, one.challenger_minor)
        for n, one in enumerate(made, 1)
    )
    inputs = inputs_of(made[0], past, at_ms, net_minor)
    point = DecisionPoint(at_ms, 0, False, b"", labels, inputs)
    kept = CHURN.unpack(CHURN.pack(Labels([point]))).points[0]

    assert made == [kept.forecast(label) for label in kept.labels]


def test_labels_of_version_1_have_the_inputs_that_they_would_have_now() -> None:
    past = past_at(at(), (), 4, at() // DAY_MS - 300, at() // DAY_MS - 12)
    inputs = Inputs(8_312.5, at() // DAY_MS - 300, at() // DAY_MS - 12, 4, 61_204)
    made = [
        Forecast(formula, 3.0, 8_312.5, features(past, 61_204, formula / 8_312.5, 8_312.5))
        for formula in (5_864.6, 7_122.25)
    ]
    labels = unpack_first(first_of(*made, kind="purchase"))

    assert (inputs, True) == (labels.points[0].inputs, labels.points[0].has_bought)
    assert made == [one.point.forecast(one.label) for one in labels.waiting()]


@pytest.mark.parametrize("days", [0.5, 28.0, 90.0, 1 / 3])
def test_days_are_the_same_number_in_less_room(days: float) -> None:
    label = Label(narrow(days), 1, b"")
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(label), type=Label)

    assert days == float(again.horizon_days)
    assert days.is_integer() == isinstance(again.horizon_days, int)


def test_rows_of_different_releases_are_compared_by_their_content() -> None:
    """A part in an earlier version, and message ids that would be dropped by now."""
    first, second = stored_in(1, FIRST), stored_in(2, SECOND)
    second.edit(CHURN)
    expected = encode_row(second)
    first.messages = b"12345678"
    written = encode_row(first)

    assert written != expected
    assert has_content(written, expected)
    assert not has_content(expected, written)
    assert ["message ids"] == list(different_parts(expected, written))
    other = decode_row(expected)
    other.edit(CHURN).limit(1)
    assert not has_content(written, encode_row(other))
    assert ["churn"] == list(different_parts(written, encode_row(other)))


def test_a_row_whose_part_nothing_can_read_has_another_content() -> None:
    row = lived([happened("Order Completed", at(), order_id="o-1", revenue=40.0)])
    row.edit(CHURN).counted = (1, 2, 3)
    expected = encode_row(row)
    row._apart[CHURN.code] = b"\x01nothing"
    row._states.pop(CHURN.code)

    assert not has_content(encode_row(row), expected)


_WAITING = st.lists(
    st.builds(
        lambda at_ms, delay_ms, days: DecisionPoint(
            at_ms, delay_ms, False, b"", tuple(Label(one, 1, b"") for one in sorted(days))
        ),
        st.integers(1, 200 * DAY_MS),
        st.sampled_from([0, 3 * DAY_MS]),
        st.sets(st.sampled_from([1, 7.5, 28, 90]), min_size=1),
    ),
    max_size=12,
)


@given(_WAITING, st.integers(0, 300 * DAY_MS))
def test_released_is_what_was_due_and_the_next_one_is_the_first_that_waits(
    points: list[DecisionPoint], until_ms: int
) -> None:
    labels = Labels()
    for point in points:
        labels.add(point)
    due, all_of_them = labels.waiting(until_ms), labels.waiting()

    assert (all_of_them[0].due_ms if all_of_them else 0) == labels.next_due_ms()
    assert due == labels.release(until_ms)
    later = [(one.due_ms, one.horizon_days) for one in all_of_them[len(due) :]]
    assert later == [(one.due_ms, one.horizon_days) for one in labels.waiting()]
    assert all(point.labels for point in labels.points)
