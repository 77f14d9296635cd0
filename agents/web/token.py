"""The web port's token: if one is set, everything but health requires it."""

from hashlib import sha256
from hmac import compare_digest

from aiohttp import web
from aiohttp.typedefs import Middleware

from agents.web.connections import HEALTH_PATHS, Handler

_UNAUTHORIZED = "no token that is known here: send it as `Authorization: Bearer TOKEN`"


def guarded(token: str) -> Middleware:
    """Refuse requests without ``token``, except for `HEALTH_PATHS`."""
    # Hashes have the same length, so the time of a comparison does not even reveal the token's
    # length.
    wanted = sha256(token.encode()).digest()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in HEALTH_PATHS or compare_digest(wanted, _shown(request)):
            return await handler(request)
        return web.json_response(
            {"message": _UNAUTHORIZED}, status=401, headers={"WWW-Authenticate": "Bearer"}
        )

    return guard


def _shown(request: web.Request) -> bytes:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    shown = token.strip() if kind.lower() == "bearer" else ""
    # Bytes that are not UTF-8 arrive as surrogates.
    return sha256(shown.encode(errors="surrogateescape")).digest()
