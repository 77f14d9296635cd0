"""Who may log in to the console, and the headers of its answers."""

import asyncio
import logging
import re
from typing import Any

import pytest
from msgspec.structs import replace
from yarl import URL

from agents.console.console import Console
from agents.console.marks import CustomerMarks
from agents.console.memory import remember_decisions
from agents.console.sessions import LASTS_S, SESSIONS_MAX, Sessions
from agents.console.site import HEADERS, console_site
from agents.words.decision_lines import words_of
from config.people import Role
from models.decisions.trigger import NextBestAction
from streams.topic_rates import look_at_rates
from tests.agents.console.conftest import (
    TOKENS,
    Client,
    SmallShop,
    form_token,
    visited,
    withdrawal_of,
)

#: All of them: each is there without a broker, a store and a worker, too.
PAGES = ("/", "/customers", "/customers?where=orders+%3E+0", "/segments", "/rules",
         "/rules/try?rule=churn-risk", "/model", "/shop", "/pipeline", "/pipeline/event",
         "/pipeline/letters/0-1")  # fmt: skip


def routes(console: Console, method: str) -> list[str]:
    """The addresses of the site, with examples for the variable parts."""
    return [
        re.sub(r"\{\w+\}", "0" * 32, route.resource.canonical)
        for route in console_site(console).router.routes()
        if route.method == method and route.resource is not None
    ]


def test_nobody_sees_a_page_before_they_log_in(console: Console) -> None:
    async def ask(client: Client, url: str) -> dict[str, tuple[int, str | None]]:
        found = {}
        for path in routes(console, "GET"):
            async with client.get(url + path, allow_redirects=False) as answer:
                found[path] = (answer.status, answer.headers.get("Location"))
        return found

    found = visited(console, ask, None)
    open_ones = {"/login", "/health/live", "/health/ready", "/static/" + "0" * 32}
    assert open_ones < found.keys()
    assert {(303, "/login")} == {found[path] for path in found.keys() - open_ones}


