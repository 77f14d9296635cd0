"""Views in Redis for fast reads: each customer's latest profile, and a stream for each trigger.

Redis is never the source of truth. While it is down the worker goes on; when it is back, even
empty, missing profiles are written again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import islice, takewhile
from secrets import token_hex
from time import monotonic
from typing import Any, NamedTuple

import orjson
import redis.asyncio as redis
from redis.exceptions import RedisError, ResponseError

from config.duration import DAY_MS
from config.settings import Settings
from config.topics import NEXT_BEST_ACTIONS, RETENTION_TRIGGERS
from models.decisions.trigger import ACTION_WITHDRAWN, NEXT_BEST_ACTION, Decision
from streams.graves import Fingerprints
from streams.metrics import Metrics

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
PROFILES_PER_WRITE = 200
#: Profiles drawn up before heartbeats and the agents get a turn.
PROFILES_PER_TURN = 10
#: Seconds from one profile of a customer to the next: of somebody who does much, most of them would
#: be drawn up for nobody.
REST_S = 1.0
TIMEOUT_S = 5.0
#: Stands for the profile of an id that is another customer's, was only named, or was erased: there
#: is none.
NOBODY = b""


def customer_key(settings: Settings, customer: str) -> str:
    """The key of ``customer``'s profile, a JSON text."""
    return f"{settings.topic_prefix}keepstream:customer:{customer}"


def trigger_stream(settings: Settings, kind: str) -> str:
    """The Redis stream of one kind of trigger."""
    return f"{settings.topic_prefix}keepstream:triggers:{kind}"


def displaced_stream(settings: Settings) -> str:
    """The Redis stream of decisions whose own stream's key holds something else."""
    return f"{settings.topic_prefix}keepstream:displaced"


def connect(settings: Settings) -> "redis.Redis":
    """A client that gives up on a silent server; it connects when it is first used."""
    return redis.Redis.from_url(
        settings.redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )


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


class _News(NamedTuple):
    """That somebody was erased: the ``offset`` of it on the topic of their decisions, and since
    when, by the store's clock, it is known there.
    """

    offset: int
    since_ms: int

    def is_of(self, entry_id: bytes, offset: int) -> bool:
        """Whether the news is of the customer of this entry, and not of somebody before them: what
        is theirs was decided after it, and added when it was known.
        """
        return offset < self.offset or int(entry_id.split(b"-")[0]) < self.since_ms


