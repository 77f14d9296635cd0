"""Lists over the partitions of several workers, requested from any of them, without a broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest

import agents.customer_lists
from agents.customer_lists import CustomerLists
from agents.ration import LOOK_S, Ration, WebTime
from agents.web.lists import answer
from agents.web.segments import SegmentAnswers
from agents.web.server import LiveCustomers, Readiness, routes, serving
from config.settings import load_settings
from models.admission import decode_event
from models.customer.row import encode_row
from models.customer_list import CustomerList, question
from models.engine import Fate
from models.events.times import iso
from models.partition import Partition, PartitionState
from models.plan import plan_for
from streams.customers_table import CustomerRows
from streams.kafka_clients import partition_for
from streams.metrics import Metrics
from streams.owned_partitions import OwnedPartition, OwnedPartitions
from streams.partition_owners import PartitionOwners
from streams.snapshot_store import SnapshotStore
from tests.models.lines import PARAMETERS, PRIOR, at, happened, line, lived

PARTITIONS = 4
#: Workers want the token of each other, too.
SETTINGS = load_settings({}, partitions=PARTITIONS, web_port=0, web_token="0123456789-abcdef")
PLAN = plan_for(PARAMETERS)
CLOCK_MS = at(5)
CUSTOMERS = [f"c-{number:02d}" for number in range(40)]


def packed(spent: float) -> bytes:
    order = happened("Order Completed", at(), order_id="o-1", revenue=spent)
    return encode_row(lived([order]))


ROWS = {customer: packed(10.0 * number) for number, customer in enumerate(CUSTOMERS)}
NUMBERS = {customer: partition_for(customer.encode(), PARTITIONS) for customer in CUSTOMERS}


def opened(number: int, clock_ms: int = CLOCK_MS) -> OwnedPartition:
    rows = CustomerRows({c: row for c, row in ROWS.items() if NUMBERS[c] == number})
    state = PartitionState(applied=7, clock_ms=clock_ms, latest_ms=clock_ms)
    fold = Partition(number, rows, PRIOR, PLAN, lambda *_: PRIOR, state)
    return OwnedPartition(fold, rows)


class Worker:
    """A worker's side of lists: its partitions and its address."""

    def __init__(self, *numbers: int, ration: Ration | None = None) -> None:
        snapshots = SnapshotStore(SETTINGS, PRIOR)
        self.partitions = OwnedPartitions(snapshots, SETTINGS, PLAN, Metrics())
        self.partitions._owned = {number: opened(number) for number in numbers}
        self.numbers = numbers
        self.owners = PartitionOwners("customer-events")
        self.away: str | None = None
        self.lists = CustomerLists(
            self.partitions,
            self.owners,
            PARTITIONS,
            away=lambda: self.away,
            ration=ration,
            headers=SETTINGS.web_headers,
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        live = LiveCustomers(
            lambda _: None,
            listed=lambda query: answer(query, self.lists, PARAMETERS),
            segments=SegmentAnswers(self.lists, PLAN),
        )
        site = routes(Metrics(), Readiness(list), live, lambda: None)
        async with serving(site, SETTINGS) as port:
            self.owners.url = f"http://127.0.0.1:{port}"
            yield


def told(*workers: Worker, gone: Worker | None = None) -> None:
    """What every worker knows about the owners; ``gone``: one that is in the group, but has
    ended.
    """
    owners = {one.owners.url: list(one.numbers) for one in workers}
    if gone is not None:
        # A port that nobody listens on.
        owners["http://127.0.0.1:9"] = list(gone.numbers)
    for one in workers:
        one.owners.learn(owners)


Reply = tuple[int, dict[str, Any]]


def asked(*queries: dict[str, str], of: Worker, beside: tuple[Worker, ...] = (), **how: Any) -> Any:
    """The replies of the worker ``of`` to each query."""

    async def ask() -> list[Reply]:
        async with AsyncExitStack() as stack:
            for one in (of, *beside):
                await stack.enter_async_context(one.serving())
            told(of, *beside, **how)
            session = await stack.enter_async_context(
                aiohttp.ClientSession(headers=SETTINGS.web_headers)
            )
            replies = []
            for query in queries:
                async with session.get(f"{of.owners.url}/customers", params=query) as reply:
                    replies.append((reply.status, orjson.loads(await reply.read())))
            return replies

    return asyncio.run(ask())


def ids(reply: Reply) -> list[str]:
    return [one["userId"] for one in reply[1]["customers"]]


RICHEST = CUSTOMERS[::-1]


@pytest.mark.parametrize("numbers", [[(0, 1, 2, 3)], [(0, 1), (2, 3)], [(3,), (0,), (1, 2)]])
def test_any_worker_lists_the_customers_of_all(numbers: list[tuple[int, ...]]) -> None:
    for place in range(len(numbers)):
        workers = [Worker(*one) for one in numbers]
        first = workers.pop(place)
        query = {"where": "net_365d > 95", "by": "net_365d", "top": "7", "show": "orders"}
        [(status, said)] = asked(query, of=first, beside=tuple(workers))

        assert 200 == status
        assert [
            {"userId": customer, "by": 10.0 * n, "facts": {"net_365d": 10.0 * n, "orders": 1.0}}
            for n, customer in reversed(list(enumerate(CUSTOMERS))[-7:])
        ] == said["customers"]
        assert 30 == said["matched"]
        assert [] == said["unanswered"]
        assert [
            (number, iso(CLOCK_MS), 0, list(NUMBERS.values()).count(number)) for number in range(4)
        ] == [
            (one["partition"], one["asOf"], one["modelVersion"], one["customers"])
            for one in said["partitions"]
        ]


def test_pages_follow_each_other_whichever_worker_is_asked() -> None:
    first, second = Worker(0, 1), Worker(2, 3)
    seen: list[str] = []
    query = {"by": "net_365d", "top": "11"}
    for turn in range(4):
        of, beside = (first, second) if turn % 2 else (second, first)
        [reply] = asked(query, of=of, beside=(beside,))
        seen += ids(reply)
        assert 40 == reply[1]["matched"]
        assert (reply[1]["next"] is None) == (turn == 3)
        query["cursor"] = reply[1]["next"] or ""
    assert RICHEST == seen


@pytest.mark.parametrize("flag", ["true", "1"])
def test_partitions_that_do_not_answer_are_named(flag: str) -> None:
    here, gone = Worker(0, 2), Worker(1, 3)
    query = {"by": "net_365d", "top": "5"}
    (status, said), (partly, rest) = asked(query, {**query, "partial": flag}, of=here, gone=gone)

    assert (503, 200) == (status, partly)
    assert "partition 1, 3 are missing" in said["message"]
    assert [1, 3] == [one["partition"] for one in said["unanswered"]]
    assert "no answer from http://127.0.0.1:9" in said["unanswered"][0]["why"]
    assert said["customers"] == rest["customers"]
    assert [c for c in RICHEST if NUMBERS[c] in (0, 2)][:5] == [
        one["userId"] for one in rest["customers"]
    ]


def test_partitions_that_nobody_says_to_own_are_named() -> None:
    [(status, said)] = asked({}, of=Worker(0, 1, 2))
    assert 503 == status
    assert [{"partition": 3, "why": "no worker says that it owns it"}] == said["unanswered"]


def test_a_worker_that_joins_the_group_says_so() -> None:
    here, other = Worker(0, 1), Worker(2, 3)
    here.away = "joining"
    [(status, said)] = asked({}, of=here, beside=(other,))
    assert (503, ["joining"] * 4) == (status, [one["why"] for one in said["unanswered"]])


def test_a_partition_that_moved_meanwhile_is_missing_and_not_empty() -> None:
    """Its former owner is asked for it, and no longer has it."""
    here, other = Worker(0, 1), Worker(2, 3)
    other.partitions.forget([3])
    [(status, said)] = asked({"partial": "true"}, of=here, beside=(other,))

    assert 200 == status
    assert [3] == [one["partition"] for one in said["unanswered"]]
    assert [0, 1, 2] == [one["partition"] for one in said["partitions"]]


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (200, b"{"), (200, b"[]"), (307, b"{}"), (200, b'{"customers": []}')],
)
def test_an_answer_that_is_none_is_a_partition_that_is_missing(status: int, body: bytes) -> None:
    here, other = Worker(0, 1), Worker(2, 3)

    async def ask() -> Reply:
        async def broken(_: Any) -> Any:
            return aiohttp.web.Response(status=status, body=body, content_type="application/json")

        odd = routes(Metrics(), Readiness(list), LiveCustomers(lambda _: None), lambda: None)
        odd.router.add_get("/customers", broken)
        async with here.serving(), serving(odd, SETTINGS) as port:
            other.owners.url = f"http://127.0.0.1:{port}"
            told(here, other)
            async with (
                aiohttp.ClientSession(headers=SETTINGS.web_headers) as session,
                session.get(f"{here.owners.url}/customers") as reply,
            ):
                return reply.status, orjson.loads(await reply.read())

    found = asyncio.run(ask())
    assert (503, [2, 3]) == (found[0], [one["partition"] for one in found[1]["unanswered"]])


