"""A console whose broker, store or worker fails says so, and recovers by itself."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from agents.trials.demo.shop import ShopRecord
from config.duration import DAY_MS
from models.events.times import iso
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.console import Reader, Stand, running_browser, standing_shop
from tests.kafka.deployment import START_MS

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(600)]

DAYS = 20
PATIENCE_MS = 120_000
#: What a console that has nothing to do but to try again may take of a core.
IDLE_SHARE_MAX = 0.3
WATCHED_S = 5.0
PAGES = ("/", "/customers?where=orders+%3E+0", "/segments", "/rules", "/model", "/shop",
         "/pipeline", "/pipeline/event")  # fmt: skip


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        yield kafka


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "valkey") as valkey:
        yield valkey


@pytest.fixture
def stand(own_kafka: EmbeddedKafka, own_valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[Stand]:
    servers, url = own_kafka.bootstrap_servers, own_valkey.url
    with standing_shop(servers, url, tmp_path, customers=20, days=DAYS) as stand:
        yield stand


@pytest.fixture
def reader() -> Iterator[Reader]:
    with running_browser() as browser:
        reader = Reader(browser.new_context())
        reader.page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield reader
        expect.set_options(timeout=5_000)


def share_of_a_core(pid: int) -> float:
    """A process's share of a core while it gets no requests."""
    return float(psutil.Process(pid).cpu_percent(interval=WATCHED_S)) / 100


def test_what_goes_away_is_told_and_what_comes_back_is_heard_of(
    stand: Stand, own_kafka: EmbeddedKafka, own_valkey: EmbeddedValkey, reader: Reader
) -> None:
    console, page = stand.console, reader.page
    reader.log_in(console, "otto")
    expect(page.locator(".entry").first).to_be_visible()

    own_kafka.kill()
    # On the page that is open, which nobody reloads.
    expect(page.locator("#problem")).to_contain_text("Nothing new can be seen")
    each_page_has_a_heading(page, console.url)
    page.goto(f"{console.url}/pipeline")
    expect(page.get_by_text(own_kafka.bootstrap_servers).first).to_be_visible()
    pid = console.process.pid
    assert pid is not None
    assert share_of_a_core(pid) < IDLE_SHARE_MAX
    page.goto(f"{console.url}/")
    own_kafka.start()
    expect(page.locator("#problem")).to_be_hidden()

    worker = stand.deployment.workers[0]
    worker.stop(signal.SIGKILL)
    page.goto(f"{console.url}/shop")
    said_without_a_worker(page, console.url)
    # What Redis was told last is shown, and that it is that.
    shown = find(page, console.url, stand.contested.user_id)
    expect(shown).to_contain_text("this is what Redis was told last")
    own_valkey.kill()
    shown = find(page, console.url, stand.contested.user_id)
    expect(shown).to_contain_text("neither does Redis")
    each_page_has_a_heading(page, console.url)

    own_valkey.start()
    worker.start()
    stand.deployment.wait("the worker is back", worker.is_ready)
    page.goto(f"{console.url}/")
    answered = (
        '{"type":"track","event":"Survey Responded","messageId":"late","userId":"dora",'
        f'"timestamp":"{iso(START_MS + DAYS * DAY_MS + 3_600_000)}",'
        '"properties":{"survey_id":"s","kind":"nps","score":2,"scale_min":0,"scale_max":10}}'
    )
    stand.deployment.publish([ShopRecord("support", b"dora", answered.encode(), 0)])
    expect(page.locator(".entry").first).to_contain_text("dora", timeout=PATIENCE_MS)
    assert "Traceback" not in console.process.log_since_start()


def each_page_has_a_heading(page: Page, url: str) -> None:
    for path in PAGES:
        answer = page.goto(url + path)
        assert answer is not None
        assert 200 == answer.status, path
        expect(page.get_by_role("heading", level=1)).to_be_visible()


def said_without_a_worker(page: Page, url: str) -> None:
    page.goto(f"{url}/pipeline/event")
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_role("alert")).to_contain_text("No worker answers")
    page.goto(f"{url}/customers?where=orders+%3E+0")
    expect(page.get_by_role("alert")).to_contain_text("No worker answers")


def find(page: Page, url: str, customer: str) -> Locator:
    page.goto(f"{url}/customers")
    page.get_by_label("Id of a customer or visitor").fill(customer)
    page.get_by_role("button", name="Show", exact=True).click()
    return page.locator("main")