class TriggerStreams:
    """Appends decisions to the streams of their kinds: an entry is the decision's id, its group,
    its JSON and its offset on its topic.

    A key that holds something else stops nobody: what belongs there waits in the stream
    `displaced_stream`, and `return_displaced` brings it back once the key is free.

    A worker that was cut off may add a decision for somebody of whom another worker has deleted all
    by then. So a marker says who was erased, up to which offset, and since when: the store looks at
    it itself with each decision. Nor may such a worker, which reads the news late, delete what was
    decided since for whoever came later.
    """

    def __init__(self, client: "redis.Redis", settings: Settings, metrics: Metrics) -> None:
        self._client = client
        self._settings = settings
        self._fingerprints = Fingerprints(settings.erasure_salt)
        self._metrics = metrics
        self._displaced = displaced_stream(settings)
        self._next_id = "-"
        #: Keys that hold something else, as far as this worker has met them.
        self.foreign_keys: set[str] = set()

    async def append(self, decisions: Sequence[Deliverable]) -> list[Deliverable]:
        """Add each decision; return those that Redis did not take.

        If the connection broke, that is not known, and all are returned: adding them again may
        add one twice. Readers drop repeated ids.
        """
        entries = [self._entry(due) for due in decisions]
        results = await self._add(entries)
        foreign = [n for n, result in enumerate(results) if _is_foreign(result)]
        if foreign:
            self._tell_foreign({entries[number].stream for number in foreign})
            apart = [self._apart(entries[number]) for number in foreign]
            for number, result in zip(foreign, await self._add(apart), strict=True):
                results[number] = result
        failed = [one for one, result in zip(decisions, results, strict=True) if _failed(result)]
        if any(map(_is_foreign, results)):
            self._tell_foreign({self._displaced})
        self._metrics.redis_up.set(not failed)
        return failed

    async def erase(self, erased: Mapping[bytes, int], topic: str) -> bool:
        """Delete what streams have of the decisions of ``topic`` for those who were ``erased``, by
        their fingerprints, each with the offset of the news; False when Redis did not answer to the
        end.

        In steps, between which the agents get a turn: streams are long, and few are erased.
        """
        news: dict[bytes, _News] = {}
        try:
            for fingerprint, offset in erased.items():
                # First: what is added from here on is found by nobody.
                marker = self._marker(topic, fingerprint)
                since: Any = await self._client.eval(MARK, 1, marker, offset, MARKER_KEPT_MS)
                news[fingerprint] = _News(offset, int(since))
            async for stream in self._streams_of(topic):
                await self._erase_in(stream, topic, news)
            await self._erase_in(self._displaced, topic, news)
        except (RedisError, OSError) as error:
            _tell(error)
            self._metrics.redis_up.set(0)
            return False
        return True

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
        return self._markers(topic) + fingerprint.hex()

    def _markers(self, topic: str) -> str:
        return f"{self._settings.topic_prefix}keepstream:erased:{topic}:"

    async def _erase_in(self, stream: str, topic: str, erased: Mapping[bytes, _News]) -> None:
        if await self._client.type(stream) != b"stream":
            return
        after = "-"
        while after:
            found: Any = await self._client.eval(
                _WHOSE_ENTRIES, 1, stream, after, ENTRIES_PER_LOOK, self._markers(topic)
            )
            last, *entries = found.split(b"\n")
            after = f"({last.decode()}" if last else ""
            theirs = [
                entry_id
                for entry_id, offset, whose in (entry.split(b" ", 2) for entry in entries)
                if (customer := _text_in(whose))
                and (news := erased.get(self._fingerprints.of(customer)))
                and news.is_of(entry_id, int(offset))
            ]
            if theirs:
                await self._client.xdel(stream, *theirs)

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
        return not _failed((await self._add([_Entry(stream, entry, erased, offset)]))[0])

    def _entry(self, due: Deliverable) -> _Entry:
        decided = due.decided
        fields: dict[Any, Any] = {"id": decided.id}
        # An earlier release's trigger does not say its group.
        if decided.group is not None:
            fields["group"] = decided.group
        fields["trigger"] = due.content
        fields["offset"] = due.offset
        marker = self._marker(due.topic, self._fingerprints.of(decided.user_id))
        return _Entry(trigger_stream(self._settings, decided.kind), fields, marker, due.offset)

    def _apart(self, entry: _Entry) -> _Entry:
        """What waits until the key of its stream is free."""
        told = {"stream": entry.stream, "erased": entry.erased}
        return entry._replace(stream=self._displaced, fields={**entry.fields, **told})

    async def _add(self, entries: Sequence[_Entry]) -> list[Any]:
        """Add the entries, and give for each its id, nothing for somebody erased, or the error."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for stream, fields, erased, offset in entries:
                said = [part for field in fields.items() for part in field]
                pipeline.eval(_ADD, 2, stream, erased, offset, TRIGGERS_KEPT, *said)
            return await _results(pipeline, len(entries))

    def _tell_foreign(self, keys: set[str]) -> None:
        for key in sorted(keys - self.foreign_keys):
            log.error(
                "the key %s in Redis holds something else than our stream: delete or rename it; "
                "until then its decisions wait in %s", key, self._displaced,
            )  # fmt: skip
        self.foreign_keys |= keys


#: What `_move` adds again without.
_OF_DISPLACED = (b"stream", b"erased")

#: Add an entry to a stream, unless its customer was erased after it was decided.
_ADD = """
local erased = redis.call("GET", KEYS[2])
if erased and tonumber(ARGV[1]) < tonumber(string.match(erased, "^%d+")) then
    return ""
end
return redis.pcall("XADD", KEYS[1], "MAXLEN", "~", ARGV[2], "*", unpack(ARGV, 3))
"""

#: Note that somebody was erased by the news at an offset, for so long; the latest news stands. It
#: gives since when, in ms, that is known.
MARK = """
local known = redis.call("GET", KEYS[1])
local time = redis.call("TIME")
local now = string.format("%.0f", time[1] * 1000 + math.floor(time[2] / 1000))
if known and tonumber(string.match(known, "^%d+")) >= tonumber(ARGV[1]) then
    redis.call("PEXPIRE", KEYS[1], ARGV[2])
    return string.match(known, " (%d+)$") or now
