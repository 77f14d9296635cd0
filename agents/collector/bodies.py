"""Reads a request's body and inflates gzip, within limits on time, size and inflated size."""

import asyncio
import zlib

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError

from agents.collector.answers import Refused
from models.collecting.requests import BODY_BYTES_MAX

#: How long a client may take to send a body.
BODY_S = 10.0
_GZIP_MAGIC = b"\x1f\x8b"
#: zlib's window-bits value for gzip with the largest window.
_GZIP = 31


def _too_large() -> Refused:
    return Refused(
        413,
        "too_large",
        f"a request has {BODY_BYTES_MAX:,} bytes at most, inflated: send fewer events in each",
    )


async def read_body(request: web.Request) -> bytes:
    """The body, inflated. Raises `Refused`.

    Gzip is recognized by its first bytes: libraries label it in many different ways.
    """
    content = await read_bytes(request)
    return inflated(content) if content.startswith(_GZIP_MAGIC) else content


async def read_bytes(request: web.Request) -> bytes:
    """The body's bytes as they were sent. Raises `Refused`."""
    if request.content_length is not None and request.content_length > BODY_BYTES_MAX:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request)
    except TimeoutError:
        raise Refused(
            408, "too_slow", f"the body did not come within {BODY_S:.0f} s: send it again"
        ) from None
    except (ClientPayloadError, ConnectionError):
        raise Refused(
            400, "cut_off", "the body ended too early: send as much as Content-Length says"
        ) from None


async def _read(request: web.Request) -> bytes:
    chunks = bytearray()
    async for chunk in request.content.iter_any():
        chunks += chunk
        if len(chunks) > BODY_BYTES_MAX:
            raise _too_large()
    return bytes(chunks)


def inflated(content: bytes) -> bytes:
    """The content of a gzip file. Inflating stops at the limit for a body. Raises `Refused`."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        found = inflater.decompress(content, BODY_BYTES_MAX + 1)
    except zlib.error:
        raise Refused(
            400, "bad_gzip", "the body begins as gzip and is none: send it whole, or plain JSON"
        ) from None
    if len(found) > BODY_BYTES_MAX:
        raise _too_large()
    if not inflater.eof or inflater.unused_data:
        raise Refused(
            400, "bad_gzip", "the body is no single, whole gzip file: send one, or plain JSON"
        )
    return found
