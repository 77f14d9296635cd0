"""Stored state: what rows and partitions' states guarantee, whichever release wrote them."""

from collections.abc import Callable, Iterable
from itertools import pairwise, permutations
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from models.customer.cart import CART
from models.customer.contacts import CONTACTS
from models.customer.engagement import ENGAGEMENT
from models.customer.fingerprint import fingerprint_bytes
from models.customer.part import Part
from models.customer.purchases import PURCHASES
from models.customer.registry import PARTS, VERSIONS
from models.customer.row import Due, Row, decode_row, encode_row
from models.customer.row_formats import ROW_FORMAT, NewerRow, OlderRow, RowError
from models.customer.row_layout import (
    check_row,
    encode_stored,
    next_due_ms_of,
    pack_together,
    place_of,
    require_known,
)
from models.customer.support import SUPPORT
from models.customer.timeline import TIMELINE
from models.partition_state import (
    GRAVES_FORMAT,
    STATE_FORMAT,
    PartitionState,
    decode_state,
    encode_state,
)
from tests.models.lines import PARAMETERS, at, context, copied, happened, lived, of, waited

#: What a release to come may keep of a customer: a part that this one has never heard of.
UNHEARD_OF = "qq"


def lively() -> Row:
    """A row with state in every part that keeps any."""
    gloomy = replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.8))
    within = context(parameters=gloomy)
    row = lived(
        [
            happened("page", at(), channel="web"),
            happened("Product Added", at(minutes=1), product_id="P", price=5.0),
            happened("Ticket Opened", at(minutes=2), ticket_id="T"),
            happened("Survey Responded", at(minutes=3), kind="nps", score=2),
            happened("Unsubscribed", at(minutes=4), list_id="news"),
            happened("Order Completed", at(hours=8), order_id="N", revenue=5.0),
            happened("Order Completed", at(hours=9), order_id="O", revenue=5.0),
            happened("Order Refunded", at(hours=10), order_id="O", total=1.0),
        ],
        within=within,
    )
    row, _ = waited(row, at(days=90), within=within)
    row.applied = 7
    return row


LIVELY = encode_row(lively())
STATE = PartitionState(
    applied=9,
    clock_ms=at(),
    latest_ms=at(1),
    model_version=3,
    model_sha256="ab",
    sources={"support-1": 4, "clickstream-0": 2},
)


def parts_of(content: bytes) -> dict[str, bytes]:
    """The packed parts of a stored row by code, each with its version."""
    return decode_row(content).packed()


def with_parts(content: bytes, **changed: bytes | None) -> bytes:
    """A stored row with other bytes for some parts; None leaves one out. A part that the row does
    not have is added by itself.
    """
    row = decode_row(content)
    apart, together = dict(row.pack()[0]), row.packed_together()
    for code, entry in changed.items():
        kept = together if code in together else apart
        if entry is None:
            kept.pop(code)
        else:
            kept[code] = entry
    head = (row.applied, row.next_due_ms, row.latest_ms, row.messages, row.timers_as_stored())
    return encode_stored((*head, dict(sorted(apart.items())), pack_together(together)))


def entry(content: bytes, version: int = 1) -> bytes:
    """A part's stored bytes: its version comes first."""
    return bytes([version]) + content


def packed(content: bytes) -> list[Any]:
    unpacked = msgspec.msgpack.decode(content, strict=False)
    assert isinstance(unpacked, list)
    return unpacked


def test_a_row_is_read_as_it_was_written() -> None:
    row, again = lively(), decode_row(LIVELY)

    assert LIVELY == encode_row(again)
    assert (7, row.latest_ms, row.messages, row.next_due_ms) == (
        again.applied,
        again.latest_ms,
        again.messages,
        again.next_due_ms,
    )
    for part in PARTS:
        assert part.pack(row.read(part)) == part.pack(again.read(part))
    # Costs are a channel's, all products have one margin, no rule of theirs names an event, they
    # have one id, were told of no improvement, no visit is still to be told of, and nobody said
    # who they are.
    kept_of_others = {"aq", "mg", "ne", "id", "im", "fu", "tr"}
    assert {part.code for part in PARTS} - kept_of_others == set(parts_of(LIVELY))
    empty = decode_row(encode_row(Row()))
    assert (-1, 0, b"", 0, []) == (
        empty.applied,
        empty.latest_ms,
        empty.messages,
        empty.next_due_ms,
        list(empty.timers()),
    )


