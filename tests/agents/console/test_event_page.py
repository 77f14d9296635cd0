"""An event that is tried in the console: its worker's answer, on a real worker's site."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from agents.console.console import Console
from config.people import Role
from models.customer.row import encode_row
from tests.agents.console.conftest import Client, form_token, visited
from tests.agents.console.workers import PARTITIONS, beside, number_of
from tests.models.lines import at, happened, line, lived

ADA = number_of("ada")
ROWS = {"ada": encode_row(lived([happened("Order Completed", at(), order_id="o-1", revenue=40.0)]))}
ANSWERED = line("Survey Responded", at(5), properties={"kind": "nps", "score": 1}).decode()


async def tried(client: Client, url: str, text: str, path: str = "", **more: Any) -> str:
    async with client.get(f"{url}/pipeline/event") as answer:
        token = form_token(await answer.text())
    form = {"form_token": token, "text": text, **more}
    async with client.post(f"{url}/pipeline/event{path}", data=form) as answer:
        return await answer.text()


@pytest.mark.parametrize("numbers", [range(PARTITIONS), [n for n in range(PARTITIONS) if n != ADA]])
def test_what_an_event_would_do_is_told_step_by_step_by_whoever_has_its_customer(
    console: Console, numbers: Sequence[int]
) -> None:
    page = beside(console, ROWS, lambda client, url: tried(client, url, ANSWERED), numbers=numbers)

    assert "It counts." in page
    assert f"partition {ADA} of the log" in page
    # Who listens, what changes, which rule fires, and what is done about it.
    assert re.search(r"<dt>who listens</dt><dd>[a-z, ]*satisfaction", page)
    assert "NPS 1 (just before)" in page
    [row] = re.findall(r'<th scope="row">low satisfaction</th>.*?</tr>', page)
    assert "fires" in row
    assert '<span class="chip action">chosen' in page


def test_a_rule_that_does_not_fire_says_which_part_does_not_hold(console: Console) -> None:
    happy = ANSWERED.replace('"score":1', '"score":10')
    page = beside(console, ROWS, lambda client, url: tried(client, url, happy))

    [row] = re.findall(r'<th scope="row">low satisfaction</th>.*?</tr>', page)
    assert "does not fire" in row
    assert "does not hold" in row
    assert "survey_band == &#39;detractor&#39;" in row


def test_what_would_be_refused_says_why_and_what_mends_it(console: Console) -> None:
    page = beside(console, ROWS, lambda client, url: tried(client, url, '{"type": "track"}'))

    assert "refused" in page
    assert "required_missing" in page
    assert "$.event" in page
    # What was written is there to be mended.
    assert "&#34;track&#34;" in page


@pytest.mark.parametrize("text", ["nothing of the kind", "[" * 40_000, "\x00", "{}" * 20_000])
def test_whatever_is_written_there_is_an_answer(console: Console, text: str) -> None:
    page = beside(console, ROWS, lambda client, url: tried(client, url, text))

    assert "<h1>Try an event</h1>" in page
    assert "refused" in page


def test_it_is_tried_and_sent_by_those_who_may(console: Console) -> None:
    async def send(client: Client, url: str) -> str:
        return await tried(client, url, ANSWERED, "/send")

    assert "<h1>Not allowed</h1>" in beside(console, ROWS, send)
    page = beside(console, ROWS, send, role=Role.OPERATOR)
    assert "no Kafka broker" in page
    assert "Survey Responded" in page

    wrong = ANSWERED.replace("nps", "of no kind")
    page = beside(
        console, ROWS, lambda client, url: tried(client, url, wrong, "/send"), role=Role.OPERATOR
    )
    assert "It would be refused, and was not sent" in page


def test_without_a_worker_it_says_so(console: Console) -> None:
    page = visited(console, lambda client, url: tried(client, url, ANSWERED))

    assert f"No worker answers at {console.settings.worker_url}" in page


def test_a_topic_that_there_is_not_is_not_asked(console: Console) -> None:
    async def ask(client: Client, url: str) -> int:
        base = console.settings.worker_url
        async with client.post(f"{base}/dry-run?topic=x", data=b"{}") as answer:
            return answer.status

    assert 400 == beside(console, ROWS, ask)


def test_the_time_of_the_example_is_now(console: Console) -> None:
    async def ask(client: Client, url: str) -> str:
        async with client.get(f"{url}/pipeline/event") as answer:
            return await answer.text()

    page = visited(console, ask)
    assert "Product Added" in page


@pytest.mark.parametrize("text", ["", "   "])
def test_without_an_event_nothing_is_tried(console: Console, text: str) -> None:
    page = beside(console, ROWS, lambda client, url: tried(client, url, text))

    assert "there is no event" in page
