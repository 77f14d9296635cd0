"""Refusals are counted by cause, and frequent causes are reported with their fix."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from config.parameters import Parameters
from models.events.dead_letter import DeadLetter
from models.events.refusals import (
    CAUSES_MAX,
    NAMES_MAX,
    TOLD_MAX,
    Refusals,
    UnreadConsents,
    loud_in_words,
    misnamed_in_words,
    refusal_in_words,
    told,
)
from models.events.rejection import Reason, Rejected, rejected_by
from models.parameters import load_parameters
from models.replay import Replay

MARCH_MS = 1_772_323_200_000


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return load_parameters()


def refused(*causes: tuple[Reason, str, int]) -> Refusals:
    refusals = Refusals()
    for reason, path, count in causes:
        refusals.add(Rejected(reason, path, "wrong", "mend it"), count)
    return refusals


@pytest.mark.parametrize(
    ("count", "events", "lines", "is_loud"),
    [
        (10, 50, None, False),
        (11, 50, None, True),
        (49, 49, None, False),
        (11, 50, 49, False),
        (11, 40, 50, True),
        (200, 1_000, None, False),
        (201, 1_000, None, True),
    ],
)
def test_more_than_a_fifth_of_fifty_lines_is_loud(
    count: int, events: int, lines: int | None, is_loud: bool
) -> None:
    refusals = refused((Reason.TOO_LATE, "$.timestamp", count))

    assert is_loud is bool(refusals.loud(events, lines))


def test_each_cause_that_is_frequent_enough_is_told_and_others_are_not() -> None:
    refusals = refused(
        (Reason.WRONG_TYPE, "$.a", 30), (Reason.WRONG_TYPE, "$.b", 25), (Reason.BAD_JSON, "$", 5)
    )

    assert [("$.a", 30), ("$.b", 25)] == [(c.path, c.count) for c in refusals.loud(100)]


def test_a_reason_frequent_at_all_its_paths_together_is_one_cause() -> None:
    refusals = refused((Reason.WRONG_TYPE, "$.a", 15), (Reason.WRONG_TYPE, "$.b", 12))

    assert [("wrong_type", "$.a", 27)] == [(c.reason, c.path, c.count) for c in refusals.loud(100)]


def test_the_line_has_reason_path_count_and_fix() -> None:
    refusals = Refusals()
    for _ in range(12):
        refusals.add(
            Rejected(
                Reason.OUT_OF_RANGE,
                "$.properties.currency",
                "this shop's currency is EUR",
                "--set money.currency=USD",
            )
        )
    [words] = told(refusals, 50)

    assert (
        "12 of 50 events (24%) are refused: out_of_range at $.properties.currency: this shop's "
        "currency is EUR → --set money.currency=USD"
    ) == words


def test_more_refusals_than_events_have_no_share() -> None:
    """Dead letters and events are counted at different stages."""
    [cause] = refused((Reason.BAD_JSON, "$", 80)).loud(60)

    assert loud_in_words(cause, 60).startswith("80 of 60 events are refused: bad_json at $")


def test_what_is_counted_is_bounded() -> None:
    refusals = refused(*((Reason.WRONG_TYPE, f"$.{n}", 1) for n in range(CAUSES_MAX + 50)))
    for n in range(NAMES_MAX + 50):
        refusals.add_name(f"Order Complete{n}", "Order Completed")

    assert CAUSES_MAX + 50 == refusals.total == refusals.loud(1_000)[0].count
    assert CAUSES_MAX + 1 == len(refusals._counts) == len(refusals._firsts)
    assert TOLD_MAX == len(refusals.causes()) == len(refusals.misnamed())
    assert ("other names", 50) == (refusals.misnamed()[0].name, refusals.misnamed()[0].count)


def test_a_name_is_told_with_what_was_meant_and_moves_no_cursor() -> None:
    refusals = Refusals()
    for line in range(7, 19):
        refusals.add_name("Order Complete", "Order Completed", line)
    refusals.add_name("Order\x1b[2J Complete" + "e" * 99, "Order Completed")
    first, second = map(misnamed_in_words, refusals.misnamed())

    assert (
        "12 events named 'Order Complete': did you mean Order Completed? (first in line 7)" == first
    )
    assert "\x1b" not in second
    assert len(second) < 120


def test_consent_that_is_not_understood_is_told_with_its_first_line_and_what_to_send() -> None:
    refusals = Refusals()
    assert [] == list(told(refusals, 3))
    for number in (7, 9):
        refusals.add_unread_consent(number)
    [words] = told(refusals, 3)

    assert words.startswith("2 events say of consent what is not understood (first in line 7) → ")
    assert "true or false" in words


def order(number: int, name: str = "Order Completed", at: str = "2026-03-01T10:00:00Z") -> bytes:
    return (
        b'{"type":"track","event":"%b","messageId":"m%d","userId":"u1","timestamp":"%b",'
        b'"properties":{"order_id":"o%d","revenue":5}}'
    ) % (name.encode(), number, at.encode(), number)


def test_a_replay_counts_refusals_late_events_and_slips_of_names(parameters: Parameters) -> None:
    replay = Replay(parameters)
    lines = [
        order(1, at="2026-05-01T10:00:00Z"),
        order(2),
        order(3, "Order Complete", "2026-05-01T11:00:00Z"),
        order(4, at="2026-05-01T12:00:00Z")[:-1] + b',"context":{"consent":"no"}}',
        b"{",
        b'{"type":"track","event":"Order Completed","timestamp":"2026-05-01T10:00:00Z"}',
        b'{"type":"score","timestamp":"2026-05-01T10:00:00Z"}',
    ]
    for number, line in enumerate(lines, 1):
        replay.feed(line, number)
    summary = replay.summary()

    assert [("no_identity", 2), ("bad_json", 1), ("too_late", 1)] == [
        (cause.reason, cause.count) for cause in summary.refusals
    ]
    assert all(cause.fix for cause in summary.refusals)
    assert [("Order Complete", "Order Completed", 1, 3)] == [
        (found.name, found.meant, found.count, found.first_line) for found in summary.misnamed
    ]
    assert UnreadConsents(1, 4) == summary.unread_consents
    assert 3 == summary.events["applied"]


@pytest.mark.parametrize(
    ("stated", "is_refused"),
    [
        ('"2026-03-01T10:05:00Z"', True),
        ('"2038-05-01T00:00:01Z"', False),
        # A clock that was not set, and whatever else client libraries write.
        ('"1970-01-01T00:00:00Z"', False),
        ('"0001-01-01T00:00:00Z"', False),
        ('"soon"', False),
        ("1772359500", False),
        ("null", False),
        ("{}", False),
    ],
)
def test_an_event_later_than_its_stated_arrival_is_refused_and_moves_no_clock(
    parameters: Parameters, stated: str, is_refused: bool
) -> None:
    replay = Replay(parameters)
    view = (
        '{"type":"page","messageId":"m","userId":"phone","timestamp":"2038-05-01T00:00:00Z",'
        f'"receivedAt":{stated}}}'
    )
    replay.feed(order(1), 1)
    replay.feed(view.encode(), 2)
    replay.feed(order(2), 3)
    events = replay.summary().events

    assert (is_refused, not is_refused) == (bool(events["deadLettered"]), bool(events["late"]))
    assert ("2026" if is_refused else "2038") == (replay.summary().clock or "")[:4]


def test_an_event_later_than_any_may_be_is_refused_but_not_in_an_export(
    parameters: Parameters,
) -> None:
    later = order(2, at="2038-05-01T00:00:00Z")
    placed = later[:-1] + b',"position":{"partition":0,"offset":9}}'
    watermark = b'{"type":"watermark","timestamp":"2039-01-01T00:00:00Z"}'
    fates = []
    for line in (later, placed):
        replay = Replay(parameters, latest_ms=MARCH_MS)
        for number, one in enumerate((order(1, at="2026-02-01T00:00:00Z"), line, watermark), 1):
            replay.feed(one, number)
        summary = replay.summary()
        fates.append((summary.events["applied"], summary.events["deadLettered"]))
        # What-if: the clock itself may be moved as far as one likes.
        assert "2039" == (summary.clock or "")[:4]

    assert [(1, 1), (2, 0)] == fates


def event(name: str = "Order Completed", **fields: Any) -> bytes:
    line = {"type": "track", "event": name, "userId": "u1", "timestamp": "2026-03-01T10:00:00Z"}
    bought = {"properties": {"order_id": "o1", "revenue": 5}}
    return msgspec.json.encode({**line, **bought, **fields})


SHOWN = "`keepstream schema NAME` shows"


@pytest.mark.parametrize(
    ("line", "problem", "fix"),
    [
        (
            b'{"type":"page"} {}',
            "bad_json at $: Extra data (character 16)",
            "write one JSON object a line, in UTF-8",
        ),
        (
            event(type="trak"),
            "unknown_event at $.type: not an event type",
            "use one of the names that `keepstream schema` lists",
        ),
        (
            event(timestamp=None),
            "required_missing at $.timestamp: an event says when it happened",
            "fill in the field: `keepstream schema NAME` shows it",
        ),
        (
            event(properties={"revenue": "25,000", "order_id": "o"}),
            "wrong_type at $.properties.revenue: a number, such as 25.00",
            f"write the field as {SHOWN} it",
        ),
        (
            event(properties={"revenue": -5, "order_id": "o"}),
            "out_of_range at $.properties.revenue: a number of at least 0",
            "leave out the minus: what goes back has an event of its own, as Order Refunded",
        ),
        # A score is no money that goes back.
        (
            event(event="Credit Assessed", properties={"score": -5}),
            "out_of_range at $.properties.score: a number of at least 0",
            "leave out the minus",
        ),
        (
            event(receivedAt="2026-02-01T00:00:00Z"),
            "out_of_range at $.timestamp: later than its arrival",
            "correct the sender's clock and the event's timestamp",
        ),
        (
            event(userId="null"),
            "no_identity at $.userId: neither userId nor anonymousId names anyone",
            "fill in userId or anonymousId with an id of this customer alone",
        ),
        (
            event(text="x" * 32_768),
            "too_large at $: more than 32768 bytes",
            "leave out what no schema names, or split the event",
        ),
        (
            event(timestamp="2025-01-01T00:00:00Z"),
            "too_late at $.timestamp: older than time.lateness allows",
            "publish in the order of time, or --set time.lateness to a longer time",
        ),
    ],
)
def test_a_refusal_says_reason_path_detail_and_fix_in_words(
    parameters: Parameters, line: bytes, problem: str, fix: str
) -> None:
    replay = Replay(parameters)
    replay.feed(order(1), 1)
    [letter] = replay.feed(line, 2)

    assert isinstance(letter, DeadLetter)
    assert f"{problem} → {fix}" == refusal_in_words(letter)


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        (int, b"1.5", "a whole number, not a number"),
        (float | None, b'"x"', "a number, not a text"),
        (int | str, b"[]", "a whole number or a text, not a list"),
        (float, b"null", "a number, not nothing"),
        (Annotated[float, Meta(gt=0)], b"0", "a number above 0"),
        (Annotated[float, Meta(le=1e12)], b"1e13", "a number of at most 1000000000000"),
        (Annotated[str, Meta(min_length=1)], b'""', "a text of at least 1 characters"),
        (Annotated[list[int], Meta(max_length=1)], b"[1,2]", "a list of at most 1 entries"),
        (float, b"1e999", "a number that large can't be read"),
        (Literal["a"], b'"canary"', "not one of the values this field may have"),
        (list[int], b"[1", "it ends too early"),
    ],
)
def test_what_a_decoder_says_is_said_in_plain_words(kind: Any, content: bytes, words: str) -> None:
    with pytest.raises(msgspec.DecodeError) as error:
        msgspec.json.decode(content, type=kind)

    assert words == rejected_by(error.value).detail