def test_what_is_read_again_can_be_changed_and_stored_again() -> None:
    further = [
        happened("page", at(days=91), channel="app"),
        happened("Product Added", at(days=91), product_id="Q", price=1.0),
        happened("Order Completed", at(days=91), order_id="Q", revenue=1.0),
        happened("Ticket Solved", at(days=91), ticket_id="T"),
    ]
    kept = hot = lively()
    for event in further:
        hot = lived([event], row=hot)
        kept = copied(lived([event], row=kept))

    assert encode_row(hot) == encode_row(kept) != LIVELY


def _touch(row: Row) -> None:
    row.edit(CART).touched_at_ms = at()
    row.set_due("cart", at(days=1))


def _open(row: Row) -> None:
    row.edit(SUPPORT).opened = 1
    row.set_due("ticket", at(days=2))


def _buy(row: Row) -> None:
    row.edit(PURCHASES).count = 1
    row.set_due("overdue", at(days=3))


def test_equal_rows_are_equal_bytes_in_whatever_order_they_were_filled() -> None:
    found = set()
    for order in permutations([_touch, _open, _buy]):
        row = Row()
        for fill in order:
            fill(row)
        found.add(encode_row(row))
    assert 1 == len(found)

    turned = decode_row(LIVELY)
    contacts = turned.edit(CONTACTS)
    assert len(contacts.fired_ms) > 1
    contacts.fired_ms = dict(reversed(contacts.fired_ms.items()))
    assert LIVELY == encode_row(turned) == encode_row(lively())


def test_parts_with_nothing_in_them_take_no_room() -> None:
    row = Row()
    for part in PARTS:
        row.edit(part)
    assert {} == parts_of(encode_row(row))
    assert encode_row(Row()) == encode_row(row)

    lifted = decode_row(LIVELY)
    lifted.edit(CART).changes.clear()
    lifted.edit(CART).touched_at_ms = 0
    assert set(parts_of(LIVELY)) - {CART.code} == set(parts_of(encode_row(lifted)))


def test_a_part_that_this_release_does_not_know_passes_through_byte_for_byte() -> None:
    theirs = entry(b"\xc1 anything at all", version=250)
    row = decode_row(with_parts(LIVELY, **{UNHEARD_OF: theirs}))
    assert with_parts(LIVELY, **{UNHEARD_OF: theirs}) == encode_row(row)

    row = lived([happened("page", at(days=91))], row=row)

    after = encode_row(row)
    assert theirs == parts_of(after)[UNHEARD_OF]
    assert parts_of(LIVELY)[ENGAGEMENT.code] != parts_of(after)[ENGAGEMENT.code]
    assert 7 == check_row(after, VERSIONS).applied


def test_timers_are_read_as_they_were_written() -> None:
    row = Row()
    row.set_due("cart", at(days=3))
    row.set_due("theirs", at(days=2))
    row.set_due("ticket", at(days=1))
    row.finish("ticket", at(days=1))
    row.set_due("never", 0)
    again = decode_row(encode_row(row))

    assert {
        "cart": Due(at(days=3), 0),
        "theirs": Due(at(days=2), 0),
        "ticket": Due(0, at(days=1)),
    } == dict(again.timers())
    assert at(days=2) == again.next_due_ms == place_of(encode_row(row)).next_due_ms
    # What was dealt with before it was stored is not due again.
    again.set_due("ticket", at(hours=3))
    assert 0 == again.due("ticket").due_ms
    again.set_due("ticket", at(hours=3), may_repeat=True)
    assert at(hours=3) == again.next_due_ms


def test_a_timer_that_is_not_known_goes_by_without_effect_and_is_remembered() -> None:
    row = decode_row(encode_row(Row()))
    row.set_due("theirs", at(days=2))

    after, effects = waited(row, at(days=2))

    assert ([], 0) == (effects, after.next_due_ms)
    assert Due(0, at(days=2)) == copied(after).due("theirs")


