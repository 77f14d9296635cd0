"""Examines Redis or Valkey for `streams.diagnosis`."""

from typing import Any

from config.settings import Settings
from streams.store_client import StoreUnreachable, store_client
from streams.store_keys import customer_key, displaced_stream
from streams.vitals import Store

#: How many keys are scanned at most to find one profile; others may use the store as well.
KEYS_SCANNED_MAX = 100_000


def examine_store(settings: Settings) -> Store:
    """Whether Redis can be read and written, its eviction policy, and whether it has profiles."""
    address = settings.redis_url_redacted
    try:
        with store_client(settings) as client:
            probe = f"{settings.topic_prefix}keepstream:doctor"
            client.set(probe, b"well", ex=60)
            if client.get(probe) != b"well":
                return Store(address, error="what was written is not there")
            return _store(client, settings, address)
    except StoreUnreachable as error:
        return Store(address, error=error.kind, is_seen=error.has_answered)


def _store(client: Any, settings: Settings, address: str) -> Store:
    server: dict[str, Any] = client.info()
    pattern = customer_key(settings, "*")
    has_profiles, cursor, seen = False, 0, 0
    while seen < KEYS_SCANNED_MAX:
        cursor, found = client.scan(cursor, match=pattern, count=1_000)
        seen += 1_000
        has_profiles = has_profiles or bool(found)
        if has_profiles or not cursor:
            break
    version = server.get("valkey_version") or server.get("redis_version", "")
    return Store(
        address,
        version=f"{server.get('server_name', 'redis')} {version}",
        policy=str(server.get("maxmemory_policy", "noeviction")),
        memory_max_bytes=int(server.get("maxmemory", 0)),
        memory_bytes=int(server.get("used_memory", 0)),
        has_profiles=has_profiles,
        displaced=_length(client, displaced_stream(settings)),
    )


def _length(client: Any, stream: str) -> int:
    return int(client.xlen(stream)) if client.type(stream) == b"stream" else 0
