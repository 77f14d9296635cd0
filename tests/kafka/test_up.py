"""One command that stays up: its data survives it, workers are replaced, and it ends in order."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import time
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

import pytest

from agents.standing.directory import Addresses, read_addresses
from models.events.times import iso
from streams.embedded.process import ServerProcess, wait_until
from tests.kafka.deployment import ASK_S, LIVENESS_S
from tests.kafka.worker import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

KEEPSTREAM = [sys.executable, "-m", "agents.cli"]
STANDS = "Decisions, as they are made:"


class Up:
    """`keepstream up` in a directory of its own, as a script would run it in the background: the
    shell makes it ignore SIGINT.
    """

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "up"
        self.process = ServerProcess("up", folder)
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("KEEPSTREAM_")}
        self.environ["PYTHONPATH"] = str(ROOT)

    def start(self, *options: str) -> Addresses:
        command = [*KEEPSTREAM, "up", "--dir", str(self.directory), *options]
        in_background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
        self.process.start(in_background, self.environ)
        wait_until(self._stands, "it stands", LIVENESS_S, [self.process])
        addresses = read_addresses(self.directory)
        assert addresses is not None
        return addresses

    def _stands(self) -> bool:
        self.process.require_alive()
        return STANDS in self.process.log_since_start()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int | None:
        self.process.send_signal(number)
        return self.process.wait(LIVENESS_S)

    def says(self, *words: str, addresses: Addresses | None = None) -> tuple[int, str]:
        """The output of a command in another terminal."""
        environ: Mapping[str, str] = self.environ
        if addresses is not None:
            environ = {
                **environ,
                "KEEPSTREAM_BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
                "KEEPSTREAM_REDIS_URL": addresses.redis_url,
            }
        done = subprocess.run(
            [*KEEPSTREAM, *words], env=environ, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def left_running(self) -> list[str]:
        """The processes that refer to the directory."""
        found = []
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.directory) in command.read_text():
                    found.append(command.parent.name)
            except OSError:
                continue
        return found


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    found = Up(tmp_path)
    yield found
    if found.process.pid:
        found.stop(signal.SIGTERM)


def order(folder: Path, customer: str) -> str:
    event = {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"order of {customer}",
        "userId": customer,
        "timestamp": iso(int(time() * 1_000)),
        "properties": {"order_id": f"o-{customer}", "revenue": 80.0, "currency": "EUR"},
    }
    path = folder / f"{customer}.jsonl"
    path.write_text(json.dumps(event) + "\n")
    return str(path)


def collected(addresses: Addresses, customer: str) -> int:
    """The collector's answer to an order over HTTP."""
    order = {"order_id": f"o-{customer}", "revenue": 80.0, "currency": "EUR"}
    content = {"event": "Order Completed", "userId": customer, "properties": order}
    request = Request(
        f"{addresses.collector_url}/v1/track",
        json.dumps(content).encode(),
        {"X-Write-Key": addresses.write_key},
    )
    with urlopen(request, timeout=30) as answer:
        return int(answer.status)


def is_known(up: Up, customer: str, addresses: Addresses) -> bool:
    code, said = up.says("customers", "show", customer, addresses=addresses)
    return code == 0 and "80.00 EUR net" in said


def wait_for(up: Up, customer: str, addresses: Addresses) -> None:
    wait_until(
        lambda: is_known(up, customer, addresses),
        f"{customer} is known",
        LIVENESS_S,
        [up.process],
        every_s=ASK_S,
    )


def declare_an_endpoint(up: Up, folder: Path) -> None:
    """Declare an endpoint that no program serves: deliveries to it wait."""
    (folder / "secret").write_text("whsec_" + b64encode(b"s" * 32).decode())
    file = folder / "endpoints.yaml"
    file.write_text("endpoints:\n  - {name: crm, url: 'https://x.invalid/', secret_file: secret}\n")
    up.environ["KEEPSTREAM_ENDPOINTS"] = str(file)


def delivers(at: Addresses) -> bool:
    """Whether its deliverer is ready."""
    try:
        url = f"http://127.0.0.1:{at.deliverer_ports[0]}/health/ready"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def console_says(at: Addresses) -> str:
    """The page that a user sees who logs in to the console."""
    form = urlencode({"token": at.console_token}).encode()
    browser = build_opener(HTTPCookieProcessor())
    with browser.open(f"{at.console_url}/login", form, timeout=30) as answer:
        content: bytes = answer.read()
    return content.decode()


def test_it_stays_up_and_what_it_knows_outlives_it(up: Up, tmp_path: Path) -> None:
    declare_an_endpoint(up, tmp_path)
    at = up.start()
    # From the first event on, an endpoint is told of what is decided.
    assert delivers(at)
    assert (0, True) == (
        up.says("publish", order(tmp_path, "ada"), addresses=at)[0],
        at.worker_urls[0] in up.process.log_since_start(),
    )
    wait_for(up, "ada", at)
    assert f"{at.console_url}/login#{at.console_token}" in up.process.log_since_start()
    assert "What is being decided" in console_says(at)

    assert 200 == collected(at, "cleo")
    wait_for(up, "cleo", at)
    [by_hand] = [line for line in up.process.log_since_start().splitlines() if "curl -u" in line]
    done = subprocess.run(["bash", "-c", by_hand], capture_output=True, check=True)
    assert {"success": True, "accepted": 1} == json.loads(done.stdout)

    code, said = up.says("up", "--dir", str(up.directory))
    assert (2, True, True) == (code, "runs already" in said, at.bootstrap_servers in said)

    [worker] = up.directory.glob("worker-*.pid")
    os.kill(int(worker.read_text()), signal.SIGKILL)
    log = up.process.log_since_start
    wait_until(lambda: "worker 1 ended with code -9" in log(), "told", LIVENESS_S, [up.process])
    assert 0 == up.says("publish", order(tmp_path, "bob"), addresses=at)[0]
    wait_for(up, "bob", at)

    assert 0 == up.stop()
    assert [] == up.left_running()

    again = up.start()
    assert (at.bootstrap_servers, at.redis_url) == (again.bootstrap_servers, again.redis_url)
    # Clients go on as they were set up.
    assert (at.collector_url, at.write_key) == (again.collector_url, again.write_key)
    assert (at.console_url, at.console_token) == (again.console_url, again.console_token)
    wait_for(up, "ada", again)
    assert 0 == up.stop(signal.SIGTERM)


def test_a_worker_that_refuses_its_parameters_is_not_started_again_and_again(
    up: Up, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[time]\nlatenes = '1h'\n")
    up.environ["KEEPSTREAM_PARAMETERS"] = str(wrong)

    code, said = up.says("up", "--dir", str(up.directory))

    assert (2, True) == (code, "latenes" in said)

    wrong.write_text("endpoints:\n  - {name: crm, ulr: x}\n")
    del up.environ["KEEPSTREAM_PARAMETERS"]
    up.environ["KEEPSTREAM_ENDPOINTS"] = str(wrong)
    code, said = up.says("up", "--dir", str(up.directory))
    assert (2, True) == (code, "did you mean url?" in said)
    assert [] == up.left_running()
