"""Redis or Valkey for commands: asked once, and given up when it doesn't answer."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from config.settings import Settings

TIMEOUT_S = 5.0


class StoreUnreachable(ConnectionError):
    """The store does not answer. ``kind``: the error's kind only, as its text may hold an address
    with a password. The message says what to do. ``has_answered``: it answered, with an error.
    """

    def __init__(self, settings: Settings, kind: str, *, has_answered: bool = False) -> None:
        super().__init__(
            f"no answer from Redis at {settings.redis_url_redacted} ({kind}): start it, or set "
            f"KEEPSTREAM_REDIS_URL to where it is"
        )
        self.kind = kind
        self.has_answered = has_answered


@contextmanager
def store_client(settings: Settings) -> Iterator["redis.Redis"]:
    """A client for a few requests. Raises `StoreUnreachable`, also for errors while it is in
    use.
    """
    try:
        client = redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=None,
        )
    except ValueError as error:
        raise StoreUnreachable(settings, type(error).__name__) from None
    try:
        with client:
            yield client
    except (redis.RedisError, OSError) as error:
        answered = isinstance(error, redis.ResponseError)
        raise StoreUnreachable(settings, type(error).__name__, has_answered=answered) from None


def require_store(settings: Settings) -> None:
    """Raise `StoreUnreachable` unless it answers: workers would run on without it."""
    with store_client(settings) as client:
        client.ping()
