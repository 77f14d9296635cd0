"""Stored state: rows and partitions, of this release, of earlier and of newer ones."""

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from models.customer.row import ROW_VERSION, NewerRow, Row, RowError, decode_row, encode_row
from models.partition import PartitionState, decode_state, encode_state
from tests.models.lines import PARAMETERS, at, context, happened, lived, waited


def lively() -> Row:
    """A row with something in every part."""
    gloomy = replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.8))
    within = context(parameters=gloomy)
    row = lived(
        [
            happened("page", at(), channel="web"),
            happened("Product Added", at(minutes=1), product_id="P", price=5.0),
            happened("Ticket Opened", at(minutes=2), ticket_id="T"),
            happened("Survey Responded", at(minutes=3), kind="nps", score=2),
            happened("Order Completed", at(hours=8), order_id="N", revenue=5.0),
            happened("Order Completed", at(hours=9), order_id="O", revenue=5.0),
            happened("Order Refunded", at(hours=10), order_id="O", total=1.0),
        ],
        within=within,
    )
    row, _ = waited(row, at(days=90), within=within)
    assert all(
        getattr(row, part) != getattr(Row(), part)
        for part in row.__struct_fields__
        if part not in {"version", "applied"}
    )
    return replace(row, applied=7)


STATE = PartitionState(
    applied=9,
    clock_ms=at(),
    latest_ms=at(1),
    model_version=3,
    model_sha256="ab",
    sources={"support-1": 4, "clickstream-0": 2},
)


def packed(content: bytes) -> list[object]:
    unpacked = msgspec.msgpack.decode(content, strict=False)
    assert isinstance(unpacked, list)
    return unpacked


def test_a_row_is_read_as_it_was_written() -> None:
    assert lively() == decode_row(encode_row(lively()))
    assert Row() == decode_row(encode_row(Row()))


def test_equal_rows_are_equal_bytes() -> None:
    row = lively()
    kinds = list(row.fired_ms.items())
    turned = replace(row, fired_ms=dict(reversed(kinds)))

    assert len(kinds) > 1
    assert encode_row(row) == encode_row(turned) == encode_row(decode_row(encode_row(row)))


@pytest.mark.parametrize("fields", range(1, len(Row.__struct_fields__)))
def test_a_row_of_an_earlier_release_lacks_the_last_fields_and_is_read(fields: int) -> None:
    shorter = decode_row(msgspec.msgpack.encode(packed(encode_row(lively()))[:fields]))

    for index, name in enumerate(Row.__struct_fields__):
        expected = lively() if index < fields else Row()
        assert getattr(expected, name) == getattr(shorter, name)


def test_parts_of_a_row_of_an_earlier_release_may_be_shorter_too() -> None:
    whole = dict(zip(Row.__struct_fields__, packed(encode_row(lively())), strict=True))
    # A cell is no struct: its three numbers are one value.
    cells = {"counted", "spend_counted"}
    parts = [
        part[:-1] if isinstance(part, list) and name not in cells else part
        for name, part in whole.items()
    ]

    earlier = decode_row(msgspec.msgpack.encode(parts))

    assert lively().purchases.count == earlier.purchases.count
    assert (0, None) == (earlier.purchases.retired_days, earlier.support.ces)
    assert lively().pending[:-1] == earlier.pending


def newer_row() -> bytes:
    return encode_row(replace(lively(), version=ROW_VERSION + 1))


def newer_row_of_another_shape() -> bytes:
    return msgspec.msgpack.encode([ROW_VERSION + 1, "something", {"else": 1}])


def newer_row_with_more() -> bytes:
    return msgspec.msgpack.encode([ROW_VERSION + 1, *packed(encode_row(lively()))[1:], [1, 2]])


@pytest.mark.parametrize("newer", [newer_row, newer_row_of_another_shape, newer_row_with_more])
def test_a_row_of_a_newer_release_is_refused_and_says_what_to_do(
    newer: Callable[[], bytes],
) -> None:
    with pytest.raises(NewerRow, match="upgrade this worker"):
        decode_row(newer())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xc1", b"\x91", b"{}", msgspec.msgpack.encode("row"), msgspec.msgpack.encode(["1"])],
)
def test_what_is_no_row_is_refused(content: bytes) -> None:
    with pytest.raises(RowError, match="not a row") as refused:
        decode_row(content)
    assert not isinstance(refused.value, NewerRow)


def test_a_partitions_state_is_read_as_it_was_written() -> None:
    turned = replace(STATE, sources=dict(reversed(STATE.sources.items())))

    assert STATE == decode_state(encode_state(STATE))
    assert encode_state(STATE) == encode_state(turned)


@pytest.mark.parametrize("fields", range(len(STATE.__struct_fields__)))
def test_a_state_of_an_earlier_release_is_read(fields: int) -> None:
    shorter = decode_state(msgspec.msgpack.encode(packed(encode_state(STATE))[:fields]))

    for index, name in enumerate(STATE.__struct_fields__):
        expected = STATE if index < fields else PartitionState()
        assert getattr(expected, name) == getattr(shorter, name)


@pytest.mark.parametrize(
    "content",
    [
        encode_state(replace(STATE, version=ROW_VERSION + 1)),
        msgspec.msgpack.encode([ROW_VERSION + 1, "something else"]),
    ],
)
def test_a_state_of_a_newer_release_is_refused(content: bytes) -> None:
    with pytest.raises(NewerRow, match="upgrade this worker"):
        decode_state(content)


@pytest.mark.parametrize("content", [b"", b"\xc1", msgspec.msgpack.encode({"applied": 1})])
def test_what_is_no_state_is_refused(content: bytes) -> None:
    with pytest.raises(RowError, match="not a partition's state"):
        decode_state(content)


def test_two_rows_never_share_what_can_change() -> None:
    Row().fired_ms.clear()
    first, second = PartitionState(), PartitionState()
    first.sources["clickstream-0"] = 1

    assert {} == second.sources
    assert Row().fired_ms is not Row().fired_ms
