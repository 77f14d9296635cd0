"""A console under test, and a browser that reads it as a user would."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy, which
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from agents.trials.demo.shop import ShopRecord
from config.duration import DAY_MS
from config.sources import hash_of
from config.topics import DECISION_LEDGER
from models.customer.contacts import TREATED
from models.decisions.gates import ANSWERS
from models.decisions.trigger import Decision, NextBestAction, decode_decision
from models.events.times import iso
from streams.embedded.ports import free_ports
from streams.embedded.process import (
    ServerProcess,
    killed_on_failure,
    stop_all,
    wait_until_ready,
)
from tests.kafka.deployment import PATIENT_MS, START_MS, Deployment, orderly_shop
from tests.kafka.worker import PRESENT, ROOT

TOKENS = {"vera": "token of a viewer", "otto": "token of an operator"}
READY_S = 60.0
STOP_S = 30.0
#: An event that is refused.
BAD = b'{"type": "track", "event": 7}'
#: Another one, which can be corrected: an order without an amount.
UNFINISHED = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "mel-1",
    "userId": "mel",
    "properties": {"order_id": "o-mel"},
}
#: The limit for all pictures of the docs together.
PICTURES_BYTES_MAX = 400_000
#: The limit for a page with everything that it loads.
PAGE_BYTES_MAX = 150_000
_WEIGHT = """["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((bytes, entry) => bytes + entry.decodedBodySize, 0)"""
#: Numbers and links of the menu that are broken into several lines.
_BROKEN = """[...document.querySelectorAll("nav a, td.right")].filter((one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1;
}).map((one) => one.textContent)"""
_RUN_AXE = """async () => (await axe.run()).violations.map(
    (one) => `${one.id}: ${one.nodes.map((node) => node.html).join("; ")}`)"""


class ConsoleProcess:
    """One `keepstream console` of a deployment with a worker; a viewer and an operator can log
    in.
    """

    def __init__(self, deployment: Deployment) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = ServerProcess("console", deployment.directory)
        people = {"vera": "viewer", "otto": "operator"}
        tokens = [f"{name}:{role}={hash_of(TOKENS[name])}" for name, role in people.items()]
        self._environment = {
            **deployment.environment,
            "KEEPSTREAM_CONSOLE_PORT": str(self.port),
            "KEEPSTREAM_CONSOLE_TOKENS": ",".join(tokens),
            "KEEPSTREAM_WEB_PORT": str(deployment.workers[0].port),
        }

    def start(self) -> None:
        command = [PRESENT.python, "-m", PRESENT.module, "console"]
        self.process.start(command, PRESENT.environment(self._environment))
        wait_until_ready([self.process], self.is_ready, READY_S)

    def is_ready(self) -> bool:
        """Whether it receives decisions."""
        try:
            with urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except URLError:
            return False

    def login_url(self, name: str) -> str:
        return f"{self.url}/login#{TOKENS[name].replace(' ', '%20')}"


class Stand(NamedTuple):
    """A shop with its console, and an interesting decision."""

    deployment: Deployment
    console: ConsoleProcess
    contested: NextBestAction


def contested(decisions: Iterable[Decision]) -> NextBestAction:
    """The latest decision with the most details: actions that it outranked or that gates
    rejected.
    """
    found = [
        one
        for one in decisions
        if isinstance(one, NextBestAction) and one.outranked and one.group == TREATED
    ]

    def most(one: NextBestAction) -> tuple[int, str]:
        return len([shut for shut in one.suppressed if shut.by != ANSWERS]), one.timestamp

    return max(found, key=most)


@contextmanager
def standing_shop(
    bootstrap_servers: str, redis_url: str, folder: Path, *, customers: int, days: int
) -> Iterator[Stand]:
    """A simulated shop that has been folded, with a dead letter, and a console that shows it."""
    with Deployment(
        bootstrap_servers, redis_url, f"{folder.name}.", folder, session_timeout_ms=PATIENT_MS
    ) as deployment:
        deployment.publish(orderly_shop(customers, days=days))
        deployment.publish([ShopRecord("clickstream", b"x", BAD, START_MS)])
        late = {**UNFINISHED, "timestamp": iso(START_MS + days * DAY_MS)}
        order = ShopRecord("transactions", b"mel", json.dumps(late).encode(), START_MS)
        deployment.publish([order])
        deployment.start_workers(1)
        deployment.wait("all is folded", deployment.is_drained)
        decisions = [decode_decision(value) for *_, value in deployment.read(DECISION_LEDGER)]
        with running_console(deployment) as console:
            yield Stand(deployment, console, contested(decisions))


@contextmanager
def running_console(deployment: Deployment) -> Iterator[ConsoleProcess]:
    console = ConsoleProcess(deployment)
    with killed_on_failure([console.process]):
        console.start()
    try:
        yield console
    finally:
        stop_all([console.process], STOP_S)


@contextmanager
def running_browser() -> Iterator[Browser]:
    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    assert chromium is not None, "install Chromium"
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, and containers run as root.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def axe_source(folder: Path) -> str:
    """axe-core, in the version of its lock file."""
    for path in (ROOT / "tests/kafka/axe").iterdir():
        copy(path, folder)
    npm = which("npm")
    assert npm is not None, "install Node.js 20 or newer with npm"
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


class Reader:
    """A user of the console: the page they are on, and everything it has loaded.

    Any error that the browser reports is an error of ours.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.urls: list[str] = []
        self.complaints: list[str] = []
        self.page.on("response", self._loaded)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )

    def _loaded(self, answer: Response) -> None:
        self.urls.append(answer.url)

    def log_in(self, console: ConsoleProcess, name: str) -> None:
        self.page.goto(console.login_url(name))
        self.page.wait_for_url(f"{console.url}/")

    def weight(self, url: str) -> int:
        """Bytes of a page with everything that it loads, without a cache."""
        self.page.goto(url, wait_until="load")
        return int(self.page.evaluate(_WEIGHT))

    def barriers(self, axe: str) -> list[str]:
        """The accessibility problems that axe finds on the page."""
        # Injected directly, because the page's own policy allows no foreign script.
        self.page.evaluate(axe)
        found: list[str] = self.page.evaluate(_RUN_AXE)
        return found

    def broken(self) -> list[str]:
        """Words and numbers that should be on one line, and are broken."""
        found: list[str] = self.page.evaluate(_BROKEN)
        return found

    def is_wider_than_the_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def take_pictures(stand: Stand, browser: Browser, folder: Path) -> None:
    """The pictures of docs/console.md."""
    context = browser.new_context(viewport={"width": 1040, "height": 600}, color_scheme="light")
    reader = Reader(context)
    reader.log_in(stand.console, "vera")
    page, contested = reader.page, stand.contested
    page.screenshot(path=folder / "live.png")
    page.goto(f"{stand.console.url}/decisions/{contested.id}")
    page.screenshot(path=folder / "receipt.png")
    page.get_by_role("link", name=contested.user_id).click()
    page.get_by_role("heading", name=contested.user_id).wait_for()
    page.screenshot(path=folder / "customer.png")
    page.goto(f"{stand.console.url}/shop")
    page.screenshot(path=folder / "shop.png")
    context.close()
