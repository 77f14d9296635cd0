"""A collector in a process of its own: `keepstream collector`, as anybody would start it."""

from collections.abc import Mapping

from agents.worker_process import start_command
from config.settings import variable_of
from streams.embedded.process import ServerProcess


def start_collector(
    process: ServerProcess, environ: Mapping[str, str], port: int, web_port: int
) -> None:
    """Start a collector that takes events at ``port``; its health and metrics are at
    ``web_port``.
    """
    ports = {"collector_port": port, "web_port": web_port}
    told = {variable_of(name): str(number) for name, number in ports.items()}
    start_command(process, ["collector"], {**environ, **told})