def test_an_answer_that_leaves_a_partition_out_is_not_taken_for_all() -> None:
    here, other = Worker(0, 1), Worker(2, 3)
    body = b'{"customers":[],"matched":0,"next":null,"partitions":[],"unanswered":[]}'

    async def ask() -> Any:
        async def empty(_: Any) -> Any:
            return aiohttp.web.Response(body=body, content_type="application/json")

        odd = routes(Metrics(), Readiness(list), LiveCustomers(lambda _: None), lambda: None)
        odd.router.add_get("/customers", empty)
        async with here.serving(), serving(odd, SETTINGS) as port:
            other.owners.url = f"http://127.0.0.1:{port}"
            told(here, other)
            return await here.lists.over_all(question(PARAMETERS), None, {})

    found = asyncio.run(ask())
    assert [2, 3] == [one.partition for one in found.unanswered]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"where": "net_365 > 1"}, "did you mean net_365d?"),
        ({"top": "ten"}, "top is a whole number, not 'ten'"),
        ({"top": "0"}, "top is a whole number from 1 to 1000"),
        ({"top": "-5"}, "top is a whole number, not '-5'"),
        ({"cursor": "x"}, "cursor: cannot be read"),
        ({"wher": "orders > 1"}, "'wher' is nothing to ask a list: did you mean where?"),
        ({"xyzzy": "1"}, "there are where, by, show"),
        ({"as_of": "yesterday"}, "as_of is a moment such as"),
        ({"as_of": "3500-01-01T00:00:00Z"}, "as_of is a moment such as"),
        ({"partial": "maybe"}, "partial is true or false"),
        ({"partitions": "0,x"}, "partitions is a whole number"),
        ({"partitions": "3,4"}, "partitions are from 0 to 3, not 4"),
    ],
)
def test_what_cannot_be_asked_is_a_bad_request(query: dict[str, str], message: str) -> None:
    [(status, said)] = asked(query, of=Worker(0, 1, 2, 3))
    assert 400 == status
    assert message in said["message"]