def test_only_what_was_touched_is_packed_again() -> None:
    # Valid, and not how this release would write it: a long way to write 0.
    [items, touched_at_ms, _, changes, orders] = packed(CART.pack(of(lively()).cart))
    encode = msgspec.msgpack.encode
    unusual = b"\x95" + b"".join(
        [encode(items), encode(touched_at_ms), b"\xcf" + b"\0" * 8, encode(changes), encode(orders)]
    )
    # Cannot be read at all, and so is not read.
    unreadable = entry(b"\xc1")
    content = with_parts(LIVELY, ca=entry(unusual), su=unreadable)

    row = decode_row(content)
    row.read(CART)
    row.read(ENGAGEMENT)
    assert content == encode_row(row)

    row.edit(ENGAGEMENT).views += 1
    before, after = parts_of(content), parts_of(encode_row(row))
    assert before.keys() == after.keys()
    assert {ENGAGEMENT.code} == {code for code in before if before[code] != after[code]}

    row.edit(CART)
    assert entry(unusual) != parts_of(encode_row(row))[CART.code]
    assert 0 == decode_row(encode_row(row)).read(CART).emptied_at_ms
    with pytest.raises(RowError, match="the support of a row cannot be read"):
        row.read(SUPPORT)


def test_a_step_packs_only_the_parts_that_listen() -> None:
    row = lived([happened("page", at(days=90.5))], row=decode_row(LIVELY))
    looked = happened("Cart Viewed", at(days=90.5, minutes=1))
    mailed = happened("Invoice Issued", at(days=90.5, minutes=1))

    before = parts_of(encode_row(row))
    after = parts_of(encode_row(lived([looked], row=row)))

    told = parts_of(encode_row(lived([mailed], row=row)))
    assert {TIMELINE.code} == {code for code in before if before[code] != told[code]}
    changed = {code for code in before if before[code] != after[code]}
    assert {ENGAGEMENT.code, CART.code, TIMELINE.code} == changed


def test_what_was_edited_twice_is_stored_as_it_was_last() -> None:
    row = decode_row(LIVELY)
    state = row.edit(ENGAGEMENT)
    state.views = 100
    encode_row(row)
    row.edit(ENGAGEMENT).views = 101

    assert 101 == decode_row(encode_row(row)).read(ENGAGEMENT).views


def newer_row() -> bytes:
    return msgspec.msgpack.encode([ROW_FORMAT + 1, *packed(LIVELY)[1:]])


def newer_row_of_another_shape() -> bytes:
    return msgspec.msgpack.encode([ROW_FORMAT + 1, "something", {"else": 1}])


def newer_row_with_more() -> bytes:
    return msgspec.msgpack.encode([ROW_FORMAT + 1, *packed(LIVELY)[1:], [1, 2]])


READERS: list[Callable[[bytes], object]] = [
    decode_row,
    place_of,
    lambda content: check_row(content, VERSIONS),
    lambda content: require_known(content, VERSIONS),
]
NAMES = ["decode", "place", "check", "known"]


@pytest.mark.parametrize("read", READERS, ids=NAMES)
@pytest.mark.parametrize("newer", [newer_row, newer_row_of_another_shape, newer_row_with_more])
def test_a_row_in_a_newer_format_is_refused_and_says_what_to_do(
    newer: Callable[[], bytes], read: Callable[[bytes], object]
) -> None:
    with pytest.raises(NewerRow, match="upgrade this worker"):
        read(newer())


@pytest.mark.parametrize("part", [part for part in PARTS if part.code in parts_of(LIVELY)])
def test_a_known_part_of_a_newer_version_is_refused_and_says_what_to_do(part: Part[Any]) -> None:
    content = parts_of(LIVELY)[part.code][1:]
    newer = with_parts(LIVELY, **{part.code: entry(content, part.version + 1)})

    for read in (check_row, require_known):
        with pytest.raises(NewerRow, match=rf"\({part.code}\).*upgrade this worker"):
            read(newer, VERSIONS)
    row = decode_row(newer)
    for _ in range(2):
        with pytest.raises(NewerRow, match=rf"\({part.code}\).*upgrade this worker"):
            row.read(part)
    # Of the version it was written for, it is sound.
    assert 7 == check_row(newer, {**VERSIONS, part.code: part.version + 1}).applied


#: Format 1 was one array for all concerns, beginning with 1.
OLDER = [
    msgspec.msgpack.encode([1, 7, b"", []]),
    msgspec.msgpack.encode([1, 7, at(), [[], 0, 0], [], {"cart-abandoned": at()}]),
    msgspec.msgpack.encode([1, "something", {"else": 1}, None]),
    msgspec.msgpack.encode([1, *packed(LIVELY)[1:]]),
]


