"""Erasure: who is erased with whom, and what may come of them later, in one or several partitions.

Times are in minutes; an erasure is at 60.
"""

from typing import Any

import orjson
import pytest
from msgspec import msgpack, to_builtins
from msgspec.structs import replace

from config.duration import DAY_MS, DurationMs
from config.parameters import ParameterError
from models.admission import admit
from models.customer.identities import IDENTITIES, Identities
from models.customer.row_layout import place_of
from models.engine import Fate
from models.events.erasure_record import ERASE_REQUESTED, SUPPRESS, UNSUPPRESS, Erased
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import decode_log_line, encode_event
from models.graves import Grave, decode_grave, encode_grave, is_same_grave
from models.parameters import load_parameters
from models.partition import Partition
from models.partition_state import GRAVES_FORMAT, PartitionState, decode_state, encode_state
from models.plan import plan_for
from models.replay import Replay
from tests.models.lines import PARAMETERS, PRIOR, line
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_persons import bought, logged_in, merged, minute, page, put_in_cart, split
from tests.properties.histories import StoredRows


@pytest.fixture(params=[1, 2, 4, 7], ids="{0} partitions".format)
def shop(request: pytest.FixtureRequest) -> Deployment:
    return Deployment(request.param)


def erase(minutes: float = 60, mode: str | None = None, **who: str) -> bytes:
    said = {} if mode is None else {"mode": mode}
    return said_by(ERASE_REQUESTED, minute(minutes), **(who or {"user": "ada"}), **said)


def known(shop: Deployment) -> set[str]:
    """The ids with a row."""
    return {id_ for rows in shop.rows for id_ in rows.rows}


def identities(shop: Deployment, id_: str) -> Identities:
    row = shop.row(id_)
    assert row is not None
    return row.read(IDENTITIES)


def told(shop: Deployment) -> list[tuple[str, bool]]:
    """The erasure notices: an id, and whether anything was stored about it."""
    return [(e.customer, e.was_known) for e in shop.effects if isinstance(e, Erased)]


ALONE = (page(0, user="ada"), put_in_cart(5, user="ada"), bought(20))
LINKED = (put_in_cart(5, visitor="anon-1"), logged_in(7), bought(20))
MERGED = (
    *LINKED,
    page(8, visitor="anon-2"),
    logged_in(9, user="bob", visitor="anon-2"),
    merged(30, "ada", "bob"),
)
#: Whose request, after what, takes whom along.
PERSONS: dict[str, tuple[tuple[bytes, ...], dict[str, str], set[str]]] = {
    "a customer": (ALONE, {"user": "ada"}, {"ada"}),
    "a user with a visitor": (LINKED, {"user": "ada"}, {"ada", "anon-1"}),
    "a visitor of a user": (LINKED, {"visitor": "anon-1"}, {"ada", "anon-1"}),
    "who has another user": (MERGED, {"user": "ada"}, {"ada", "bob", "anon-1", "anon-2"}),
    "a user who is another's": (MERGED, {"user": "bob"}, {"ada", "bob", "anon-1", "anon-2"}),
    "the visitor of such a user": (
        MERGED,
        {"visitor": "anon-2"},
        {"ada", "bob", "anon-1", "anon-2"},
    ),
    "who was only named": ((logged_in(7),), {"user": "ada"}, {"ada", "anon-1"}),
    "by an id that was only named": ((logged_in(7),), {"visitor": "anon-1"}, {"ada", "anon-1"}),
    "by an id that only a user who is another's named": (
        (logged_in(7, user="bob"), merged(30, "ada", "bob")),
        {"visitor": "anon-1"},
        {"ada", "bob", "anon-1"},
    ),
}


@pytest.mark.parametrize(("before", "who", "gone"), PERSONS.values(), ids=PERSONS.keys())
@pytest.mark.parametrize("mode", [None, SUPPRESS])
def test_the_whole_person_goes(
    shop: Deployment,
    before: tuple[bytes, ...],
    who: dict[str, str],
    gone: set[str],
    mode: str | None,
) -> None:
    shop.tell(*before, page(9, user="zoe"))

    shop.tell(erase(mode=mode, **who))

    assert {"zoe"} == known(shop)
    assert gone == shop.erased().keys()
    assert gone == {id_ for id_, _ in told(shop)}
    assert {mode == SUPPRESS} == {grave.is_suppressed for grave in shop.erased().values()}


