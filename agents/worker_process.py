"""A worker, or a deliverer, in a process of its own, as anybody would start it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from config.settings import variable_of
from streams.embedded.process import ServerProcess

_ROOT = Path(__file__).resolve().parents[1]


def start_worker(
    process: ServerProcess, environ: Mapping[str, str], port: int, *, is_live: bool
) -> None:
    """Start a worker whose health and metrics are at ``port``. ``is_live``: partitions that are
    empty yet decide aloud.
    """
    _start(process, environ, port, "worker", *(["--live"] if is_live else []))


def start_deliverer(process: ServerProcess, environ: Mapping[str, str], port: int) -> None:
    """Start a deliverer to the endpoints that are set, whose health and metrics are at ``port``."""
    _start(process, environ, port, "deliver")


def _start(process: ServerProcess, environ: Mapping[str, str], port: int, *words: str) -> None:
    # This very code, wherever it is started and whatever is installed.
    path = os.pathsep.join(filter(None, (str(_ROOT), environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "agents.cli", *words]
    process.start(command, {**environ, variable_of("web_port"): str(port), "PYTHONPATH": path})
