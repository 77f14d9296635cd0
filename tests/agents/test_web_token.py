"""With a token set, clients without it can only read health."""

import asyncio

import aiohttp
import pytest

from agents.web.connections import HEALTH_PATHS
from agents.web.operations import OF_A_WORKER, OF_EVERY_PROCESS
from agents.web.segments import SegmentAnswers
from agents.web.server import LiveCustomers, Readiness, routes, serving
from config.settings import SettingsError, load_settings
from streams.metrics import Metrics

TOKEN = "0123456789-abcdef"
SETTINGS = load_settings({"KEEPSTREAM_WEB_TOKEN": TOKEN}, web_port=0)
#: Answers about one customer or all; an event is tried by another method.
PATHS = [
    one.path.replace("{id}", "ada").replace("{name}", "vip")
    for one in (*OF_EVERY_PROCESS, *OF_A_WORKER)
    if one.method == "GET"
]


async def listed(_: object) -> aiohttp.web.Response:
    return aiohttp.web.Response()


class Segments(SegmentAnswers):
    """Answers as if segments existed."""

    def __init__(self) -> None:
        pass

    async def all_of_them(self, _: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()

    async def members_of(self, _: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()


def statuses(headers: dict[str, str], paths: list[str]) -> list[int]:
    live = LiveCustomers(lambda _: b"{}", listed=listed, segments=Segments())
    site = routes(Metrics(), Readiness(list), live, lambda: None)

    async def ask() -> list[int]:
        found = []
        async with serving(site, SETTINGS) as port, aiohttp.ClientSession() as session:
            for path in paths:
                url = f"http://127.0.0.1:{port}{path}"
                async with session.get(url, headers=headers) as answer:
                    found.append(answer.status)
                    if answer.status == 401:
                        assert "Bearer" == answer.headers["WWW-Authenticate"]
                        assert "Authorization: Bearer" in (await answer.json())["message"]
        return found

    return asyncio.run(ask())


def test_who_shows_the_token_is_told_everything() -> None:
    assert [200] * len(PATHS) == statuses(SETTINGS.web_headers, PATHS)
    assert [200] == statuses({"Authorization": f"bearer  {TOKEN}"}, ["/metrics"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \udcff"},
    ],
)
def test_who_shows_none_or_another_is_told_of_health_alone(headers: dict[str, str]) -> None:
    expected = [200 if path in HEALTH_PATHS else 401 for path in PATHS]
    assert {200, 401} == set(expected)
    assert expected == statuses(headers, PATHS)


def test_what_is_not_there_is_not_told_either() -> None:
    assert [401] == statuses({}, ["/nothing"])
    assert [404] == statuses(SETTINGS.web_headers, ["/nothing"])


@pytest.mark.parametrize(
    "token", ["short", "with a blank in it ...", "x" * 201, "ümlaut-0123456789"]
)
def test_a_token_that_protects_nothing_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(SettingsError, match="KEEPSTREAM_WEB_TOKEN is .hidden.: set it as") as told:
        load_settings({"KEEPSTREAM_WEB_TOKEN": token})
    assert token not in str(told.value)
