"""A worker in a process of its own: `keepstream worker`, as anybody would start it."""

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
    # This very code, wherever it is started and whatever is installed.
    path = os.pathsep.join(filter(None, (str(_ROOT), environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "agents.cli", "worker", *(["--live"] if is_live else [])]
    process.start(command, {**environ, variable_of("web_port"): str(port), "PYTHONPATH": path})
