"""The file of sources is read again when it changes: keys are added and removed, and a file that
can't be used changes nothing.
"""

import asyncio
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from agents.collector.running import SourcesInUse
from agents.collector.site import collecting_site
from agents.collector.taking import Collector
from agents.watched_files import WatchedFiles
from agents.web.server import ListenAddress, listening
from config.rules import RuleError
from config.settings import SettingsError, load_settings
from config.sources import hash_of, load_senders
from streams.collector.metrics import CollectorMetrics
from tests.agents.test_collector import PARAMETERS, PARTITIONS, VIEW, FakeOutbox

OLD, NEW = "c-old", "c-new"
ORDER = json.dumps({"id": 1, "customer": {"id": 7}}).encode()


def source(key: str, more: str = "") -> str:
    return f'[sources.web]\nkeys = ["{hash_of(key)}"]\n{more}\n'


SHOPIFY = '[webhooks.shop]\nvendor = "shopify"\nsecret_file = "shop.secret"\n'


class Place:
    """A running collector, and its files."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sources.toml"
        self.secret = folder / "shop.secret"
        self.metrics = CollectorMetrics(())
        self.watched: WatchedFiles
        self.client: aiohttp.ClientSession
        self.url = ""

    def change(self, text: str, secret: str = "") -> None:
        """Change the file, and wait until the collector has checked it."""
        self.file.write_text(text)
        if secret:
            self.secret.write_text(secret)
        for _ in range(2):
            self.watched.look()

    async def send(self, key: str) -> int:
        login = {"Authorization": aiohttp.encode_basic_auth(key, "")}
        async with self.client.post(f"{self.url}/v1/page", json=VIEW, headers=login) as answer:
            return answer.status

    async def post(self, secret: str, name: str = "shop") -> int:
        signature = b64encode(hmac.digest(secret.encode(), ORDER, "sha256")).decode()
        headers = {"X-Shopify-Hmac-Sha256": signature, "X-Shopify-Topic": "orders/unknown"}
        url = f"{self.url}/webhooks/{name}"
        async with self.client.post(url, data=ORDER, headers=headers) as answer:
            return answer.status

    def is_refused(self) -> bool:
        return b"keepstream_files_refused 1.0" in self.metrics.exposition()


@asynccontextmanager
async def place(folder: Path, text: str) -> AsyncIterator[Place]:
    here = Place(folder)
    here.file.write_text(text)
    settings = load_settings({"KEEPSTREAM_COLLECTOR_SOURCES": str(here.file)})
    senders = load_senders(settings)
    collector = Collector(senders, PARAMETERS, PARTITIONS, FakeOutbox(), here.metrics)
    sources = SourcesInUse(settings, senders, collector, "")
    refusals = (SettingsError, RuleError)
    here.watched = WatchedFiles(sources.files, sources.read, refusals, here.metrics.files)
    address = ListenAddress("the collector", "127.0.0.1", 0, "HOST", "PORT", 100)
    async with (
        listening(collecting_site(collector), address) as port,
        aiohttp.ClientSession() as here.client,
    ):
        here.url = f"http://127.0.0.1:{port}"
        yield here


def test_a_key_is_taken_and_revoked_without_a_restart(tmp_path: Path) -> None:
    async def changed() -> None:
        async with place(tmp_path, source(OLD)) as here:
            assert (200, 401) == (await here.send(OLD), await here.send(NEW))
            here.change(source(NEW))
            assert (401, 200) == (await here.send(OLD), await here.send(NEW))
            here.change(source(OLD) + source(NEW).replace("web", "app"))
            assert (200, 200) == (await here.send(OLD), await here.send(NEW))
            counted = 'keepstream_collector_events_total{fate="accepted",source="app"} 1.0'
            assert counted in here.metrics.exposition().decode()

    asyncio.run(changed())


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[sources.web]\nkeys = []\n",
        source(NEW, "limit = 3"),
        source(NEW) + "[webhooks.shop]\nvendor = 'shopify'\nsecret_file = 'nowhere'\n",
        source(NEW) + SHOPIFY + "user = 'a.('\n",
        "sources = [",
    ],
)
def test_what_cannot_be_used_changes_nothing(wrong: str, tmp_path: Path) -> None:
    async def changed() -> None:
        async with place(tmp_path, source(OLD)) as here:
            here.change(wrong, "s" * 32)
            assert (200, 401) == (await here.send(OLD), await here.send(NEW))
            assert here.is_refused()
            here.change(source(NEW))
            assert (401, 200) == (await here.send(OLD), await here.send(NEW))
            assert not here.is_refused()

    asyncio.run(changed())


def test_a_file_that_is_gone_for_a_moment_changes_nothing(tmp_path: Path) -> None:
    async def changed() -> None:
        async with place(tmp_path, source(OLD)) as here:
            here.file.unlink()
            here.watched.look()
            here.watched.look()
            assert (200, True) == (await here.send(OLD), here.is_refused())
            here.change(source(OLD))
            assert (200, False) == (await here.send(OLD), here.is_refused())

    asyncio.run(changed())


def test_what_a_source_owes_is_owed_after_another_reading(tmp_path: Path) -> None:
    async def changed() -> None:
        slow = source(OLD, "events_per_second = 0.001\nburst = 1")
        async with place(tmp_path, slow) as here:
            assert [200, 200, 429] == [await here.send(OLD) for _ in range(3)]
            here.change(slow + source(NEW).replace("web", "app"))
            assert (429, 200) == (await here.send(OLD), await here.send(NEW))
            here.change(source(OLD, "burst = 2"))
            assert 200 == await here.send(OLD)

    asyncio.run(changed())


def test_a_vendors_secret_is_changed_by_changing_its_file(tmp_path: Path) -> None:
    first, second = "f" * 32, "s" * 32

    async def changed() -> None:
        async with place(tmp_path, source(OLD)) as here:
            assert 404 == await here.post(first)
            here.change(source(OLD) + SHOPIFY, first)
            assert (200, 401) == (await here.post(first), await here.post(second))
            here.secret.write_text(second)
            here.watched.look()
            here.watched.look()
            assert (401, 200) == (await here.post(first), await here.post(second))
            here.change(source(OLD))
            assert 404 == await here.post(second)

    asyncio.run(changed())
