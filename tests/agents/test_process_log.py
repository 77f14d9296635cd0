"""The log of a process: a first and a last line, text or JSON, and no secret in it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from config import VERSION
from config.compiled import flavour
from tests.house.repository import ROOT

SECRET = "canary-7d"
BODY = """
import logging, sys
from agents.process_log import run_logged
from config.settings import load_settings
import os

class Explained(Exception): pass

def body():
    logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", 1, "no")
    logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", 2, "no")
    log = logging.getLogger("agents.some")
    for error in (Explained("do this"), KeyError("a bug")):
        try:
            raise error
        except Exception as raised:
            log.error("%s failed", "it", exc_info=raised)
    way = sys.argv[1]
    if way == "raises":
        raise ConnectionError("redis://:canary-7d@somewhere")
    return int(way)

sys.exit(run_logged("worker", load_settings(os.environ), body, Explained))
"""


def lines_of(way: str, log_format: str) -> tuple[int, list[str]]:
    """The exit code, and the lines written to standard error."""
    environment = {
        "PYTHONPATH": str(ROOT),
        "KEEPSTREAM_LOG_FORMAT": log_format,
        "KEEPSTREAM_REDIS_URL": f"redis://:{SECRET}@redis:6379/0",
        "KEEPSTREAM_ERASURE_SALT": SECRET,
    }
    command = [sys.executable, "-c", BODY, way]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("code", [0, 1])
def test_json_is_one_object_a_line_from_the_first_to_the_last(code: int) -> None:
    exit_code, written = lines_of(str(code), "json")
    first, library, explained, bug, last = map(json.loads, written)

    assert code == exit_code
    assert (VERSION, flavour(), "worker") == (first["version"], first["core"], first["program"])
    assert {
        "redis_url": "redis://:***@redis:6379/0",
        "erasure_salt": "***",
        "log_format": "json",
    } == (first["settings"])
    assert first["time"].endswith("Z")
    assert ("aiokafka.broker_away", "warning") == (library["logger"], library["level"])
    assert "traceback" not in explained
    assert "KeyError: 'a bug'" in bug["traceback"]
    assert ("critical" if code else "info", code) == (last["level"], last["exitCode"])
    assert f"with exit code {code}" in last["message"]


def test_text_has_the_same_lines() -> None:
    _, written = lines_of("0", "text")

    said = f"INFO agents.process_log: keepstream worker {VERSION} ({flavour()}) starts as process"
    assert said in written[0]
    assert "redis_url=redis://:***@redis:6379/0" in written[0]
    assert 1 == sum("broker is away" in line for line in written)
    assert "with exit code 0" in written[-1]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_process_that_cannot_go_on_says_so_last_and_tells_no_secret(log_format: str) -> None:
    code, written = lines_of("raises", log_format)
    told: list[Any] = [line for line in written if "ends after" in line]

    assert 1 == code
    [last] = told
    assert "ConnectionError" in last
    # What follows is Python's own traceback, which the command line replaces by its explanation.
    assert [] == [line for line in written[: written.index(last) + 1] if SECRET in line]