@pytest.mark.parametrize("did", [(), (page(5, visitor="anon-1"),)], ids=["only named", "seen"])
def test_an_id_that_several_share_is_erased_alone(shop: Deployment, did: tuple[bytes, ...]) -> None:
    shop.tell(*did, logged_in(7), logged_in(8, user="zoe"), page(9, user="zoe"))

    shop.tell(erase(visitor="anon-1"))

    assert {"ada", "zoe"} <= known(shop)
    assert {"anon-1"} == shop.erased().keys()


def test_what_was_waiting_for_somebody_is_gone_with_them(shop: Deployment) -> None:
    shop.tell(*LINKED, put_in_cart(50, user="ada"), erase())

    shop.tick(minute(60 * 24 * 200))

    assert [] == shop.fired()


def test_readers_are_told_of_nobody_too(shop: Deployment) -> None:
    shop.tell(erase())

    assert [("ada", False)] == told(shop)
    assert set() == known(shop)


#: What comes after, and whether somebody is there by then: as DELETE_ONLY, and as
#: SUPPRESS_WITH_DELETE has it.
LATER: dict[str, tuple[bytes, bool, bool]] = {
    "what was sent before": (bought(20), False, False),
    "what is dated before": (page(59, user="ada"), False, False),
    "what is dated at the same time": (page(60, user="ada"), False, False),
    "what is dated later": (page(61, user="ada"), True, False),
    "a login from before": (logged_in(7), False, False),
    "a login": (logged_in(61), True, False),
    "what a visitor did before": (put_in_cart(6, visitor="anon-1"), False, False),
    "what a visitor does": (page(61, visitor="anon-1"), True, False),
    "a split": (split(59), False, False),
    "a merger from before": (merged(59, "ada", "anon-1"), False, False),
    "another request from before": (erase(59), False, False),
    "the same request": (erase(), False, False),
}


@pytest.mark.parametrize(("event", "is_there", "is_there_all_the_same"), LATER.values(), ids=LATER)
def test_what_comes_after(
    shop: Deployment, event: bytes, is_there: bool, is_there_all_the_same: bool
) -> None:
    for mode, expected in ((None, is_there), (SUPPRESS, is_there_all_the_same)):
        again = Deployment(len(shop.logs))
        again.tell(*LINKED, erase(mode=mode))
        before, effects = again.erased(), len(again.effects)

        again.tell(event)

        assert expected == bool(known(again))
        assert before == again.erased()
        assert effects == len(again.effects)


def test_a_request_that_is_late_erases_what_is_known_by_then(shop: Deployment) -> None:
    """Otherwise what was sent before could be sent again."""
    shop.tell(*LINKED, page(90, user="ada"), erase(60))
    assert set() == known(shop)

    shop.tell(page(90, user="ada"), page(80, visitor="anon-1"))

    assert set() == known(shop)


def test_a_request_is_never_too_late(shop: Deployment) -> None:
    shop.tell(*LINKED)
    shop.tick(minute(60 * 24 * 30))

    shop.tell(erase())

    assert set() == known(shop)


def test_a_request_does_not_move_the_time_of_a_shop_that_is_behind(shop: Deployment) -> None:
    shop.tell(*ALONE, page(30, user="zoe"))
    before = {(lane.as_of_ms, lane.state.clock_ms) for lane in shop.lanes}

    shop.tell(encoded(erase(60 * 24 * 400)))

    assert before == {(lane.as_of_ms, lane.state.clock_ms) for lane in shop.lanes}
    replay = Replay(PARAMETERS)
    for number, raw in enumerate((page(0, user="zoe"), erase(60 * 24 * 400)), 1):
        replay.feed(raw, number)
    assert replay.summary().clock is None or replay.summary().clock < iso(minute(1))


def encoded(raw: bytes) -> bytes:
    """The event as ingest writes it to the log."""
    event = admit(raw, PARAMETERS, message_id="m")
    return (
        encode_event(event)[:-1]
        + b',"source":{"topic":"clickstream","partition":0,"offset":0,"receivedAt":0}}'
    )


def _said(order: tuple[int, ...]) -> list[bytes]:
    words = (erase(60, SUPPRESS), erase(70, UNSUPPRESS), erase(80, SUPPRESS), erase(90, UNSUPPRESS))
    return [words[number] for number in order]


