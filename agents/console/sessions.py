"""Who is logged in: sessions in memory, known by the hash of their cookie."""

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
    """Somebody who is logged in. ``form_token``: what their forms must bring along."""

    name: str
    role: Role
    form_token: str
    until_s: float

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR


class Sessions:
    """All sessions; the oldest gives way when there are too many."""

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
        """The session of a cookie, as long as it lasts."""
        session = self._by_hash.get(hash_of(cookie))
        if session is None or self._now_s() < session.until_s:
            return session
        self.close(cookie)
        return None

    def close(self, cookie: str) -> None:
        """End a session."""
        self._by_hash.pop(hash_of(cookie), None)


def new_secret() -> str:
    """A token, a cookie or the like: 256 bits of chance."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def login_url(url: str, token: str) -> str:
    """A link that logs in. The token is where browsers keep it to themselves: no server, proxy or
    log gets what follows a #.
    """
    return f"{url}/login#{token}"