@pytest.mark.parametrize("read", READERS, ids=NAMES)
@pytest.mark.parametrize("older", OLDER, ids=["short", "long", "another shape", "this shape"])
def test_a_row_of_format_1_is_refused_in_words(
    older: bytes, read: Callable[[bytes], object]
) -> None:
    with pytest.raises(OlderRow) as refused:
        read(older)

    assert str(refused.value) == (
        "a row is in format 1, which this release does not read (it writes 4): start over with "
        "another KEEPSTREAM_TOPIC_PREFIX, and publish the events "
        "again"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"{}",
        msgspec.msgpack.encode("row"),
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode(["1"]),
        msgspec.msgpack.encode([ROW_FORMAT]),
        msgspec.msgpack.encode([0, 1]),
        # No release has written so little.
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode([1, 2, 3]),
        msgspec.msgpack.encode([ROW_FORMAT, b"1234", [1], {}]),
        msgspec.msgpack.encode([2, b"1234", [1], {}]),
        msgspec.msgpack.encode([0, *packed(LIVELY)[1:]]),
        msgspec.msgpack.encode([-1, *packed(LIVELY)[1:]]),
    ],
)
@pytest.mark.parametrize("read", READERS, ids=NAMES)
def test_what_is_no_row_is_refused(content: bytes, read: Callable[[bytes], object]) -> None:
    with pytest.raises(RowError, match="not a row|damaged") as refused:
        read(content)
    assert not isinstance(refused.value, NewerRow | OlderRow)


def test_every_row_that_was_cut_short_is_refused() -> None:
    for length in range(len(LIVELY)):
        for read in READERS:
            with pytest.raises(RowError):
                read(LIVELY[:length])


def is_sound(content: bytes) -> bool:
    """Whether a row is accepted as sound; damage must always be a ``RowError``."""
    try:
        check_row(content, VERSIONS)
    except RowError:
        return False
    return True


def test_a_sound_row_is_told_with_its_head() -> None:
    head = check_row(LIVELY, VERSIONS)

    assert (7, lively().next_due_ms, lively().latest_ms, lively().messages) == (
        head.applied,
        head.next_due_ms,
        head.latest_ms,
        head.messages,
    )
    assert sorted((code, due.due_ms, due.handled_ms) for code, due in lively().timers()) == [
        *map(tuple, head.timers)
    ]
    assert is_sound(encode_row(Row()))


