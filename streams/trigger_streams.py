"""Delivers decisions to Redis: one stream for each kind of trigger.

Redis is never the source of truth: while it is down, decisions wait in their topics.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import redis.asyncio as redis
from redis.exceptions import RedisError

from config.duration import DAY_MS
from config.settings import Settings
from config.topics import NEXT_BEST_ACTIONS, RETENTION_TRIGGERS
from models.decisions.trigger import ACTION_WITHDRAWN, NEXT_BEST_ACTION, Decision
from streams.graves import Fingerprints
from streams.metrics import Metrics
from streams.store_keys import displaced_stream, trigger_stream
from streams.store_writes import has_failed, is_foreign, results_of, tell_failure

log = logging.getLogger(__name__)

TRIGGERS_KEPT = 100_000
#: How long Redis remembers that somebody was erased. A worker that is cut off for longer does not
#: continue with its old decisions.
MARKER_KEPT_MS = DAY_MS
#: Displaced decisions examined in one step.
DISPLACED_PER_LOOK = 200
#: Keys and entries examined in one step of an erasure.
KEYS_PER_LOOK = 2_000
ENTRIES_PER_LOOK = 500
KINDS_OF_ACTIONS = (NEXT_BEST_ACTION, ACTION_WITHDRAWN)


class Deliverable(NamedTuple):
    """A decision with its JSON, and its ``topic`` and ``offset``."""

    decided: Decision
    content: bytes
    topic: str = RETENTION_TRIGGERS
    offset: int = 0


class _Entry(NamedTuple):
    """The fields to add to a stream, unless the customer was erased after the decision's
    ``offset``, which the marker named ``erased`` says.
    """

    stream: str
    fields: dict[Any, Any]
    erased: str
    offset: int


class TriggerStreams:
    """Appends decisions to the streams of their kinds: an entry is the decision's id, its group
    and its JSON.

    A key that holds something else holds nobody up: its decisions wait in the stream
    `displaced_stream`, and `return_displaced` moves them back once the key is free.

    A worker that was cut off may add a decision for a customer whom another worker has erased
    meanwhile. So a marker says who was erased, and up to which offset; Redis itself checks it with
    each decision. A second marker says when the erasure is done: from then on the id belongs to a
    new person, and such a worker must delete nothing of theirs.
    """

    def __init__(self, client: "redis.Redis", settings: Settings, metrics: Metrics) -> None:
        self._client = client
        self._settings = settings
        self._fingerprints = Fingerprints(settings.erasure_salt)
        self._metrics = metrics
        self._displaced = displaced_stream(settings)
        self._next_id = "-"
        #: By topic, the erasure in progress and the streams that it has finished. If its partition
        #: moves away, the next erasure replaces it.
        self._swept: dict[str, tuple[Mapping[bytes, int], set[str]]] = {}
        #: Keys that hold something else, as far as this worker has found.
        self.foreign_keys: set[str] = set()

    async def append(self, decisions: Sequence[Deliverable]) -> list[Deliverable]:
        """Add each decision; return those that Redis did not take.

        If the connection broke, nobody knows which, and all are returned: adding them again may add
        one twice. Readers drop repeated ids.
        """
        entries = [self._entry(due) for due in decisions]
        results = await self._add(entries)
        foreign = [n for n, result in enumerate(results) if is_foreign(result)]
        if foreign:
            self._tell_foreign({entries[number].stream for number in foreign})
            apart = [self._apart(entries[number]) for number in foreign]
            for number, result in zip(foreign, await self._add(apart), strict=True):
                results[number] = result
        failed = [one for one, result in zip(decisions, results, strict=True) if has_failed(result)]
        if any(map(is_foreign, results)):
            self._tell_foreign({self._displaced})
        self._metrics.redis_up.set(not failed)
        return failed

    async def erase(self, erased: Mapping[bytes, int], topic: str) -> bool:
        """Delete decisions of ``topic`` for erased customers from the streams; False when Redis
        stopped answering. ``erased``: fingerprints, each with the offset of its notice.

        It works in steps, and agents get a turn in between: streams are long, and few are erased.
        """
        try:
            left = {
                fingerprint: offset
                for fingerprint, offset in erased.items()
                if not await self._is_done(self._marker(topic, fingerprint), offset)
            }
            if not left:
                self._swept.pop(topic, None)
                return True
            begun, swept = self._swept.get(topic, (left, set()))
            if begun != left:
                swept = set()
            self._swept[topic] = left, swept
            async for stream in self._streams_of(topic):
                await self._sweep(stream, left, topic, swept)
            await self._sweep(self._displaced, left, topic, swept)
            for fingerprint, offset in left.items():
                done = _done(self._marker(topic, fingerprint))
                await self._client.eval(RAISE, 1, done, offset, MARKER_KEPT_MS)
            del self._swept[topic]
        except (RedisError, OSError) as error:
            tell_failure(error)
            self._metrics.redis_up.set(0)
            return False
        return True

    async def _is_done(self, marker: str, offset: int) -> bool:
        """Whether another worker has already deleted everything. If not, set the marker, so that
        Redis refuses later additions.
        """
        done = await self._client.get(_done(marker))
        if done is not None and int(done) >= offset:
            return True
        await self._client.eval(RAISE, 1, marker, offset, MARKER_KEPT_MS)
        return False

    async def _streams_of(self, topic: str) -> AsyncIterator[str]:
        """The streams that the decisions of a topic are delivered to."""
        of_actions = [trigger_stream(self._settings, kind) for kind in KINDS_OF_ACTIONS]
        if topic == NEXT_BEST_ACTIONS:
            for stream in of_actions:
                yield stream
            return
        cursor, pattern = 0, trigger_stream(self._settings, "*")
        while True:
            found: Any = await self._client.scan(
                cursor, match=pattern, count=KEYS_PER_LOOK, _type="STREAM"
            )
            cursor, keys = found
            for stream in sorted({key.decode() for key in keys} - set(of_actions)):
                yield stream
            if not cursor:
                return

    def _marker(self, topic: str, fingerprint: bytes) -> str:
        return f"{self._settings.topic_prefix}keepstream:erased:{topic}:{fingerprint.hex()}"

    async def _sweep(
        self, stream: str, erased: Mapping[bytes, int], topic: str, swept: set[str]
    ) -> None:
        """Erase in a stream, unless it was finished before Redis stopped answering. With many
        streams and a poor connection, starting from the first each time would never reach the last.
        """
        if stream not in swept:
            await self._erase_in(stream, erased, topic)
            swept.add(stream)

    async def _erase_in(self, stream: str, erased: Mapping[bytes, int], topic: str) -> None:
        if await self._client.type(stream) != b"stream":
            return
        after = "-"
        while after:
            found: Any = await self._client.eval(WHOSE_ENTRIES, 1, stream, after, ENTRIES_PER_LOOK)
            last, *entries = found.split(b"\n")
            after = f"({last.decode()}" if last else ""
            theirs: dict[bytes, list[bytes]] = {}
            for entry_id, whose in (entry.split(b" ", 1) for entry in entries):
                customer = _text_in(whose)
                fingerprint = self._fingerprints.of(customer) if customer else b""
                if fingerprint in erased:
                    theirs.setdefault(fingerprint, []).append(entry_id)
            for fingerprint, entry_ids in theirs.items():
                done, offset = _done(self._marker(topic, fingerprint)), erased[fingerprint]
                await self._client.eval(REMOVE, 2, stream, done, offset, *entry_ids)

    async def return_displaced(self) -> None:
        """Move displaced decisions, some with each call, to streams that can take them now."""
        try:
            page: Any = await self._client.xrange(
                self._displaced, min=self._next_id, count=DISPLACED_PER_LOOK
            )
            if not page:
                self._next_id = "-"
                # Keys that are still foreign will be found again.
                self.foreign_keys.clear()
                return
            self._next_id = f"({page[-1][0].decode()}"
            moved = [entry_id for entry_id, fields in page if await self._move(fields)]
            if moved:
                await self._client.xdel(self._displaced, *moved)
        except (RedisError, OSError) as error:
            log.warning("could not look after displaced decisions (%s)", type(error).__name__)

    async def _move(self, fields: dict[bytes, bytes]) -> bool:
        stream = fields[b"stream"].decode()
        if await self._client.type(stream) not in (b"stream", b"none"):
            self._tell_foreign({stream})
            return False
        self.foreign_keys.discard(stream)
        entry = {name: value for name, value in fields.items() if name not in _OF_DISPLACED}
        # An earlier release did not write the offset.
        erased, offset = fields.get(b"erased", b"").decode(), int(fields.get(b"offset", 0))
        return not has_failed((await self._add([_Entry(stream, entry, erased, offset)]))[0])

    def _entry(self, due: Deliverable) -> _Entry:
        decided = due.decided
        fields: dict[Any, Any] = {"id": decided.id}
        # An earlier release's trigger does not name its group.
        if decided.group is not None:
            fields["group"] = decided.group
        fields["trigger"] = due.content
        marker = self._marker(due.topic, self._fingerprints.of(decided.user_id))
        return _Entry(trigger_stream(self._settings, decided.kind), fields, marker, due.offset)

    def _apart(self, entry: _Entry) -> _Entry:
        """The entry for the stream of displaced decisions, where it waits for its key."""
        told = {"stream": entry.stream, "erased": entry.erased, "offset": entry.offset}
        return entry._replace(stream=self._displaced, fields={**entry.fields, **told})

    async def _add(self, entries: Sequence[_Entry]) -> list[Any]:
        """Add the entries; return for each its id, nothing for an erased customer, or the error."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for stream, fields, erased, offset in entries:
                said = [part for field in fields.items() for part in field]
                pipeline.eval(_ADD, 2, stream, erased, offset, TRIGGERS_KEPT, *said)
            return await results_of(pipeline, len(entries))

    def _tell_foreign(self, keys: set[str]) -> None:
        for key in sorted(keys - self.foreign_keys):
            log.error(
                "the key %s in Redis holds something else than our stream: delete or rename it; "
                "until then its decisions wait in %s", key, self._displaced,
            )  # fmt: skip
        self.foreign_keys |= keys