@pytest.mark.parametrize(
    ("order", "is_suppressed"),
    [
        ((0,), True),
        ((0, 1), False),
        ((1, 0), False),
        ((0, 1, 2), True),
        ((2, 0, 1), True),
        ((0, 1, 0), False),
        ((3, 2, 1, 0), False),
        ((2, 3, 2, 0), False),
    ],
)
def test_the_latest_word_stands_in_any_order(
    shop: Deployment, order: tuple[int, ...], is_suppressed: bool
) -> None:
    shop.tell(*ALONE, *_said(order))

    shop.tell(page(100, user="ada"))

    assert is_suppressed is not ("ada" in known(shop))


def test_suppression_later_erases_who_came_since(shop: Deployment) -> None:
    shop.tell(*ALONE, erase(60), page(70, user="ada"), erase(80, SUPPRESS), page(90, user="ada"))

    assert set() == known(shop)


def test_who_shares_an_id_keeps_it_and_their_claim(shop: Deployment) -> None:
    shop.tell(
        page(0, visitor="tablet"), logged_in(5, "ada", "tablet"), logged_in(9, "bob", "tablet")
    )

    shop.tell(page(20, visitor="tablet"), erase())

    assert {"bob", "tablet"} == known(shop)
    tablet = shop.row("tablet")
    assert tablet is not None
    assert (0, ["bob"]) == (tablet.latest_ms, [*tablet.read(IDENTITIES).claims])
    shop.tell(page(70, visitor="tablet"))
    assert {"bob": {"bob", "tablet"}} == shop.people()


def test_of_a_user_who_goes_with_another_no_claim_is_left(shop: Deployment) -> None:
    shop.tell(page(0, user="ada"), said_by("alias", minute(1), user="bob", previous="ada"))
    shop.tell(page(2, user="both"), merged(3, "both", "ada"))
    assert {"ada"} == identities(shop, "bob").claimed.keys()

    shop.tell(erase(user="both"))

    assert {"ada", "both"} == shop.erased().keys()
    assert {} == identities(shop, "bob").claimed


def test_an_id_that_others_use_first_only_loses_the_claim(shop: Deployment) -> None:
    shop.tell(
        page(0, visitor="tablet"), logged_in(5, "bob", "tablet"), logged_in(9, "ada", "tablet")
    )

    shop.tell(erase())

    assert {"bob", "tablet"} == known(shop)
    assert ["bob"] == [*identities(shop, "tablet").claims]


def test_a_shared_id_says_nothing_of_who_asks(shop: Deployment) -> None:
    shop.tell(
        page(0, visitor="tablet"), logged_in(5, "ada", "tablet"), logged_in(9, "bob", "tablet")
    )

    shop.tell(erase(visitor="tablet"))

    assert {"ada", "bob"} == known(shop)
    assert {"ada": {"ada"}, "bob": {"bob"}} == shop.people()
    for user in ("ada", "bob"):
        assert {} == identities(shop, user).claimed


def test_an_id_that_has_left_stays(shop: Deployment) -> None:
    shop.tell(*LINKED, split(30), erase())

    assert {"anon-1"} == known(shop)


def test_an_id_that_is_about_to_leave_is_its_own_when_its_person_goes(shop: Deployment) -> None:
    shop.tell(*LINKED)
    # The id has heard of the split; what it tells ada comes after the request.
    shop.publish(split(30))
    shop.fold(shop.home("ada"))
    shop.publish(erase())
    shop.settle()

    assert {"anon-1"} == known(shop)
    assert "" == identities(shop, "anon-1").person
    shop.tell(page(90, visitor="anon-1"))
    assert {"anon-1": {"anon-1"}} == shop.people()


def test_what_was_on_its_way_brings_nobody_back(shop: Deployment) -> None:
    """Every record between rows again after the erasure, from another offset."""
    shop.tell(*MERGED, split(40, "bob"), page(50, visitor="anon-1"))
    records = [raw for log in shop.logs for raw in log if b'"logFormat":4' in raw]
    shop.tell(erase(), erase(user="bob"), erase(visitor="anon-2"))
    before = shop.erased()

    for number, raw in enumerate(records):
        record = orjson.loads(raw)
        record["source"] |= {"partition": 900 + number, "receivedAt": minute(70)}
        shop.tell(orjson.dumps(record))

    assert set() == known(shop)
    assert before == shop.erased()


