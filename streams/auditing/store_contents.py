"""Notes what Redis holds of a deployment at one moment: digests of profiles and of delivered
decisions, in a file, so that memory stays flat.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
from redis.exceptions import RedisError

from config.settings import Settings
from models.comparison import comparable
from models.events.foreign import UNREADABLE
from models.events.times import milliseconds, moment_of
from streams.auditing.spools import digest_of, scratch_tables
from streams.store_keys import customer_key, displaced_stream, trigger_stream
from streams.store_writes import connect

KEYS_PER_LOOK = 500
ENTRIES_PER_LOOK = 1_000

_TABLES = """
CREATE TABLE profiles (
    customer TEXT PRIMARY KEY, as_of_ms INT, version INT, digest BLOB
) WITHOUT ROWID;
CREATE TABLE entries (stream TEXT, at_ms INT, id TEXT, digest BLOB);
CREATE INDEX by_id ON entries (id, stream);
"""


class KeptProfile(NamedTuple):
    """A profile in Redis: as of when it was made, with which model, and its digest. The time is -1
    if Keepstream can't have written it.
    """

    customer: str
    as_of_ms: int
    version: int
    digest: bytes


class Entry(NamedTuple):
    """A delivered decision: its stream, or the stream it waits for, and when Redis took it."""

    stream: str
    at_ms: int
    id: str
    digest: bytes


class _Profile(msgspec.Struct, rename="camel"):
    as_of: str
    model_version: int


_PROFILE = msgspec.json.Decoder(_Profile)


class StoreContents:
    """Profiles by customer, and the entries of the streams of decisions."""

    def __init__(self, directory: Path | None) -> None:
        """In a file in ``directory``, or in memory without one."""
        self._db = scratch_tables(directory, "store", _TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add_profiles(self, profiles: Iterable[KeptProfile]) -> None:
        self._insert("INSERT OR REPLACE INTO profiles VALUES (?,?,?,?)", profiles)

    def add_entries(self, entries: Iterable[Entry]) -> None:
        self._insert("INSERT INTO entries VALUES (?,?,?,?)", entries)

    @property
    def profiles(self) -> int:
        """How many profiles there were."""
        return int(self._db.execute("SELECT count(*) FROM profiles").fetchone()[0])

    def by_version(self) -> Iterator[KeptProfile]:
        """All profiles, those of one model version together."""
        with closing(self._db.cursor()) as rows:
            for row in rows.execute("SELECT * FROM profiles ORDER BY version, customer"):
                yield KeptProfile(*row)

    def has_profile(self, customer: str) -> bool:
        query = "SELECT 1 FROM profiles WHERE customer = ?"
        return self._db.execute(query, [customer]).fetchone() is not None

    def delivered(self, stream: str, decision: str) -> list[Entry]:
        """The entries of a decision, in the order Redis took them; after a fault more than one."""
        query = "SELECT * FROM entries WHERE id = ? AND stream = ? ORDER BY at_ms"
        return [Entry(*row) for row in self._db.execute(query, [decision, stream])]

    def entries(self) -> Iterator[Entry]:
        with closing(self._db.cursor()) as rows:
            for row in rows.execute("SELECT * FROM entries"):
                yield Entry(*row)

    def _insert(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(statement, rows)
        self._db.execute("COMMIT")


async def read_store(settings: Settings, contents: StoreContents) -> str | None:
    """Note everything that Redis has; return why that failed, or None."""
    try:
        async with connect(settings) as client:
            async for keys in _keys(client, customer_key(settings, "*")):
                values: Any = await client.mget(keys)
                found = zip(keys, values, strict=True)
                skipped = len(customer_key(settings, ""))
                contents.add_profiles(
                    _kept(key[skipped:].decode(errors="replace"), value)
                    for key, value in found
                    if value is not None
                )
            async for keys in _keys(client, trigger_stream(settings, "*")):
                for key in keys:
                    await _read_stream(client, key, contents)
            await _read_stream(client, displaced_stream(settings).encode(), contents)
    except (RedisError, OSError) as error:
        # Only the error's kind: its text may hold an address with a password.
        return f"{settings.redis_url_redacted} did not answer ({type(error).__name__})"
    return None


async def still_missing(settings: Settings, customers: list[str]) -> list[str]:
    """Those of ``customers`` who have no profile in Redis now."""
    missing: list[str] = []
    async with connect(settings) as client:
        for first in range(0, len(customers), KEYS_PER_LOOK):
            asked = customers[first : first + KEYS_PER_LOOK]
            values: Any = await client.mget([customer_key(settings, one) for one in asked])
            missing += [one for one, value in zip(asked, values, strict=True) if value is None]
    return missing


def entry_digest(content: bytes, group: str | None) -> bytes:
    """What identifies a delivered decision's content: its JSON, and the group beside it."""
    return digest_of((group or "").encode() + b"\0" + content)


async def _keys(client: Any, pattern: str) -> AsyncIterator[list[bytes]]:
    cursor = 0
    while True:
        cursor, keys = await client.scan(cursor, match=pattern, count=KEYS_PER_LOOK)
        if keys:
            yield keys
        if not cursor:
            return


async def _read_stream(client: Any, key: bytes, contents: StoreContents) -> None:
    if await client.type(key) != b"stream":
        return
    after = "-"
    while page := await client.xrange(key, min=after, count=ENTRIES_PER_LOOK):
        after = f"({page[-1][0].decode()}"
        contents.add_entries(_entry(key, entry_id, fields) for entry_id, fields in page)


def _entry(key: bytes, entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    stream = fields.get(b"stream", key).decode(errors="replace")
    group = fields[b"group"].decode(errors="replace") if b"group" in fields else None
    return Entry(
        stream,
        int(entry_id.split(b"-")[0]),
        fields.get(b"id", b"").decode(errors="replace"),
        entry_digest(fields.get(b"trigger", b""), group),
    )


def _kept(customer: str, content: bytes) -> KeptProfile:
    try:
        told = _PROFILE.decode(content)
    except UNREADABLE:
        return KeptProfile(customer, -1, 0, digest_of(comparable(content)))
    moment = moment_of(told.as_of)
    as_of_ms = -1 if moment is None else milliseconds(moment)
    return KeptProfile(customer, as_of_ms, told.model_version, digest_of(comparable(content)))
