"""Loopback ports nobody listens on."""

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack

HOST = "127.0.0.1"
# Below the range from which Linux (32768 up) and macOS (49152 up) give ports to outgoing
# connections. A port from that range can be lost while its broker is down: a client that keeps
# trying to reconnect is at some point given that very port as its own end, and connects to itself.
LOWEST, HIGHEST = 20_000, 32_000
TRIES_MAX = 1_000


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports that were free a moment ago.

    Another process can take one before it is used, so be ready to ask again.
    """
    ports: list[int] = []
    with ExitStack() as held:
        for _ in range(TRIES_MAX):
            if len(ports) == count:
                return ports
            port = random.randint(LOWEST, HIGHEST)
            candidate = held.enter_context(socket.socket())
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    raise OSError(f"No {count} free ports on {HOST} between {LOWEST} and {HIGHEST}")


def are_free(ports: Iterable[int]) -> bool:
    """Whether nobody listens on any of these; a port that was just released counts as free."""
    with ExitStack() as held:
        for port in ports:
            candidate = held.enter_context(socket.socket())
            # As servers do: connections of the previous server may still be ending.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((HOST, port))
            except OSError:
                return False
    return True
