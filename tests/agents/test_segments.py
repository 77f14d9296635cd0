"""Segments over the partitions of several workers: over HTTP, and in a terminal."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import aiohttp
import orjson
import pytest
from typer.testing import CliRunner, Result

from agents.cli import app
from tests.agents.test_customer_lists import CUSTOMERS, SETTINGS, Worker, told

#: Everybody has bought once, five days ago.
NEW = "new-customers"


def asked(*paths: str, numbers: tuple[tuple[int, ...], ...] = ((0, 1), (2, 3))) -> Any:
    """The answer of the first of several workers."""

    async def ask() -> list[tuple[int, Any]]:
        async with AsyncExitStack() as stack:
            workers = [Worker(*one) for one in numbers]
            for one in workers:
                await stack.enter_async_context(one.serving())
            told(*workers)
            session = await stack.enter_async_context(
                aiohttp.ClientSession(headers=SETTINGS.web_headers)
            )
            replies = []
            for path in paths:
                async with session.get(f"{workers[0].owners.url}{path}") as reply:
                    replies.append((reply.status, orjson.loads(await reply.read())))
            return replies

    return asyncio.run(ask())


@contextmanager
def serving() -> Iterator[str]:
    """Workers that together have all customers, beside the test, and the address of one of them."""
    begun: Future[str] = Future()
    ended = Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            workers = Worker(0, 2), Worker(1, 3)
            for one in workers:
                await stack.enter_async_context(one.serving())
            told(*workers)
            begun.set_result(str(workers[1].owners.url))
            await asyncio.to_thread(ended.wait)

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield begun.result(timeout=30)
    finally:
        ended.set()
        thread.join()


def in_a_terminal(*arguments: str) -> Result:
    """A command of the group, sent to these workers."""
    with serving() as url:
        runner = CliRunner(env={"KEEPSTREAM_WEB_TOKEN": SETTINGS.web_token})
        return runner.invoke(app, ["segments", *arguments, "--url", url])


def test_members_are_counted_over_all_workers() -> None:
    [(status, said)] = asked("/segments")

    assert 200 == status
    members = {one["name"]: one["members"] for one in said["segments"]}
    assert {NEW: 40, "loyal": 0, "vip-slipping": 0, "lapsed": 0} == members
    [new] = [one for one in said["segments"] if one["name"] == NEW]
    assert (0, 40, 40) == (new["enteredDay"], new["enteredWeek"], new["enteredFourWeeks"])
    exact = {one["name"] for one in said["segments"] if one["isExact"]}
    assert members.keys() - {"vip-slipping"} == exact
    assert 4 == len(said["partitions"])


def test_without_a_partition_members_are_not_counted() -> None:
    [(status, said)] = asked("/segments", numbers=((0, 1), (2,)))

    assert 503 == status
    assert "partition 3 is missing" in said["message"]


def test_members_are_listed_page_by_page() -> None:
    found, cursor = [], ""
    for _ in range(3):
        [(status, said)] = asked(f"/segments/{NEW}?by=net_365d&top=15&cursor={cursor}")
        assert 200 == status
        assert 40 == said["matched"]
        found += [one["userId"] for one in said["customers"]]
        cursor = said["next"]

    assert CUSTOMERS[::-1] == found
    assert cursor is None


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/segments/new-customer", 404, "did you mean new-customers?"),
        ("/segments/kings", 404, "there are new-customers, loyal"),
        (f"/segments/{NEW}?where=orders>1", 400, "ask /customers"),
        (f"/segments/{NEW}?top=0", 400, "top is a whole number"),
        ('/customers?where="new-customer" in segments', 400, "did you mean new-customers?"),
        ("/customers?where=segments in (1,)", 400, "segments"),
        ("/customers?where=segments == 'x'", 400, "a list of names"),
        ("/customers?by_segment=perhaps", 400, "by_segment is true or false"),
    ],
)
def test_what_cannot_be_asked_is_said(path: str, status: int, words: str) -> None:
    [(found, said)] = asked(path)

    assert (status, True) == (found, words in said["message"]), said


def test_a_list_says_in_which_segments_its_customers_are() -> None:
    [(_, said)] = asked("/customers?where=net_365d>=200 and 'lapsed' not in segments&by_segment=1")

    counts = [one["bySegment"].get(NEW, {"members": 0})["members"] for one in said["partitions"]]
    assert 20 == sum(counts) == said["matched"]


def test_a_terminal_lists_segments_and_their_members() -> None:
    result = in_a_terminal("list")
    assert 0 == result.exit_code, result.output
    assert [NEW, "40", "+40", "in", "7", "days", "orders"] == result.output.split()[:7]
    assert "(up to 7 days late)" in result.output

    result = in_a_terminal("show", NEW, "--by", "net_365d", "--top", "2")
    assert 0 == result.exit_code, result.output
    assert "c-39" in result.output
    assert "40 of 40 customers match" in result.output

    result = in_a_terminal("show", "new")
    assert 2 == result.exit_code
    assert "there is no segment 'new'" in result.output


def test_a_terminal_says_what_another_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        """\
segments:
  - name: new-customers
    version: 2
    when: orders == 1 and silent_days < 30 and net_365d < 100
  - name: big
    version: 1
    when: net_365d >= 350
"""
    )

    result = in_a_terminal("diff", str(file))

    assert 1 == result.exit_code, result.output
    for line in (
        "changed: new-customers: was orders == 1 and silent_days < 30",
        "new: big: net_365d >= 350",
        "gone: lapsed",
        "new-customers: 0 would enter, 30 would leave",
        "big: 5 would enter, 0 would leave",
    ):
        assert line in result.output
