"""What requests to the web port cost other work on the same event loop, without a broker.

    python -m tests.benchmarks.shared_loop [KIND ...]

The port and the clients are real; the clients run in a process of their own. The work is CPU burnt
in small steps. The price is the CPU of one step with clients that hammer, divided by that without.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from time import process_time, thread_time

from aiohttp import web

from agents.ration import SAVED_MAX_S, WebTime
from agents.web.server import ListenAddress, LiveCustomers, Readiness, listening, routes
from streams.metrics import Metrics
from streams.timed_loop import run_timed
from tests.benchmarks.hammer import KINDS
from tests.benchmarks.web_port import Hammerers

STEP_S = 0.003
#: Windows are counted in steps, so that each has the same work however busy the machine is.
WINDOW_STEPS, SETTLED_STEPS = 120, 30


def burn(seconds: float) -> None:
    """Use this much CPU."""
    until_s = thread_time() + seconds
    while thread_time() < until_s:
        pass


@asynccontextmanager
async def folding() -> AsyncIterator[list[int]]:
    """Endless work; yields the number of steps done."""
    done = [0]

    async def fold() -> None:
        while True:
            burn(STEP_S)
            done[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(fold())
    try:
        yield done
    finally:
        task.cancel()


async def cpu_a_step(done: list[int], steps: int = WINDOW_STEPS) -> float:
    """CPU of this process per step, over this many steps."""
    before, begun_s = done[0], process_time()
    while done[0] < before + steps:  # noqa: ASYNC110 - the work is not to tell anybody
        await asyncio.sleep(STEP_S)
    return (process_time() - begun_s) / (done[0] - before)


async def price(kind: str, *, is_rationed: bool = True) -> tuple[float, int]:
    """The cost of a step while clients hammer, relative to the time between; and their answers."""
    time = WebTime(lambda: True)
    live = LiveCustomers(lambda _: b"{}" * 4_000, listed=_listed)
    site = routes(Metrics(), Readiness(list), live, lambda: None, time)
    place = ListenAddress("the port", "127.0.0.1", 0, "HOST", "PORT", 64)
    async with listening(site, place, time if is_rationed else None) as port:
        hammerers = await asyncio.to_thread(Hammerers, port, kind)
        try:
            quiet, hammered, answers = [], [], 0
            async with folding() as done:
                for _ in range(3):
                    quiet.append(await cpu_a_step(done))
                    # Use up the saved ration.
                    for ration in (time.connections, time.health, time.answers):
                        ration.charge(SAVED_MAX_S)
                    hammerers.begin()
                    await cpu_a_step(done, SETTLED_STEPS)
                    hammered.append(await cpu_a_step(done))
                    answers += await asyncio.to_thread(hammerers.end)
                    await cpu_a_step(done, SETTLED_STEPS)
            return median(hammered) / median(quiet), answers
        finally:
            hammerers.close()


async def _listed(_: object) -> web.Response:
    return web.Response(body=b"{}" * 4_000)


if __name__ == "__main__":
    for name in sys.argv[1:] or KINDS:
        for rationed in (True, False):
            found, served = run_timed(price(name, is_rationed=rationed))
            how = "rationed" if rationed else "not rationed"
            print(f"{name}, {how}: {found:.2f} times the CPU a step, {served:,} answers")
