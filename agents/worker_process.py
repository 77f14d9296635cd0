"""Starts a worker, or any other command, in its own process, as a user would."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.settings import variable_of
from streams.embedded.process import ServerProcess

_ROOT = Path(__file__).resolve().parents[1]


def start_worker(
    process: ServerProcess, environ: Mapping[str, str], port: int, *, is_live: bool
) -> None:
    """Start a worker that serves health and metrics on ``port``. ``is_live``: partitions that are
    still empty write decisions from their first event on.
    """
    arguments = ["worker", *(["--live"] if is_live else [])]
    start_command(process, arguments, {**environ, variable_of("web_port"): str(port)})


def start_command(
    process: ServerProcess, arguments: Sequence[str], environ: Mapping[str, str]
) -> None:
    """Start `keepstream` with these arguments."""
    # Runs this source tree, whatever the directory and whatever is installed.
    path = os.pathsep.join(filter(None, (str(_ROOT), environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "agents.cli", *arguments]
    process.start(command, {**environ, "PYTHONPATH": path})
