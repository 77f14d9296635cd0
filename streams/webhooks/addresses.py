"""Checks which addresses a message may go to: never an inner network, whatever a name resolves to.

An endpoint's address comes from a file that many may edit, and name servers that others run resolve
its name. So the address itself is checked, at the moment of connecting, when it can't change again.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

#: Networks that some versions of Python take for public although they are not: where Azure and
#: Oracle give a machine its secrets, tunnels, and addresses for documentation.
_INNER = tuple(map(ip_network, ("168.63.129.16/32", "192.0.0.0/24", "2001::/23", "3fff::/20")))
#: All IPv6 addresses that are assigned on the internet. The rest is inner, or reserved.
_GIVEN = IPv6Network("2000::/3")
#: IPv6 networks that contain an IPv4 address, and its place in them, in bits from the right.
_CARRIERS: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
#: Lookups at a time: a name server that does not answer holds up this endpoint only.
_LOOKUPS = 2


NOT_PUBLIC = (
    "the url leads to an address that is not public: set allow_private: true if that is meant"
)


class AddressForbidden(OSError):
    """An endpoint's name resolves to an inner address; the message says what to do."""


def is_public(address: str) -> bool:
    """Whether the address means the same host for everybody on the internet."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = _carried(found)
        if inner is not None:
            return is_public(str(inner))
        if found not in _GIVEN:
            return False
    if any(found in network for network in _INNER):
        return False
    return found.is_global and not found.is_multicast


def is_inner_literal(host: str | None) -> bool:
    """Whether a url's host is an address that is not public; a name is only checked later."""
    try:
        return not is_public(host or "")
    except ValueError:
        return host == "localhost"


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    for network, shift in _CARRIERS:
        if address in network:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None


AddressInfo = tuple[Any, Any, int, str, Any]


def socket_factory(*, allow_private: bool) -> Callable[[AddressInfo], socket.socket]:
    """A function that makes a connection's socket. It raises ``AddressForbidden`` for an inner
    address.
    """

    def new_socket(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if not allow_private and not is_public(address[0]):
            raise AddressForbidden(NOT_PUBLIC)
        return socket.socket(family, kind, protocol)

    return new_socket


class EndpointResolver(AbstractResolver):
    """Looks names up in its own threads, so that no endpoint waits for another one's name."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-name")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        return [
            ResolveResult(
                hostname=host, host=address[0], port=address[1], family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]  # fmt: skip

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[Any]:
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
