"""Writes to Redis or Valkey from a worker, which continues when it is away or refuses."""

import logging
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError, ResponseError

from config.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0


def connect(settings: Settings) -> "redis.Redis":
    """A client that gives up on a silent server; it connects when it is first used."""
    return redis.Redis.from_url(
        settings.redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )


async def results_of(pipeline: Any, count: int) -> list[Any]:
    """The result of each command: its answer or its error, or the connection's error for all."""
    if not count:
        return []
    try:
        results: list[Any] = await pipeline.execute(raise_on_error=False)
    except (RedisError, OSError) as error:
        results = [error] * count
    passing = [one for one in results if has_failed(one) and not is_foreign(one)]
    if passing:
        tell_failure(passing[0])
    return results


def has_failed(result: object) -> bool:
    return isinstance(result, RedisError | OSError)


def is_foreign(result: object) -> bool:
    """Whether the key held another type than the command needs."""
    return isinstance(result, ResponseError) and str(result).startswith("WRONGTYPE")


def tell_failure(error: Exception) -> None:
    # Its text may hold an address with a password; the kind of error is enough.
    log.warning("Redis did not take a write (%s); trying again", type(error).__name__)