def test_a_wrong_token_is_refused_and_a_right_one_is_kept_in_a_strict_cookie(
    console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(client: Client, url: str) -> tuple[int, str]:
        async with client.post(f"{url}/login", data={"token": "guessed"}) as answer:
            status = answer.status
        form = {"token": f" {TOKENS[Role.VIEWER]}\n"}
        async with client.post(f"{url}/login", data=form, allow_redirects=False) as answer:
            return status, answer.headers["Set-Cookie"]

    with caplog.at_level(logging.INFO):
        status, cookie = visited(console, ask, None)
    assert 401 == status
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    secrets = (*TOKENS.values(), "guessed", cookie.partition("=")[2].partition(";")[0])
    assert [] == [secret for secret in secrets if secret in caplog.text]


def test_a_form_that_is_not_of_the_session_changes_nothing(console: Console) -> None:
    async def ask(client: Client, url: str) -> dict[str, list[int]]:
        async with client.get(url) as answer:
            token = form_token(await answer.text())
        foreign = {"Origin": "https://elsewhere.example"}
        found = {}
        for path in routes(console, "POST"):
            if path == "/login":
                continue
            statuses = []
            for data, headers in (
                ({}, {}), ({"form_token": "x"}, {}), ({"form_token": token}, foreign)
            ):  # fmt: skip
                async with client.post(url + path, data=data, headers=headers) as answer:
                    statuses.append(answer.status)
            found[path] = statuses
        return found

    found = visited(console, ask)
    forms = {"/logout", "/customers/find", "/customers/next", "/rules/try", "/pipeline/retry"}
    forms |= {"/pipeline/event", "/pipeline/event/send"}
    assert forms == found.keys()
    assert [[403] * 3] * len(found) == list(found.values())


def test_a_viewer_puts_nothing_back(console: Console) -> None:
    async def ask(client: Client, url: str) -> int:
        async with client.get(url) as answer:
            form = {"form_token": form_token(await answer.text()), "reason": "wrong_type"}
        async with client.post(f"{url}/pipeline/retry", data=form) as answer:
            return answer.status

    assert 403 == visited(console, ask)


def test_whoever_logs_out_is_out(console: Console) -> None:
    async def ask(client: Client, url: str) -> str:
        async with client.get(url) as answer:
            form = {"form_token": form_token(await answer.text())}
        cookie = {one.key: one.value for one in client.cookie_jar}
        async with client.post(f"{url}/logout", data=form):
            pass
        # The cookie is worth nothing, whoever has kept it.
        client.cookie_jar.update_cookies(cookie, URL(url))
        async with client.get(url) as answer:
            return answer.url.path

    assert "/login" == visited(console, ask)


def test_pages_run_nothing_that_stands_in_them_and_load_nothing_from_elsewhere(
    console: Console,
) -> None:
    async def ask(client: Client, url: str) -> list[tuple[str, dict[str, str]]]:
        found = []
        for path in (*PAGES, "/login", "/nothing-here"):
            async with client.get(url + path) as answer:
                found.append((await answer.text(), dict(answer.headers)))
        return found

    for page, headers in visited(console, ask):
        assert "<h1>It did not work</h1>" not in page
        assert HEADERS.items() <= headers.items()
        assert [] == re.findall(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page)
        assert [] == re.findall(r'(?:src|href|action)="(?:https?:)?//', page)
    assert "script-src 'self'" in HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_no_address_on_the_live_page_names_a_customer(
    console: Console, small_shop: SmallShop
) -> None:
    async def ask(client: Client, url: str) -> str:
        async with client.get(url) as answer:
            return await answer.text()

    page = visited(console, ask)
    addresses = re.findall(r'(?:href|action|src)="([^"]*)"', page)
    assert any(address.startswith("/customers/") for address in addresses)
    assert [] == [a for a in addresses for customer in small_shop.profiles if customer in a]


def test_a_mark_stands_for_one_customer_and_for_this_process_alone() -> None:
    marks = CustomerMarks()

    assert marks.mark("ada") == marks.mark("ada")
    assert marks.mark("ada") != marks.mark("bob")
    assert [c := "a+b@example.org/王"] == [marks.customer(marks.mark(c))]
    assert [None] * 4 == [
        marks.customer(mark)
        for mark in ("", "ada", CustomerMarks().mark("ada"), marks.mark("ada")[:-2])
    ]


def test_a_customer_who_is_called_like_a_script_is_shown_and_not_run(
    console: Console, actions: list[NextBestAction]
) -> None:
    evil = "<script>alert(1)</script>"
    console.memory.take({3: [replace(actions[-1], user_id=evil, id="e" * 32)]})

    async def ask(client: Client, url: str) -> list[str]:
        found = []
        for path in ("/", f"/decisions/{'e' * 32}"):
            async with client.get(url + path) as answer:
                found.append(await answer.text())
        return found

    for page in visited(console, ask):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert evil not in page


def test_the_news_of_a_withdrawal_leads_to_what_was_withdrawn(
    console: Console, actions: list[NextBestAction]
) -> None:
    action = next(one for one in reversed(actions) if one.action is not None)
    console.memory.take({3: [withdrawal_of(action)]})

    async def ask(client: Client, url: str) -> str:
        async with client.get(f"{url}/decisions/{'f' * 32}") as answer:
            return await answer.text()

    page = visited(console, ask)
    assert f"{words_of(action.action or '').capitalize()} by {action.channel}</h1>" in page
    assert "Withdrawn" in page


def test_a_stream_goes_on_where_the_page_ended_and_after_a_restart_says_so(
    console: Console, actions: list[NextBestAction]
) -> None:
    async def heard(client: Client, url: str, since: str, until: bytes) -> bytes:
        text = b""
        async with client.get(f"{url}/live/stream", params={"since": since}) as answer:
            assert "text/event-stream" == answer.content_type
            while until not in text:
                text += await answer.content.readany()
        return text

    async def ask(client: Client, url: str) -> tuple[bytes, bytes]:
        memory = console.memory
        since = f"{memory.run}-{memory.number}"
        reading = asyncio.create_task(heard(client, url, since, b"\n\nevent: moment"))
        await asyncio.sleep(0)
        for name in ("a", "b"):
            memory.take({3: [replace(actions[-1], user_id=name, id=name * 32)]})
        return await reading, await heard(client, url, "another-7", b"restart")

    moments, restart = visited(console, ask)
    assert b">a</a>" in moments
    assert f"id: {console.memory.run}-{console.memory.number - 1}".encode() in moments
    assert b"event: restart\n" in restart


def test_a_session_ends_by_itself_and_the_oldest_gives_way() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    first = sessions.open("vera", Role.VIEWER)
    now[0] = LASTS_S - 1
    found = sessions.find(first)
    assert found is not None
    assert ("vera", False) == (found.name, found.is_operator)
    now[0] = LASTS_S
    assert sessions.find(first) is None

    cookies = [sessions.open("otto", Role.OPERATOR) for _ in range(SESSIONS_MAX + 1)]
    assert sessions.find(cookies[0]) is None
    assert all(sessions.find(cookie) for cookie in cookies[1:])


def test_a_broker_that_does_not_answer_is_told_and_the_pages_go_on(console: Console) -> None:
    async def ask(client: Client, url: str) -> tuple[str, str | None]:
        following = asyncio.gather(
            remember_decisions(console.settings, console.memory),
            look_at_rates(console.settings, console.rates),
        )
        for _ in range(1_000):
            if console.rates.problem and "no Kafka" in (console.memory.problem or ""):
                break
            await asyncio.sleep(0.01)
        following.cancel()
        async with client.get(url) as answer:
            return await answer.text(), console.problem

    page, problem = visited(console, ask)
    assert "Nothing new can be seen: no Kafka broker at" in page
    assert console.settings.bootstrap_servers in (problem or "")
    # What was heard of before is still there.
    assert 'class="entry' in page


def test_health_says_why_nothing_is_heard(console: Console) -> None:
    console.memory.problem = "no broker"

    async def ask(client: Client, url: str) -> tuple[int, Any]:
        async with client.get(f"{url}/health/ready") as answer:
            return answer.status, await answer.json()

    assert (503, {"status": "not ready", "problems": ["no broker"]}) == visited(console, ask, None)


def test_an_open_page_is_told_why_nothing_is_heard_of_and_when_it_is_again(
    console: Console,
) -> None:
    async def ask(client: Client, url: str) -> list[bytes]:
        memory = console.memory
        since = f"{memory.run}-{memory.number}"
        told = []
        async with client.get(f"{url}/live/stream", params={"since": since}) as answer:
            for problem in ("no broker\nat all", None):
                memory.problem = problem
                text = b""
                while b"event: problem" not in text:
                    text += await answer.content.readany()
                told.append(text)
        return told

    away, back = visited(console, ask)
    assert b"event: problem\ndata: no broker at all\n\n" in away
    assert b"event: problem\ndata: \n\n" in back