def test_a_list_may_be_of_a_later_time_and_of_none_before_the_clock() -> None:
    later, before = iso(at(300)), iso(at(4))
    query = {"by": "net_365d", "top": "1", "show": "silent_days"}
    past = {**query, "as_of": before}
    replies = asked(
        {**query, "as_of": later}, past, {**past, "partial": "true"}, of=Worker(0, 1, 2, 3)
    )
    (status, said), (refused, why), (partly, rest) = replies

    assert (200, 300.0) == (status, said["customers"][0]["facts"]["silent_days"])
    assert {later} == {one["asOf"] for one in said["partitions"]}
    # No repeat would be answered either.
    assert 400 == refused
    assert f"{iso(CLOCK_MS)} is reached: rows do not know what was before" in why["message"]
    assert 200 == partly
    assert f"it has reached {iso(CLOCK_MS)}" in rest["unanswered"][0]["why"]


def buys(worker: Worker, customer: str, at_ms: int, *, is_drained: bool) -> None:
    """Let the customer buy for 5,000 more: folded, and committed if the batch is at its end."""
    owned = worker.partitions.get(NUMBERS[customer])
    assert owned is not None
    said = {"order_id": "o-2", "revenue": 5_000}
    raw = line("Order Completed", at_ms, customer=customer, properties=said)
    applied = owned.fold.fold(
        owned.fold.state.applied + 1, decode_event(raw, message_id="none"), moves_clock=True
    )
    assert applied.fate is Fate.APPLIED
    if is_drained:
        for _ in owned.rows.drain():
            pass
        owned.settle()


def listed_while(worker: Worker, happens: Callable[[], None]) -> CustomerList:
    """The list of all customers by their spend; something happens while it reads partition 0."""
    owned = worker.partitions.get(0)
    assert owned is not None

    async def run() -> CustomerList:
        wanted = question(PARAMETERS, by="net_365d")
        making = asyncio.create_task(worker.lists.over_all(wanted, None, {}))
        while not owned.rows._frozen:  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(0)
        happens()
        return await making

    return asyncio.run(run())