#: The fields that `_move` leaves out when it adds an entry again.
_OF_DISPLACED = (b"stream", b"erased", b"offset")

#: Add an entry to a stream, unless its customer was erased after the decision.
_ADD = """
local erased = redis.call("GET", KEYS[2])
if erased and tonumber(ARGV[1]) < tonumber(erased) then
    return ""
end
return redis.pcall("XADD", KEYS[1], "MAXLEN", "~", ARGV[2], "*", unpack(ARGV, 3))
"""

#: Set a marker to an offset, unless it has a later one.
RAISE = """
local before = redis.call("GET", KEYS[1])
if not before or tonumber(before) < tonumber(ARGV[1]) then
    redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
end
"""

#: Delete entries, unless their customer's erasure is done: then the entries belong to a new person,
#: and the worker that asks was cut off in the middle.
REMOVE = """
local done = redis.call("GET", KEYS[2])
if done and tonumber(done) >= tonumber(ARGV[1]) then
    return 0
end
return redis.call("XDEL", KEYS[1], unpack(ARGV, 2))
"""

#: A page of a stream after an id: first the last id, if there may be more entries; then, of each
#: decision, the entry's id and the customer's, as in the JSON. Redis extracts it: reading whole
#: decisions would cost a worker ten times as much.
WHOSE_ENTRIES = r"""
local page = redis.call("XRANGE", KEYS[1], ARGV[1], "+", "COUNT", ARGV[2])
local found = {#page == tonumber(ARGV[2]) and page[#page][1] or ""}
for _, entry in ipairs(page) do
    for place = 1, #entry[2], 2 do
        if entry[2][place] == "trigger" then
            local _, begin = string.find(entry[2][place + 1], '"userId":"', 1, true)
            local stop = begin
            while stop do
                stop = string.find(entry[2][place + 1], '["\\]', stop + 1)
                if stop and string.sub(entry[2][place + 1], stop, stop) == "\\" then
                    stop = stop + 1
                else
                    break
                end
            end
            if stop then
                local whose = string.sub(entry[2][place + 1], begin, stop)
                found[#found + 1] = entry[1] .. " " .. whose
            end
        end
    end
end
return table.concat(found, "\n")
"""


def _done(marker: str) -> str:
    """The marker that says up to which offset the erasure is done."""
    return f"{marker}:done"


def _text_in(content: bytes) -> str:
    """A text from its JSON; empty if it is no text, which Keepstream never writes."""
    try:
        return str(orjson.loads(content))
    except orjson.JSONDecodeError:
        return ""
