"""No private network is reached, by any name or spelling."""

import asyncio
import socket

import pytest

from streams.webhooks.addresses import (
    AddressForbidden,
    EndpointResolver,
    is_public,
    socket_factory,
)

INNER = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "168.63.129.16",
    "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "2001::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "fec0::1", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "5f00::1", "4000::1",
    "3fff::1", "100::1", "fe00::1",
]  # fmt: skip
OUTER = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_not_connected_to(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    info = (family, socket.SOCK_STREAM, 0, "", (address, 443))

    assert not is_public(address)
    with pytest.raises(AddressForbidden, match="allow_private"):
        socket_factory(allow_private=False)(info)
    socket_factory(allow_private=True)(info).close()


@pytest.mark.parametrize("address", OUTER)
def test_a_public_address_is(address: str) -> None:
    assert is_public(address)


def test_names_are_looked_up_in_threads_of_the_endpoints_own() -> None:
    async def found() -> list[str]:
        resolver = EndpointResolver()
        try:
            return [one["host"] for one in await resolver.resolve("localhost", 80)]
        finally:
            await resolver.close()

    assert {"127.0.0.1", "::1"} & set(asyncio.run(found()))