@pytest.mark.parametrize("asked", [{"user": "ada"}, {"visitor": "anon-1"}])
def test_news_of_an_earlier_person_does_not_erase_a_new_one(
    shop: Deployment, asked: dict[str, str]
) -> None:
    shop.tell(*LINKED, erase(**asked))
    news = [raw for log in shop.logs for raw in log if b'"type":"erase"' in raw]
    assert news
    shop.tell(page(70, user="ada"), page(71, visitor="anon-1"), logged_in(75))
    people = shop.people()
    for raw in news:
        record = orjson.loads(raw)
        record["source"]["partition"] = 900
        shop.tell(orjson.dumps(record))

    assert {"ada": {"ada", "anon-1"}} == people == shop.people()


def test_of_one_id_a_request_leaves_the_others_of_a_new_person(shop: Deployment) -> None:
    """The visitor's record of its own erasure is about the former person, not the present one."""
    shop.tell(*LINKED)
    shop.publish(erase(61, visitor="anon-1"))
    shop.publish(erase(60))
    shop.publish(page(70, user="ada"))
    # Ada's partition first: she is a new person before the news comes.
    while shop.fold(shop.home("ada"), 1):
        pass
    shop.settle()

    assert {"ada"} == known(shop)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"mode": "SUPPRESS"}, Reason.OUT_OF_RANGE),
        ({"mode": "delete_only"}, Reason.OUT_OF_RANGE),
        ({"Mode": "FORGET"}, Reason.OUT_OF_RANGE),
        ({"mode": 5}, Reason.WRONG_TYPE),
        ({"mode": True}, Reason.WRONG_TYPE),
    ],
)
def test_a_mode_that_there_is_not_is_refused(properties: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        admit(line(ERASE_REQUESTED, minute(60), properties=properties), PARAMETERS, message_id="m")
    assert (reason, "$.properties.mode") == (refused.value.reason, refused.value.path)


@pytest.mark.parametrize("properties", [{}, {"mode": None}, {"because": "asked for it"}])
def test_without_a_mode_it_is_deleted(properties: dict[str, Any]) -> None:
    raw = line(ERASE_REQUESTED, minute(60), properties=properties)

    assert admit(raw, PARAMETERS, message_id="m").properties.mode in (None, "DELETE_ONLY")


def test_each_event_has_one_fate(shop: Deployment) -> None:
    shop.tell(*ALONE, erase())
    lane = shop.lanes[shop.home("ada")]
    fates = []
    for event in (page(50, user="ada"), erase(50), page(70, user="ada"), page(71, user="ada")):
        applied = lane.apply(lane.state.applied + 1, decode_log_line(event))
        fates.append(applied.fate)
    assert [Fate.ERASED, Fate.ERASED, Fate.APPLIED, Fate.APPLIED] == fates


def test_what_is_late_of_an_erased_person_is_no_dead_letter() -> None:
    """A dead letter would keep what they sent for a month."""
    replay = Replay(PARAMETERS)
    lines = [*ALONE, erase(), page(60 * 24 * 30, user="zoe"), page(1, user="ada")]
    outputs = [out for n, raw in enumerate(lines, 1) for out in replay.feed(raw, n)]

    assert [] == outputs
    assert 1 == replay.summary().events[Fate.ERASED]
    assert 1 == replay.summary().customers


def test_a_question_about_an_earlier_time_is_answered_without_who_was_erased() -> None:
    def churn(*events: bytes) -> Any:
        replay = Replay(PARAMETERS)
        asked = orjson.dumps({"type": "score", "userId": "ada", "timestamp": iso(minute(40))})
        *_, answer = [
            out for n, raw in enumerate([*events, asked], 1) for out in replay.feed(raw, n)
        ]
        return {**to_builtins(answer), "messageId": ""}

    assert churn() == churn(*ALONE, erase())


def test_only_a_partition_with_graves_is_refused_by_a_release_that_knows_none() -> None:
    shop = Deployment(1)
    shop.tell(*LINKED)
    shop.save(0)
    assert PartitionState().format == decode_state(shop.states[0]).format

    shop.tell(erase())
    shop.save(0)

    assert GRAVES_FORMAT == decode_state(shop.states[0]).format


def test_graves_that_were_written_before_their_state_give_it_its_format() -> None:
    fold = Partition(
        0, StoredRows(), PRIOR, plan_for(PARAMETERS), lambda *_: PRIOR, graves={"ada": Grave()}
    )

    assert GRAVES_FORMAT == fold.state.format


def test_requests_and_their_news_are_in_a_format_of_their_own(shop: Deployment) -> None:
    shop.tell(*LINKED)
    before = sum(len(log) for log in shop.logs)
    shop.tell(erase())

    news = [raw for log in shop.logs for raw in log if b'"type":"erase"' in raw]
    assert before < sum(len(log) for log in shop.logs)
    assert {5} == {orjson.loads(raw)["logFormat"] for raw in news}


#: What is said of somebody, with what they do meanwhile.
WORDS: dict[str, tuple[bytes, ...]] = {
    "lifted, and never suppressed": (*ALONE, erase(60, UNSUPPRESS), page(61, user="ada")),
    "nobody is known": (erase(60, UNSUPPRESS), page(61, user="ada")),
    "suppressed, then lifted": (
        *ALONE,
        erase(60, SUPPRESS),
        page(61, user="ada"),
        erase(62, UNSUPPRESS),
        page(63, user="ada"),
        page(61.5, user="ada"),
    ),
    "lifted again": (
        *ALONE,
        erase(60, SUPPRESS),
        erase(62, UNSUPPRESS),
        page(63, user="ada"),
        erase(61, UNSUPPRESS),
        erase(64, UNSUPPRESS),
        page(65, user="ada"),
    ),
    "suppressed twice": (
        *ALONE,
        erase(60, SUPPRESS),
        page(61, user="ada"),
        erase(62, UNSUPPRESS),
        page(63, user="ada"),
        erase(64, SUPPRESS),
        page(65, user="ada"),
        erase(66, UNSUPPRESS),
        page(67, user="ada"),
    ),
    "named while suppressed": (
        *ALONE,
        logged_in(7),
        erase(60, SUPPRESS),
        logged_in(61),
        erase(62, UNSUPPRESS),
        logged_in(63),
        page(64, visitor="anon-1"),
    ),
}


class _Worker:
    """The only worker of a partition, which writes graves before rows."""

    def __init__(
        self, rows: dict[str, bytes], graves: dict[str, Grave], state: PartitionState
    ) -> None:
        self.rows, self.graves = StoredRows(rows), dict(graves)
        self._fold = Partition(
            0, self.rows, PRIOR, plan_for(LINKING), lambda *_: PRIOR, state, self.graves
        )

    def fold(self, log: list[bytes], begin: int, end: int) -> PartitionState:
        for offset in range(begin, end):
            self._fold.apply(offset, decode_log_line(log[offset]))
        return decode_state(encode_state(self._fold.state))


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_a_grave_that_was_written_before_its_row_changes_nothing(words: tuple[bytes, ...]) -> None:
    shop = Deployment(1)
    shop.tell(*words)
    log, end = shop.logs[0], len(shop.logs[0])
    whole = _Worker({}, {}, PartitionState())
    whole.fold(log, 0, end)

    for saved in range(end):
        first = _Worker({}, {}, PartitionState())
        state = first.fold(log, 0, saved)
        rows = dict(first.rows.stored)
        for died in range(saved + 1, end + 1):
            first.fold(log, died - 1, died)
            graves = first.graves
            # Recovery removes the rows of whoever is in one of them.
            left = {
                id_: row
                for id_, row in rows.items()
                if id_ not in graves or place_of(row).applied >= graves[id_].erased
            }
            heir = _Worker(left, graves, decode_state(encode_state(state)))
            heir.fold(log, saved, end)

            assert whole.graves == heir.graves, (saved, died)
            assert whole.rows.stored == heir.rows.stored, (saved, died)


def test_a_grave_says_what_it_was_before_a_suppression_was_lifted() -> None:
    shop = Deployment(1)
    shop.tell(*ALONE, erase(60, SUPPRESS))
    before = shop.grave("ada")
    shop.tell(erase(62, UNSUPPRESS))
    lifted = shop.grave("ada")

    assert before is not None
    assert lifted is not None
    assert lifted == decode_grave(encode_grave(lifted))
    assert lifted.before(before.erased) == lifted.before(lifted.lifted + 1) == lifted
    met = lifted.before(lifted.lifted)
    assert (before.said_ms, before.is_suppressed) == (met.said_ms, met.is_suppressed)


def test_graves_are_the_bytes_that_they_were_until_a_suppression_is_lifted() -> None:
    plain = Grave(at_ms=1, said_ms=2, applied=4, erased=3)

    assert encode_grave(plain) == msgpack.encode((1, (1, 2, False, 4, 3)))


def test_a_grave_of_an_earlier_release_is_the_same_but_for_what_lifted_it() -> None:
    made = Grave(at_ms=1, said_ms=9, applied=4, erased=3, lifted=4, lifted_said_ms=2)
    earlier = encode_grave(Grave(at_ms=1, said_ms=9, applied=4, erased=3))

    assert is_same_grave(earlier, encode_grave(made))
    assert is_same_grave(encode_grave(made), encode_grave(made))
    assert not is_same_grave(encode_grave(made), earlier)
    assert not is_same_grave(earlier, encode_grave(replace(made, said_ms=8)))
    assert not is_same_grave(None, earlier)


def test_a_grave_is_small_and_says_nothing_of_who_it_was() -> None:
    latest = Grave(at_ms=2**42, said_ms=2**42, is_suppressed=True, applied=2**40, erased=2**40)

    assert latest == decode_grave(encode_grave(latest))
    assert len(encode_grave(latest)) <= 42


def test_ids_that_were_sent_home_are_nobody_s_by_then(shop: Deployment) -> None:
    shop.tell(*(logged_in(n, visitor=f"v-{n}") for n in range(40)))
    shop.tell(*(page(41, visitor=f"v-{n}") for n in range(40)))
    theirs = shop.people()["ada"]

    shop.tell(erase())

    assert theirs == {id_ for id_, _ in told(shop)}
    rows = [row for rows in shop.rows for row in rows.rows.values()]
    assert not any("ada" in row.read(IDENTITIES).claims for row in rows)


DAY = 60 * 24
#: Who did nothing for so long is erased.
FOR_A_YEAR = replace(LINKING, privacy=replace(LINKING.privacy, inactive=DurationMs(365 * DAY_MS)))


@pytest.fixture(params=[1, 4], ids="{0} partitions".format)
def strict(request: pytest.FixtureRequest) -> Deployment:
    return Deployment(request.param, FOR_A_YEAR)


def delivered(minutes: float, **who: str) -> bytes:
    """An event that the customer did not cause."""
    return said_by("Email Delivered", minute(minutes), **who)


def test_who_did_nothing_for_long_is_erased_with_all_their_ids(strict: Deployment) -> None:
    strict.tell(*LINKED, page(200 * DAY, user="zoe"), delivered(300 * DAY, user="ada"))

    strict.tick(minute(20 + 365 * DAY) - 1)
    assert {"ada", "anon-1", "zoe"} == known(strict)
    strict.tick(minute(20 + 365 * DAY))

    assert {"zoe"} == known(strict)
    assert {"ada", "anon-1"} == strict.erased().keys()
    # What comes now is of a new person, what is from before of nobody.
    strict.tell(page(366 * DAY, user="ada"), bought(20))
    assert {"zoe", "ada"} == known(strict)


def test_what_any_id_does_keeps_the_person(strict: Deployment) -> None:
    strict.tell(*LINKED, page(300 * DAY, visitor="anon-1"))
    strict.tick(minute(400 * DAY))
    assert {"ada", "anon-1"} == known(strict)

    strict.tick(minute(665 * DAY))

    assert set() == known(strict)


def test_who_never_did_anything_is_watched_from_what_happened_first(strict: Deployment) -> None:
    strict.tell(*(delivered(day * DAY, user="ada") for day in range(0, 360, 30)))
    strict.tick(minute(364 * DAY))
    assert {"ada"} == known(strict)

    strict.tick(minute(365 * DAY))

    assert set() == known(strict)


def test_an_id_that_left_is_asked_again(strict: Deployment) -> None:
    strict.tell(*LINKED, page(300 * DAY, user="ada"), split(301 * DAY))
    for day in (400, 500, 665):
        strict.tick(minute(day * DAY))
    strict.tick(minute(800 * DAY))

    assert set() == known(strict)


def test_many_at_once_are_erased_one_after_the_other(strict: Deployment) -> None:
    users = [f"u-{number}" for number in range(30)]
    for number, user in enumerate(users):
        strict.tell(*(logged_in(n, user, f"v-{number}-{n}") for n in range(4)))
        strict.tell(*(page(9, visitor=f"v-{number}-{n}") for n in range(4)))

    for day in range(400, 440):
        strict.tick(minute(day * DAY))

    assert set() == known(strict)
    assert 30 * 5 == len(strict.erased())


def test_a_crash_while_they_are_erased_changes_nothing(strict: Deployment) -> None:
    strict.tell(*MERGED)
    for number in range(len(strict.logs)):
        strict.save(number)
    strict.tick(minute(400 * DAY))
    before = strict.erased()
    for number in range(len(strict.logs)):
        strict.die(number)

    strict.settle()

    assert before == strict.erased()
    assert set() == known(strict)


def test_nobody_is_erased_for_silence_unless_it_is_said(shop: Deployment) -> None:
    shop.tell(*LINKED)
    shop.tick(minute(5_000 * DAY))

    assert {"ada", "anon-1"} == known(shop)


#: What is said of an id that then does nothing by itself.
NAMED: dict[str, tuple[bytes, ...]] = {
    "named": (logged_in(7),),
    "shared": (page(5, visitor="anon-1"), logged_in(7), logged_in(8, user="zoe")),
}


@pytest.mark.parametrize("said", NAMED.values(), ids=NAMED)
def test_an_id_that_others_named_is_not_silent_by_itself(
    strict: Deployment, said: tuple[bytes, ...]
) -> None:
    strict.tell(*said)
    strict.tick(minute(30))
    strict.tick(minute(2 * DAY))

    assert not strict.erased()
    assert (
        "ada" == identities(strict, "anon-1").person or "ada" in identities(strict, "anon-1").claims
    )
    strict.tick(minute(20 + 800 * DAY))
    strict.tick(minute(20 + 900 * DAY))
    assert {"ada", "anon-1"} <= strict.erased().keys()


@pytest.mark.parametrize("value", ["1d", "89d", "-1d", "soon"])
def test_a_time_that_is_too_short_is_refused(value: str) -> None:
    with pytest.raises(ParameterError, match="privacy.inactive"):
        load_parameters(assignments=[f"privacy.inactive={value}"])


#: Sums of what happened, and not of what a row says: they stay.
HAPPENED = {
    *(("lifecycle", "left"), ("risk", "left"), ("risk", "stayed"), ("calendar", "reached")),
    *(("funnel", step) for step in ("viewed", "added", "checkout", "payment", "ordered")),
    *(("satisfaction", kind) for kind in ("nps", "csat", "ces")),
}


def counted(shop: Deployment) -> set[tuple[str, str]]:
    """The sums over all customers of what their rows say: the part and the key."""
    found = {(part, key) for part, key, _ in shop.sums()}
    return {one for one in found if (one[0], one[1].split(":")[0]) not in HAPPENED}


def a_dear_customer() -> list[bytes]:
    """Who bought as a visitor and as a user, with points, a tier, an answer to a survey, and a word
    on consent.
    """
    dear = {"revenue": 500.0, "discount": 5.0}
    hour = 60
    return [
        page(0, visitor="anon-1"),
        logged_in(1, visitor="anon-1"),
        said_by("Consent Granted", minute(2), user="ada", purpose="analytics"),
        said_by("Order Completed", minute(3), visitor="anon-1", order_id="o-1", **dear),
        said_by("Survey Responded", minute(4), user="ada", kind="nps", score=10),
        said_by("Order Completed", minute(26 * hour), user="ada", order_id="o-2", **dear),
    ]


@pytest.mark.parametrize("refused", [False, True], ids=["counted", "who refused to be"])
@pytest.mark.parametrize("who", [{"user": "ada"}, {"visitor": "anon-1"}])
def test_nobody_counts_among_customers_once_they_are_erased(
    who: dict[str, str], *, refused: bool, shop: Deployment
) -> None:
    days = 24 * 60
    shop.tell(*a_dear_customer())
    shop.tick(minute(20 * days))
    assert {"tiers", "lifecycle", "loyalty", "prices"} <= {part for part, _ in counted(shop)}
    if refused:
        shop.tell(said_by("Consent Revoked", minute(21 * days), user="ada", purpose="analytics"))

    shop.tell(erase(22 * days, **who))

    assert set() == counted(shop)


def test_who_is_erased_for_doing_nothing_counts_no_more_either() -> None:
    shop = Deployment(2, FOR_A_YEAR)
    shop.tell(*a_dear_customer())
    shop.tick(minute(0) + 450 * DAY_MS)

    assert set() == known(shop)
    assert set() == counted(shop)
