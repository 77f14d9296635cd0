"""Login sessions: kept in memory, found by the hash of their cookie."""

import secrets
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from config.people import Role
from config.sources import hash_of

LASTS_S = 12 * 3_600.0
SESSIONS_MAX = 1_000
_SECRET_BYTES = 32


class Session(NamedTuple):
    """A logged-in person. ``form_token``: the token that their forms must send."""

    name: str
    role: Role
    form_token: str
    until_s: float

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR


class Sessions:
    """All sessions; when there are too many, the oldest is dropped."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._by_hash: dict[str, Session] = {}

    def open(self, name: str, role: Role) -> str:
        """Begin a session; return its cookie."""
        if len(self._by_hash) >= SESSIONS_MAX:
            del self._by_hash[next(iter(self._by_hash))]
        cookie = new_secret()
        until_s = self._now_s() + LASTS_S
        self._by_hash[hash_of(cookie)] = Session(name, role, new_secret(), until_s)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, until it expires."""
        session = self._by_hash.get(hash_of(cookie))
        if session is None or self._now_s() < session.until_s:
            return session
        self.close(cookie)
        return None

    def close(self, cookie: str) -> None:
        """End a session."""
        self._by_hash.pop(hash_of(cookie), None)


def new_secret() -> str:
    """A secret of 256 random bits, for tokens and cookies."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def login_url(url: str, token: str) -> str:
    """A link that logs in. The token follows a #, so the browser sends it to no server, proxy or
    log.
    """
    return f"{url}/login#{token}"
