"""A new user's way through the console, in a real browser, on a real deployment."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from agents.trials.demo.shop import ShopRecord
from agents.words.decision_lines import words_of
from config.duration import DAY_MS
from models.events.times import iso
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.console import (
    BAD,
    PAGE_BYTES_MAX,
    PICTURES_BYTES_MAX,
    UNFINISHED,
    Reader,
    Stand,
    axe_source,
    running_browser,
    standing_shop,
    take_pictures,
)
from tests.kafka.deployment import START_MS
from tests.kafka.worker import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

DAYS = 60
CSS = (ROOT / "agents/console/static/console.css").read_bytes()
PAGES = (
    "/",
    "/customers",
    "/customers?where=orders+%3E+0&by=net_365d",
    "/segments",
    "/rules",
    "/model",
    "/shop",
    "/pipeline",
    "/pipeline/event",
)
#: Long enough for a busy machine; what is there at once is not waited for.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def stand(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("console")
    servers, url = kafka.bootstrap_servers, valkey.url
    with standing_shop(servers, url, folder, customers=25, days=DAYS) as stand:
        yield stand


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def reader(browser: Browser) -> Iterator[Reader]:
    context = browser.new_context()
    reader = Reader(context)
    reader.page.set_default_timeout(PATIENCE_MS)
    yield reader
    context.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_source(tmp_path_factory.mktemp("axe"))


def test_a_stranger_finds_why_somebody_got_this_and_not_that(stand: Stand, reader: Reader) -> None:
    decision, page = stand.contested, reader.page
    assert decision.action is not None
    reader.log_in(stand.console, "vera")
    page.get_by_role("link", name="Customers", exact=True).click()
    page.get_by_label("Id of a customer or visitor").fill(decision.user_id)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", name=decision.user_id)).to_be_visible()

    # Nothing more is there than what is remembered.
    shown = page.locator(".entry").count()
    page.get_by_role("link", name="Look in the whole ledger").click()
    expect(page.get_by_role("link", name="Look in the whole ledger")).to_have_count(0)
    assert shown == page.locator(".entry").count()

    page.locator(f"a[href='/decisions/{decision.id}']").click()

    title = f"{words_of(decision.action).capitalize()} by {decision.channel}"
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    chosen, *others = page.locator(".candidate").all()
    expect(chosen).to_contain_text("chosen: the highest priority")
    expect(chosen).to_contain_text(words_of(decision.action))
    assert [words_of(one.action) for one in decision.outranked] == [
        other.get_by_role("heading").inner_text() for other in others
    ]
    expect(page.get_by_role("region", name="Why not the others")).to_be_visible()
    expect(page.get_by_role("region", name="What came of it")).to_contain_text("Decided")
    # Whom all of it is of stands in no address, which browsers and proxies keep.
    assert [] == [url for url in reader.urls if decision.user_id in url]
    assert [] == reader.complaints


def test_what_is_decided_appears_by_itself(stand: Stand, reader: Reader) -> None:
    reader.log_in(stand.console, "vera")
    page = reader.page
    before = page.locator(".entry").count()
    answered = (
        '{"type":"track","event":"Survey Responded","messageId":"late","userId":"dora",'
        f'"timestamp":"{iso(START_MS + DAYS * DAY_MS + 3_600_000)}",'
        '"properties":{"survey_id":"s","kind":"nps","score":2,"scale_min":0,"scale_max":10}}'
    )
    stand.deployment.publish([ShopRecord("support", b"dora", answered.encode(), 0)])

    first = page.locator(".entry").first
    expect(first).to_contain_text("dora", timeout=PATIENCE_MS)
    expect(first).to_contain_text("low satisfaction")
    assert page.locator(".entry").count() > min(before, 99)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.nightly)])
def test_nothing_keeps_anybody_from_reading_it(
    scheme: Literal["light", "dark"], stand: Stand, browser: Browser, axe: str
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 740})
    reader = Reader(context)
    assert [] == opened(reader, f"{stand.console.url}/login", axe)
    reader.log_in(stand.console, "otto")
    for path in (*PAGES, f"/decisions/{stand.contested.id}"):
        assert [] == opened(reader, f"{stand.console.url}{path}", axe), path
    reader.page.get_by_role("link", name=stand.contested.user_id).click()
    expect(reader.page.get_by_role("heading", name=stand.contested.user_id)).to_be_visible()
    assert [] == reader.barriers(axe)
    assert not reader.is_wider_than_the_screen()
    # What an event would do, of an event that is refused and of one that is not.
    reader.page.goto(f"{stand.console.url}/pipeline")
    reader.page.get_by_text("an order has an amount").first.click()
    reader.page.get_by_role("link", name="Mend it").click()
    for text in (reader.page.get_by_label("As JSON").input_value(), mended()):
        reader.page.get_by_label("As JSON").fill(text)
        reader.page.get_by_role("button", name="See what it would do").click()
        expect(reader.page.get_by_role("heading", name="1. Is it taken?")).to_be_visible()
        assert [] == reader.barriers(axe)
        assert not reader.is_wider_than_the_screen()
    context.close()


def mended() -> str:
    properties = {"order_id": "o-mel", "revenue": 80.0}
    timestamp = iso(START_MS + DAYS * DAY_MS)
    return json.dumps({**UNFINISHED, "timestamp": timestamp, "properties": properties})


def opened(reader: Reader, url: str, axe: str) -> list[str]:
    reader.page.goto(url)
    found = [*reader.barriers(axe), *reader.broken()]
    return [*found, *(["it is wider than a phone"] if reader.is_wider_than_the_screen() else [])]


def test_pages_are_light(stand: Stand, reader: Reader) -> None:
    reader.log_in(stand.console, "vera")

    weights = {path: reader.weight(f"{stand.console.url}{path}") for path in PAGES}

    assert {} == {path: size for path, size in weights.items() if size > PAGE_BYTES_MAX}
    # All of each was counted.
    assert min(weights.values()) > len(CSS)


def test_the_keyboard_is_enough(stand: Stand, reader: Reader) -> None:
    reader.log_in(stand.console, "vera")
    page = reader.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.locator(".entry .open").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/decisions/*")


def test_a_list_is_made_of_a_condition_and_taken_along(stand: Stand, reader: Reader) -> None:
    reader.log_in(stand.console, "vera")
    page = reader.page
    page.goto(f"{stand.console.url}/customers")
    page.get_by_label("Those for whom this holds").fill("orders >= 1")
    page.get_by_label("The highest first by").fill("net_365d")
    page.get_by_role("button", name="List", exact=True).click()
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert "customer,net_365d,orders" == lines[0]
    assert rows.count() == len(lines) - 1

    page.get_by_label("Those for whom this holds").fill("ordres >= 1")
    page.get_by_role("button", name="List", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("did you mean orders")


def test_the_shop_is_shown_and_each_count_leads_to_its_customers(
    stand: Stand, reader: Reader
) -> None:
    reader.log_in(stand.console, "vera")
    page = reader.page
    page.get_by_role("link", name="Shop", exact=True).click()
    expect(page.get_by_role("heading", name="RFM map")).to_be_visible()
    segments = page.get_by_role("region", name="segment", exact=True)
    kind = segments.get_by_role("listitem").first
    count = kind.locator(".number").first.inner_text().split()[0]
    kind.get_by_role("link").click()
    expect(page.get_by_role("heading", name=f"{count} of ")).to_be_visible()
    assert [] == reader.complaints


def test_an_event_is_tried_and_a_dead_letter_mended(stand: Stand, browser: Browser) -> None:
    for name in ("vera", "otto"):
        context = browser.new_context()
        reader = Reader(context)
        page = reader.page
        page.set_default_timeout(PATIENCE_MS)
        reader.log_in(stand.console, name)
        page.goto(f"{stand.console.url}/pipeline")
        page.get_by_text("an order has an amount").first.click()
        page.get_by_role("link", name="Mend it" if name == "otto" else "See what it").click()
        expect(page.get_by_text("required_missing")).to_be_visible()
        page.get_by_label("As JSON").fill(mended())
        page.get_by_role("button", name="See what it would do").click()
        expect(page.get_by_text("It counts.")).to_be_visible()
        expect(page.get_by_role("region", name="What changes, in words")).to_contain_text("80.00")
        expect(page.get_by_role("button", name="Put it back")).to_have_count(int(name == "otto"))
        # It was tried, and nothing came of it.
        assert stand.deployment.live_customer("mel") is None
        if name == "otto":
            page.get_by_role("button", name="Put it back").click()
            expect(page.get_by_text("Sent to transactions. It is closed.")).to_be_visible()
            assert [] == [url for url in reader.urls if "mel" in url]
        context.close()
    stand.deployment.wait(
        "the order counts", lambda: b"80" in (stand.deployment.live_customer("mel") or b"")
    )


@pytest.mark.nightly
def test_a_rule_is_tried_on_the_log(stand: Stand, reader: Reader, axe: str) -> None:
    reader.log_in(stand.console, "vera")
    page = reader.page
    page.goto(f"{stand.console.url}/rules/try?rule=cart-abandoned")
    text = page.get_by_label("As its file has it")
    edited = text.input_value()
    text.fill(edited.replace("cart_items > 0", "cart_itmes > 0"))
    page.get_by_role("button", name="See what would have fired").click()
    expect(page.get_by_role("alert")).to_contain_text("cart_items")

    text.fill(edited.replace("cart_items > 0", "cart_value > 100000"))
    page.get_by_role("button", name="See what would have fired").click()
    counts = page.get_by_role("region", name="What would have been otherwise").first
    expect(counts).to_contain_text("cart abandoned", timeout=PATIENCE_MS)
    now, then = counts.get_by_role("row", name="cart abandoned").locator("td.right").all()
    assert int(now.inner_text()) > int(then.inner_text()) == 0
    assert [] == reader.barriers(axe)


def test_an_operator_puts_dead_letters_back_and_a_viewer_does_not(
    stand: Stand, browser: Browser
) -> None:
    for name, times in (("vera", 0), ("otto", 1)):
        context = browser.new_context()
        reader = Reader(context)
        reader.log_in(stand.console, name)
        reader.page.goto(f"{stand.console.url}/pipeline")
        expect(reader.page.get_by_text(BAD.decode())).to_have_count(1)
        back = reader.page.get_by_role("button", name="Put all wrong_type back")
        expect(back).to_have_count(times)
        if times:
            back.click()
            expect(reader.page.get_by_text("1 events refused as wrong_type")).to_be_visible()
        context.close()


def test_the_pictures_of_the_docs_are_light(stand: Stand, browser: Browser, tmp_path: Path) -> None:
    take_pictures(stand, browser, tmp_path)

    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    committed = {path.name for path in (ROOT / "docs/images").glob("*.png")}
    assert committed == sizes.keys()
    assert sum(sizes.values()) <= PICTURES_BYTES_MAX