@pytest.fixture
def no_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every customer a slice of its own."""
    monkeypatch.setattr(agents.customer_lists, "SLICE_S", -1.0)


@pytest.mark.usefixtures("no_slices")
def test_what_changes_meanwhile_is_not_in_the_list() -> None:
    worker = Worker(0, 1, 2, 3)
    told(worker)
    last = max(c for c in CUSTOMERS if NUMBERS[c] == 0)
    found = listed_while(worker, lambda: buys(worker, last, at(4), is_drained=True))

    assert RICHEST == [one.user_id for one in found.customers]
    assert {iso(CLOCK_MS)} == {one.as_of for one in found.partitions}
    again = listed_while(worker, lambda: None)
    assert last == again.customers[0].user_id


def test_a_batch_that_is_half_folded_is_not_in_the_list() -> None:
    """Neither are its rows, nor the time that its events have brought."""
    worker = Worker(0, 1, 2, 3)
    told(worker)
    buys(worker, CUSTOMERS[0], at(4), is_drained=False)
    buys(worker, CUSTOMERS[1], at(6), is_drained=False)
    found = asyncio.run(worker.lists.over_all(question(PARAMETERS, by="net_365d"), None, {}))

    assert RICHEST == [one.user_id for one in found.customers]
    assert {iso(CLOCK_MS)} == {one.as_of for one in found.partitions}


@pytest.mark.usefixtures("no_slices")
def test_a_list_leaves_the_event_loop_its_turns() -> None:
    worker = Worker(0, 1, 2, 3)
    told(worker)
    turns = 0

    async def run() -> None:
        nonlocal turns
        making = asyncio.create_task(worker.lists.over_all(question(PARAMETERS), None, {}))
        while not making.done():
            await asyncio.sleep(0)
            turns += 1

    asyncio.run(run())
    assert turns >= len(CUSTOMERS)


def test_a_list_of_few_customers_waits_for_its_share_of_time_as_well() -> None:
    """Otherwise a client that requests short lists without a pause would get all of a worker's
    time.
    """
    idle_s = 0.0
    time = WebTime(cpu_s=lambda: 0.0, waited_s=lambda: idle_s)
    worker = Worker(0, 1, 2, 3, ration=time.lists)
    told(worker)

    async def run() -> int:
        nonlocal idle_s
        time.lists.charge(1.0)
        making = asyncio.create_task(worker.lists.over_all(question(PARAMETERS), None, {}))
        _, is_waiting = await asyncio.wait([making], timeout=5 * LOOK_S)
        idle_s += 1.0
        await making
        return len(is_waiting)

    assert 1 == asyncio.run(run())


def test_a_list_that_takes_too_long_names_what_it_did_not_look_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agents.customer_lists, "SLICE_S", -1.0)
    monkeypatch.setattr(agents.customer_lists, "OWN_TIMEOUT_S", -1.0)
    [(status, said)] = asked({}, of=Worker(0, 1, 2, 3))

    assert (503, 4) == (status, len(said["unanswered"]))
    assert "took longer than" in said["unanswered"][0]["why"]


def test_lists_that_are_asked_at_once_are_made_one_after_the_other() -> None:
    """And two workers that ask each other do not wait for each other."""
    here, other = Worker(0, 1), Worker(2, 3)

    async def ask() -> list[int]:
        async with (
            here.serving(),
            other.serving(),
            aiohttp.ClientSession(headers=SETTINGS.web_headers) as session,
        ):
            told(here, other)

            async def status(of: Worker) -> int:
                async with session.get(f"{of.owners.url}/customers?by=clv") as reply:
                    return reply.status

            return await asyncio.gather(*(status(one) for one in (here, other) * 5))

    assert [200] * 10 == asyncio.run(ask())


def test_counts_are_of_the_customers_of_all_workers() -> None:
    query = {"count": "segment,rfm_recency*rfm_monetary", "by": "net_365d", "top": "1"}
    one, other = Worker(0, 1), Worker(2, 3)
    [(status, told)] = asked(query, of=one, beside=(other,))
    [(_, alone)] = asked(query, of=Worker(*range(PARTITIONS)))

    assert 200 == status
    assert told["counts"] == alone["counts"]
    assert len(CUSTOMERS) == sum(one["customers"] for one in told["counts"] if len(one["by"]) == 1)
    assert {"segment", "rfm_recency"} == {one["by"][0] for one in told["counts"]}