def taken_as_sound(content: bytes, masks: Iterable[int]) -> list[tuple[int, int]]:
    """Place and mask of each change that is not noticed, of all places and these masks."""
    assert is_sound(content)
    return [
        (place, mask)
        for place in range(len(content))
        for mask in masks
        if is_sound(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
    ]


def test_no_bit_of_a_row_can_change_without_being_noticed() -> None:
    theirs = with_parts(LIVELY, **{UNHEARD_OF: entry(b"theirs", version=9)})

    assert [] == taken_as_sound(theirs, [1 << bit for bit in range(8)])
    assert [] == taken_as_sound(theirs, [0xFF])


def test_no_byte_of_a_row_can_become_any_other_without_being_noticed() -> None:
    row = Row()
    row.messages = fingerprint_bytes("m-1")
    row.edit(CART).touched_at_ms = at()
    row.set_due("cart", at(days=1))
    small = with_parts(encode_row(row), **{UNHEARD_OF: entry(b"theirs", version=9)})

    assert [] == taken_as_sound(small, range(1, 256))


def test_a_part_that_takes_the_place_of_another_is_damage() -> None:
    """Of two parts with one code only the last would be read, and one would be lost."""
    codes = sorted(decode_row(LIVELY).pack()[0])
    assert len(codes) > 3
    for code, later in pairwise(codes):
        # Text of two bytes, then what belongs to it.
        place = LIVELY.index(b"\xa2%b" % code.encode())
        doubled = LIVELY[: place + 1] + later.encode() + LIVELY[place + 3 :]
        assert later in parts_of(doubled)
        assert not is_sound(doubled)


@pytest.mark.parametrize("changed", [{"ca": None}, {"su": None}, {"ca": b"\x03"}, {"su": b""}])
def test_a_part_that_is_missing_or_another_is_damage(changed: dict[str, bytes | None]) -> None:
    """Apart from its checksum, it is a row that might have been written."""
    other = with_parts(LIVELY, **changed)
    assert {"su": b""} == changed or is_sound(other)
    assert not is_sound(LIVELY[:8] + other[8:])


def test_which_parts_are_by_themselves_is_settled() -> None:
    """A part that is packed with the others would not be found by itself. It may later join the
    others.
    """
    apart = {part.code for part in PARTS if part.is_apart}
    assert apart <= {"ca", "cs", "en", "fu", "la", "lc", "ti", "tl"}


@pytest.mark.parametrize("edited", [part for part in PARTS if part.is_apart], ids=repr)
def test_what_is_packed_together_is_not_looked_at_for_parts_by_themselves(
    edited: Part[Any],
) -> None:
    row = decode_row(LIVELY)
    row._together = b"would not be read"
    row.edit(edited)
    again = decode_row(encode_row(row))
    assert row._together == again._together
    with pytest.raises(RowError, match="the parts of a row cannot be read"):
        again.read(PURCHASES)


def test_timers_that_cannot_be_read_are_told() -> None:
    row = decode_row(LIVELY)
    row._stored_timers = b"would not be read"
    with pytest.raises(RowError, match="the timers of a row cannot be read"):
        row.timers_by_code()


def test_a_message_is_seen_as_a_whole_and_nowhere_else() -> None:
    first, second, third = map(fingerprint_bytes, ("m-1", "m-2", "m-3"))
    row = Row()
    assert not row.has_seen(first)

    row.messages = first + second
    assert row.has_seen(first)
    assert row.has_seen(second)
    assert not row.has_seen(third)
    assert not row.has_seen(first[1:] + second[:1])
    # Across two neighbours, and then whole.
    row.messages = b"\0\0\0" + third + b"\0\0\0\0\0" + third
    assert row.has_seen(third)
    row.messages = row.messages[:16]
    assert not row.has_seen(third)
    assert copied(row).messages == row.messages


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
        encode_state(replace(STATE, format=GRAVES_FORMAT + 1)),
        msgspec.msgpack.encode([GRAVES_FORMAT + 1, "something else"]),
    ],
)
def test_a_state_of_a_newer_release_is_refused(content: bytes) -> None:
    with pytest.raises(NewerRow, match="upgrade this worker"):
        decode_state(content)


@pytest.mark.parametrize(
    "content",
    [
        encode_state(replace(STATE, format=1)),
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode([1, "something else", 0, 0]),
    ],
)
def test_a_state_of_format_1_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(OlderRow, match="a partition's state is in format 1.*publish the events"):
        decode_state(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"applied": 1}),
        msgspec.msgpack.encode([STATE_FORMAT, "nine"]),
        encode_state(STATE).replace(b"support-1", b"support-\xff"),
        encode_state(replace(STATE, format=0)),
        encode_state(replace(STATE, format=-1)),
    ],
)
def test_what_is_no_state_is_refused(content: bytes) -> None:
    with pytest.raises(RowError, match="not a partition's state") as refused:
        decode_state(content)
    assert not isinstance(refused.value, NewerRow | OlderRow)


def test_two_rows_never_share_what_can_change() -> None:
    one, other = Row(), Row()
    one.edit(CART).touched_at_ms = 1
    one.set_due("cart", 5)
    first, second = PartitionState(), PartitionState()
    first.sources["clickstream-0"] = 1

    assert encode_row(Row()) == encode_row(other)
    assert {} == second.sources


@pytest.mark.parametrize("applied", [-1, 0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**40])
@pytest.mark.parametrize("due_ms", [0, 1, 127, 128, 255, 65_536, 2**31, 2**32, at(), 2**62])
def test_the_next_timer_is_found_wherever_it_stands(applied: int, due_ms: int) -> None:
    row = lively()
    row.applied, row.next_due_ms = applied, due_ms
    content = encode_row(row)
    assert due_ms == next_due_ms_of(content) == place_of(content).next_due_ms


def test_what_is_due_is_told_and_then_the_first_of_all_others() -> None:
    row = Row()
    for code, due_ms in {"a": 300, "b": 100, "c": 200, "d": 100}.items():
        row.set_due(code, due_ms)

    assert ["b", "d"] == row.due_at(100)
    row.finish("b", 100)
    assert ["d"] == row.due_at(100)
    row.finish("d", 100)
    assert 200 == row.next_due_ms
    assert {"a": 300, "c": 200} == row.pending() == decode_row(encode_row(row)).pending()
    assert ["a"] == row.due_at(300)
    assert [] == row.due_at(1)
