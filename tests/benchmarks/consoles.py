"""What open consoles cost a worker, and how large and fast the console's pages are.

    python -m tests.benchmarks.consoles [--consoles 10] [--seconds 30] [--customers 300]

A worker has folded a shop and is idle. Windows with all consoles closed and with all of them open
take turns. Each open console is a browser's live page, whose stream stays open, and a user who
opens another page every ten seconds. Their cost is the difference in the worker's CPU over time, as
a share of a core.
"""

import argparse
import asyncio
import re
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter

import aiohttp
import psutil

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.console import TOKENS, ConsoleProcess, standing_shop

PAGES = (
    "/",
    "/customers",
    "/segments",
    "/rules",
    "/model",
    "/shop",
    "/pipeline",
    "/pipeline/event",
)
#: Each user opens a page this often.
OPENED_EVERY_S = 10.0
WINDOWS, LOADS = 3, 9


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def logged_in(console: ConsoleProcess) -> aiohttp.ClientSession:
    client = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with client.post(f"{console.url}/login", data={"token": TOKENS["vera"]}) as answer:
        answer.raise_for_status()
    return client


async def look_on(console: ConsoleProcess, number: int, customer: str) -> None:
    """An open live page, and a user who goes from page to page, until cancelled."""
    async with await logged_in(console) as client:

        async def listen() -> None:
            while True:
                async with client.get(console.url) as answer:
                    page = await answer.text()
                found = re.search(r'data-stream="([^"]+)"', page)
                assert found is not None
                address = found[1].replace("&amp;", "&")
                async with client.get(console.url + address) as stream:
                    async for _ in stream.content:
                        pass

        listening = asyncio.create_task(listen())
        try:
            await asyncio.sleep(number)
            for path in cycle((*PAGES, customer)):
                async with client.get(console.url + path) as answer:
                    await answer.read()
                await asyncio.sleep(OPENED_EVERY_S)
        finally:
            listening.cancel()


async def window(
    console: ConsoleProcess, pid: int, consoles: int, seconds: float, customer: str
) -> float:
    """The worker's share of a core while this many consoles are open."""
    tasks = [asyncio.create_task(look_on(console, number, customer)) for number in range(consoles)]
    # By then all have logged in and opened their page.
    await asyncio.sleep(2.0)
    before_s, begun_s = cpu_s(pid), monotonic()
    await asyncio.sleep(seconds)
    share = (cpu_s(pid) - before_s) / (monotonic() - begun_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return share


async def weigh(console: ConsoleProcess, customer: str) -> None:
    """Print for each page its bytes, with everything that it loads, and its time."""
    async with await logged_in(console) as client:
        print(f"{'page':34}{'KB':>8}{'median ms':>11}")
        for path in (*PAGES, customer):
            times_s, size = [], 0
            for _ in range(LOADS):
                begun_s = perf_counter()
                async with client.get(console.url + path) as answer:
                    page = await answer.text()
                assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
                bodies = await asyncio.gather(*(_read(client, console.url + one) for one in assets))
                times_s.append(perf_counter() - begun_s)
                size = len(page.encode()) + sum(map(len, bodies))
            name = "a customer" if path == customer else path
            print(f"{name:34}{size / 1_000:8.1f}{median(times_s) * 1_000:11.1f}")


async def _read(client: aiohttp.ClientSession, url: str) -> bytes:
    async with client.get(url) as answer:
        return await answer.read()


async def customer_page(console: ConsoleProcess, customer: str) -> str:
    """The address of a customer's page; valid as long as this console runs."""
    async with await logged_in(console) as client:
        async with client.get(f"{console.url}/customers") as answer:
            found = re.search(r'name="form_token" value="([^"]+)"', await answer.text())
        assert found is not None
        form = {"form_token": found[1], "customer": customer}
        async with client.post(f"{console.url}/customers/find", data=form) as answer:
            return answer.url.path


async def measure(
    console: ConsoleProcess, pid: int, who: str, *, consoles: int, seconds: float
) -> None:
    customer = await customer_page(console, who)
    await weigh(console, customer)
    silent, open_ones, console_shares = [], [], []
    console_pid = console.process.pid
    assert console_pid is not None
    for _ in range(WINDOWS):
        silent.append(await window(console, pid, 0, seconds, customer))
        before_s, begun_s = cpu_s(console_pid), monotonic()
        open_ones.append(await window(console, pid, consoles, seconds, customer))
        console_shares.append((cpu_s(console_pid) - before_s) / (monotonic() - begun_s))
    cost = median(open_ones) - median(silent)
    print(f"worker, nobody looks:   {median(silent):7.2%} of a core")
    print(f"worker, {consoles} consoles:    {median(open_ones):7.2%} of a core")
    print(f"they cost the worker:   {cost:7.2%} of a core")
    print(f"the console itself:     {median(console_shares):7.2%} of a core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consoles", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--customers", type=int, default=300)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="consoles-") as name:
        folder = Path(name)
        with (
            EmbeddedKafka(folder / "kafka") as kafka,
            EmbeddedValkey(folder / "valkey") as valkey,
            standing_shop(
                kafka.bootstrap_servers, valkey.url, folder, customers=given.customers, days=60
            ) as stand,
        ):
            pid = stand.deployment.workers[0].process.pid
            assert pid is not None
            print(f"{given.customers} customers, load {psutil.getloadavg()[0]:.1f}")
            asyncio.run(
                measure(
                    stand.console,
                    pid,
                    stand.contested.user_id,
                    consoles=given.consoles,
                    seconds=given.seconds,
                )
            )


if __name__ == "__main__":
    main()