end
redis.call("SET", KEYS[1], ARGV[1] .. " " .. now, "PX", ARGV[2])
return now
"""

#: Of a page of a stream after an id the last id, if there may be more, and then of each entry that
#: is a decision, and not of another topic than the one with these markers, its id, its offset there
#: (-1 for that of an earlier release) and the customer's id, as JSON has it. The store looks for it
#: itself: to read all of every decision would cost a worker ten times as much.
_WHOSE_ENTRIES = r"""
local page = redis.call("XRANGE", KEYS[1], ARGV[1], "+", "COUNT", ARGV[2])
local found = {#page == tonumber(ARGV[2]) and page[#page][1] or ""}
for _, entry in ipairs(page) do
    local offset, is_of_topic = "-1", true
    for place = 1, #entry[2], 2 do
        if entry[2][place] == "offset" and string.find(entry[2][place + 1], "^%d+$") then
            offset = entry[2][place + 1]
        elseif entry[2][place] == "erased" then
            is_of_topic = string.sub(entry[2][place + 1], 1, #ARGV[3]) == ARGV[3]
        end
    end
    for place = 1, is_of_topic and #entry[2] or 0, 2 do
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
                found[#found + 1] = entry[1] .. " " .. offset .. " " .. whose
            end
        end
    end
end
return table.concat(found, "\n")
"""


def _text_in(content: bytes) -> str:
    """A text as JSON has it; empty for what is none, which Keepstream did not write."""
    try:
        return str(orjson.loads(content))
    except orjson.JSONDecodeError:
        return ""


class ProfileViews:
    """Keeps the profiles in Redis up to date, with a delay after rows change.

    Only a customer's latest row is written, however often it changed meanwhile, and at most once
    in `REST_S`. The latest one always is: an offer is only forgotten for a profile that is drawn
    up after it.
    """

    def __init__(
        self,
        client: "redis.Redis",
        settings: Settings,
        metrics: Metrics,
        render: Callable[[str], bytes | None],
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._render = render
        self._now_s = now_s
        self._changed: dict[str, None] = {}
        #: When profiles were last drawn up, the earliest first; and of those customers, the ones
        #: whose rows have changed since.
        self._drawn_s: dict[str, float] = {}
        self._resting: set[str] = set()
        # Every worker compares the marker's value with the one it saw last, so that a worker that
        # sets a new one does not hide from the others that the old one is gone.
        self._marker = f"{settings.topic_prefix}keepstream:filled"
        self._mark: bytes | None = None

    def offer(self, customers: Iterable[str]) -> None:
        """Note that these customers' profiles must be written again."""
        for customer in customers:
            if customer in self._drawn_s:
                self._resting.add(customer)
            else:
                self._changed[customer] = None

    @property
    def waiting(self) -> int:
        """The number of profiles still to be written."""
        return len(self._changed) + len(self._resting)

    @property
    def due(self) -> int:
        """The number of profiles that may be written at once."""
        self._end_rests()
        return len(self._changed)

    def _end_rests(self) -> None:
        """Let those be written again whose profiles were drawn up long enough ago."""
        ended_s = self._now_s() - REST_S
        ended = [c for c, _ in takewhile(lambda one: one[1] <= ended_s, self._drawn_s.items())]
        for customer in ended:
            del self._drawn_s[customer]
            if customer in self._resting:
                self._resting.discard(customer)
                self._changed[customer] = None

    async def write_some(self) -> bool:
        """Write the profiles that waited longest; False when Redis did not take all of them."""
        self._end_rests()
        # Not a list of all: a million of them wait when a store is filled again.
        customers = list(islice(self._changed, PROFILES_PER_WRITE))
        views: dict[str, bytes | None] = {}
        for number, customer in enumerate(customers, 1):
            # From here on an offer is of a later row than the one that is drawn up.
            del self._changed[customer]
            self._drawn_s[customer] = self._now_s()
            views[customer] = self._render(customer)
            if not number % PROFILES_PER_TURN:
                # Heartbeats and batches come first, also while a whole store is filled.
                await asyncio.sleep(0)
        shown = {customer: view for customer, view in views.items() if view is not None}
        async with self._client.pipeline(transaction=False) as pipeline:
            for customer, view in shown.items():
                if view is NOBODY:
                    pipeline.delete(customer_key(self._settings, customer))
                else:
                    pipeline.set(customer_key(self._settings, customer), view)
            results = await _results(pipeline, len(shown))
        failed = [one for one, result in zip(shown, results, strict=True) if _failed(result)]
        for customer in failed:
            self._drawn_s.pop(customer, None)
            self._resting.discard(customer)
            self._changed[customer] = None
        if shown:
            self._metrics.redis_up.set(not failed)
        return not failed

    async def was_emptied(self) -> bool:
        """Whether Redis lost its data since the last call; False for the first call."""
        try:
            await self._client.set(self._marker, token_hex(8), nx=True)
            try:
                found: Any = await self._client.get(self._marker)
            except ResponseError as error:
                if not _is_foreign(error):
                    raise
                # Ours by its name, as the profiles' keys are: written over.
                found = token_hex(8).encode()
                await self._client.set(self._marker, found)
        except (RedisError, OSError) as error:
            _tell(error)
            self._metrics.redis_up.set(0)
            return False
        self._metrics.redis_up.set(1)
        before, self._mark = self._mark, found
        return before is not None and before != self._mark


async def _results(pipeline: Any, count: int) -> list[Any]:
    """What became of each command: its answer or its error, or the connection's for all."""
    if not count:
        return []
    try:
        results: list[Any] = await pipeline.execute(raise_on_error=False)
    except (RedisError, OSError) as error:
        results = [error] * count
    passing = [one for one in results if _failed(one) and not _is_foreign(one)]
    if passing:
        _tell(passing[0])
    return results


def _failed(result: object) -> bool:
    return isinstance(result, RedisError | OSError)


def _is_foreign(result: object) -> bool:
    """Whether the key held another type than the command is for."""
    return isinstance(result, ResponseError) and str(result).startswith("WRONGTYPE")


def _tell(error: Exception) -> None:
    # Its text may hold an address with a password; the kind of error says enough.
    log.warning("Redis did not take a write (%s); trying again", type(error).__name__)
