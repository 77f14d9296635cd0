"""The image is built from the Dockerfile, and its services run as docker-compose.yml confines them.

Not covered: what the official base image has besides Python, networks of containers, restarts, and
limits of memory.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from config import VERSION
from config.sources import hash_of
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import free_ports
from streams.embedded.process import wait_until
from streams.embedded.valkey import EmbeddedValkey
from tests.house.test_compose import SERVICES
from tests.kafka.collector import KEY
from tests.kafka.containers import Container, Images, require_programs
from tests.kafka.deployment import LIVENESS_S

pytestmark = [
    pytest.mark.kafka, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1_800),
]  # fmt: skip

ORDER = {
    "event": "Order Completed",
    "userId": "ada",
    "messageId": "m-1",
    "properties": {"order_id": "o-1", "revenue": 80.0, "currency": "EUR"},
}
ENDPOINTS = """
endpoints:
  - {name: crm, url: "https://crm.invalid/", secret_file: secret}
"""
#: What a process may, by the kernel's own words: nothing, and it can't be given more.
CONFINED = {"CapInh": "0" * 16, "CapPrm": "0" * 16, "CapEff": "0" * 16, "CapBnd": "0" * 16}
CONFINED |= {"CapAmb": "0" * 16, "NoNewPrivs": "1", "Uid": "10001", "Gid": "10001"}


class Services:
    """The services of docker-compose.yml, with a broker and a store of the tests."""

    def __init__(self, folder: Path, images: Images, environment: dict[str, str]) -> None:
        self._folder = folder
        self._images = images
        self._environment = environment
        self._started = ExitStack()

    def start(self, name: str, volumes: tuple[str, ...] = (), **environment: str) -> Container:
        container = Container(
            name,
            SERVICES[name],
            self._images.mounted("keepstream"),
            self._folder,
            {**self._environment, **environment},
            volumes,
        )
        self._started.callback(container.remove)
        container.start()
        return container

    def close(self) -> None:
        self._started.close()


@pytest.fixture
def services(kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[Services]:
    require_programs()
    images = Images(tmp_path)
    environment = {
        "KEEPSTREAM_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KEEPSTREAM_REDIS_URL": valkey.url,
        "KEEPSTREAM_TOPIC_PREFIX": f"{tmp_path.name}.",
    }
    found = Services(tmp_path, images, environment)
    with ExitStack() as stack:
        stack.callback(images.remove)
        images.build("keepstream")
        stack.callback(found.close)
        yield found


def test_the_services_run_in_the_image_that_the_dockerfile_makes(
    services: Services, tmp_path: Path
) -> None:
    topics = services.start("topics")
    assert 0 == topics.process.wait(LIVENESS_S), topics.process.log_tail()

    (tmp_path / "endpoints.yaml").write_text(ENDPOINTS)
    (tmp_path / "secret").write_text("whsec_" + b64encode(b"s" * 32).decode())
    ports = free_ports(6)
    url = f"http://127.0.0.1:{ports[0]}"
    worker = services.start(
        "worker", KEEPSTREAM_WEB_PORT=str(ports[0]), KEEPSTREAM_WEB_ADVERTISED_URL=url
    )
    collector = services.start(
        "collector",
        KEEPSTREAM_COLLECTOR_KEYS=f"shop={hash_of(KEY)}",
        KEEPSTREAM_COLLECTOR_PORT=str(ports[1]),
        KEEPSTREAM_WEB_PORT=str(ports[2]),
    )
    deliverer = services.start(
        "deliverer",
        (
            f"{tmp_path / 'endpoints.yaml'}:/etc/shop/endpoints.yaml:ro",
            f"{tmp_path / 'secret'}:/etc/shop/secret:ro",
        ),
        KEEPSTREAM_ENDPOINTS="/etc/shop/endpoints.yaml",
        KEEPSTREAM_WEB_PORT=str(ports[3]),
    )
    console = services.start(
        "console",
        KEEPSTREAM_CONSOLE_PORT=str(ports[4]),
        KEEPSTREAM_WEB_ADVERTISED_URL=url,
    )
    at = {worker: ports[0], collector: ports[2], deliverer: ports[3], console: ports[4]}
    for container, port in at.items():
        what = f"{container.process.name} is healthy"
        wait_until(lambda: container.is_healthy(port), what, LIVENESS_S, [container.process])  # noqa: B023

    # By HTTP into Kafka, through the fold, into Redis, and out again by a command in a container.
    assert 200 == sent(ports[1])
    wait_until(lambda: "80.00 EUR net" in shown(worker), "ada is known", LIVENESS_S, [])

    for container in at:
        assert CONFINED == allowed(container)
        assert "no" == container.run("sh", "-c", "touch /opt/keepstream/x 2>/dev/null || echo no")
        assert "no" == container.run("sh", "-c", "command -v gcc || echo no")
    assert "" == worker.run("test", "-r", "/etc/keepstream/parameters.toml")
    assert f"keepstream {VERSION} (compiled)" == worker.run("keepstream", "--version")

    for container in at:
        assert 0 == container.stop(), container.process.log_tail()


def sent(port: int) -> int:
    """A collector's answer to an order."""
    request = Request(
        f"http://127.0.0.1:{port}/v1/track", json.dumps(ORDER).encode(), {"X-Write-Key": KEY}
    )
    with urlopen(request, timeout=30) as answer:
        return int(answer.status)


def shown(container: Container) -> str:
    """Ada's profile in words, from a command in a container."""
    ask = "keepstream customers show ada || true"
    return container.run("sh", "-c", ask)


def allowed(container: Container) -> dict[str, str]:
    """The capabilities of the container's process."""
    lines = container.run("cat", "/proc/1/status").splitlines()
    told = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return {name: told[name][0] for name in CONFINED}
