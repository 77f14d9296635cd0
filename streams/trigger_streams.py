"""A stream in Redis for each kind of trigger, to which decisions are delivered.

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
#: How long it is known in Redis that somebody was erased: no worker is cut off for longer and goes
#: on with what it had in hand.
MARKER_KEPT_MS = DAY_MS
#: Displaced decisions looked at in one go.
DISPLACED_PER_LOOK = 200
#: Keys and entries looked at in one go when somebody is erased.
KEYS_PER_LOOK = 2_000
ENTRIES_PER_LOOK = 500
KINDS_OF_ACTIONS = (NEXT_BEST_ACTION, ACTION_WITHDRAWN)


class Deliverable(NamedTuple):
    """A decision with its JSON, and where it is: ``topic`` and the ``offset`` there."""

    decided: Decision
    content: bytes
    topic: str = RETENTION_TRIGGERS
    offset: int = 0


class _Entry(NamedTuple):
    """The fields to add to a stream, unless the customer was ``erased``, by the marker of that
    name, after the decision's ``offset``.
    """

    stream: str
    fields: dict[Any, Any]
    erased: str
    offset: int


class TriggerStreams:
    """Appends decisions to the streams of their kinds: an entry is the decision's id, its group
    and its JSON.

    A key that holds something else stops nobody: what belongs there waits in the stream
    `displaced_stream`, and `return_displaced` brings it back once the key is free.

    A worker that was cut off may add a decision for somebody of whom another worker has deleted all
    by then. So a marker says who was erased, and up to which offset: the store looks at it itself
    with each decision. A second one says when the erasure is done: from then on there is a new
    person, of whom such a worker must delete nothing.
    """

    def __init__(self, client: "redis.Redis", settings: Settings, metrics: Metrics) -> None:
        self._client = client
        self._settings = settings
        self._fingerprints = Fingerprints(settings.erasure_salt)
        self._metrics = metrics
        self._displaced = displaced_stream(settings)
        self._next_id = "-"
        #: Of the erasure that is under way of each topic, the streams that are done with. One that
        #: is given up, because its partition went, makes room for the next.
        self._swept: dict[str, tuple[Mapping[bytes, int], set[str]]] = {}
        #: Keys that hold something else, as far as this worker has met them.
        self.foreign_keys: set[str] = set()

    async def append(self, decisions: Sequence[Deliverable]) -> list[Deliverable]:
        """Add each decision; return those that Redis did not take.

        If the connection broke, that is not known, and all are returned: adding them again may
        add one twice. Readers drop repeated ids.
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
        """Delete what streams have of the decisions of ``topic`` for those who were ``erased``, by
        their fingerprints, each with the offset of the news; False when Redis did not answer to the
        end.

        In steps, between which the agents get a turn: streams are long, and few are erased.
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
        """Whether another worker has deleted all of this before. If not, the marker is set: what is
        added from here on is found by nobody.
        """
        done = await self._client.get(_done(marker))
        if done is not None and int(done) >= offset:
            return True
        await self._client.eval(RAISE, 1, marker, offset, MARKER_KEPT_MS)
        return False

    async def _streams_of(self, topic: str) -> AsyncIterator[str]:
        """The streams to which the decisions of a topic are delivered."""
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
        """Erase in a stream, unless that was done before Redis broke off: with many streams and a
        poor connection, to begin with the first of them each time would never come to the last.
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
        """Move what waits, some of it with each call, to the streams that can take it by now."""
        try:
            page: Any = await self._client.xrange(
                self._displaced, min=self._next_id, count=DISPLACED_PER_LOOK
            )
            if not page:
                self._next_id = "-"
                # Those of which something waits are met again.
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
        # An earlier release did not say when it was decided.
        erased, offset = fields.get(b"erased", b"").decode(), int(fields.get(b"offset", 0))
        return not has_failed((await self._add([_Entry(stream, entry, erased, offset)]))[0])

    def _entry(self, due: Deliverable) -> _Entry:
        decided = due.decided
        fields: dict[Any, Any] = {"id": decided.id}
        # An earlier release's trigger does not say its group.
        if decided.group is not None:
            fields["group"] = decided.group
        fields["trigger"] = due.content
        marker = self._marker(due.topic, self._fingerprints.of(decided.user_id))
        return _Entry(trigger_stream(self._settings, decided.kind), fields, marker, due.offset)

    def _apart(self, entry: _Entry) -> _Entry:
        """What waits until the key of its stream is free."""
        told = {"stream": entry.stream, "erased": entry.erased, "offset": entry.offset}
        return entry._replace(stream=self._displaced, fields={**entry.fields, **told})

    async def _add(self, entries: Sequence[_Entry]) -> list[Any]:
        """Add the entries, and give for each its id, nothing for somebody erased, or the error."""
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


#: What `_move` adds again without.
_OF_DISPLACED = (b"stream", b"erased", b"offset")

#: Add an entry to a stream, unless its customer was erased after it was decided.
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

#: Delete entries, unless their customer's erasure is done: what is there by now is of a new person,
#: and whoever would delete it is a worker that was cut off in the middle.
REMOVE = """
local done = redis.call("GET", KEYS[2])
if done and tonumber(done) >= tonumber(ARGV[1]) then
    return 0
end
return redis.call("XDEL", KEYS[1], unpack(ARGV, 2))
"""

#: Of a page of a stream after an id the last id, if there may be more, and then of each entry that
#: is a decision its id and the customer's, as JSON has it. The store looks for it itself: to read
#: all of every decision would cost a worker ten times as much.
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
    """A text as JSON has it; empty for what is none, which Keepstream did not write."""
    try:
        return str(orjson.loads(content))
    except orjson.JSONDecodeError:
        return ""
