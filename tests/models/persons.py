"""A deployment of several partitions in memory, whose rows send each other records about ids.

Records for another partition are appended to its log, and folded by the next `Deployment.settle`,
or later.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.profile import profile
from models.customer.row import Row, decode_row, encode_row
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.link_record import LinkRecord, encode_link_record
from models.events.rejection import Rejected
from models.events.times import iso
from models.events.wire import decode_log_line
from models.graves import Grave
from models.identity import copy_of, is_mirror
from models.learning.lessons import Lesson, Tally
from models.partition import Partition
from models.partition_state import PartitionState, decode_state, encode_state
from models.plan import Plan, plan_for
from streams.kafka_clients import partition_for
from tests.models.events_alone import parts_of_events, timers_of_events
from tests.models.lines import PARAMETERS as SHIPPED
from tests.models.lines import PRIOR, TYPES
from tests.models.test_partition import HotRows

LINKING = replace(SHIPPED, identity=replace(SHIPPED.identity, enabled=True))
#: No ids are linked.
APART = replace(SHIPPED, identity=replace(SHIPPED.identity, enabled=False))
PLAN = plan_for(LINKING)


def said_by(
    name: str,
    at_ms: int,
    *,
    user: str | None = None,
    visitor: str | None = None,
    previous: str | None = None,
    message: str | None = None,
    channel: str | None = None,
    **properties: Any,
) -> bytes:
    """An event that names a user, a visitor or both, or an alias that also names another id, as
    ingest writes it to the log.
    """
    said: dict[str, Any] = {"type": name} if name in TYPES else {"type": "track", "event": name}
    said |= {"timestamp": iso(at_ms), "properties": properties, "logFormat": 3}
    said["messageId"] = message or f"{name} {at_ms} {user} {visitor} {previous} {properties}"[:256]
    if user is not None:
        said["userId"] = user
    if visitor is not None:
        said["anonymousId"] = visitor
    if previous is not None:
        said["previousId"] = previous
    if channel is not None:
        said["context"] = {"channel": channel}
    return orjson.dumps(said)


class Deployment:
    """``effects``: decisions and lessons; ``refused``: what parts or rows refused; ``outcomes``: of
    decisions, under the customer they count for; ``dropped``: labels that teach nothing, by reason.
    """

    def __init__(self, partitions: int = 1, parameters: Parameters = LINKING) -> None:
        self.plan: Plan = PLAN if parameters is LINKING else plan_for(parameters)
        self.logs: list[list[bytes]] = [[] for _ in range(partitions)]
        self.rows = [HotRows() for _ in range(partitions)]
        self.graves: list[dict[str, Grave]] = [{} for _ in range(partitions)]
        self.states = [encode_state(PartitionState()) for _ in range(partitions)]
        self.lanes = [self._opened(number) for number in range(partitions)]
        self.effects: list[Effect] = []
        self.refused: list[Rejected] = []
        self.outcomes: list[Event] = []
        self.dropped: Counter[str] = Counter()

    def _opened(self, number: int) -> Partition:
        state = decode_state(self.states[number])
        rows, graves = self.rows[number], self.graves[number]
        return Partition(number, rows, PRIOR, self.plan, lambda *_: PRIOR, state, graves)

    def home(self, id_: str) -> int:
        return partition_for(id_.encode(), len(self.logs))

    # What happens

    def publish(self, *raws: bytes) -> None:
        """Append events to the logs of their partitions, without folding them."""
        for raw in raws:
            line = orjson.loads(raw)
            self.logs[self.home(line.get("userId") or line["anonymousId"])].append(raw)

    def clock(self, at_ms: int) -> None:
        """Write the time to every partition."""
        record = orjson.dumps({"type": "clock", "timestamp": iso(at_ms), "logFormat": 3})
        for log in self.logs:
            log.append(record)

    def fold(self, number: int, records: int = 1) -> bool:
        """Fold the next records of a partition; whether there was one."""
        lane, log = self.lanes[number], self.logs[number]
        at = lane.state.applied + 1
        for offset in range(at, min(at + records, len(log))):
            self._apply(lane, offset, log[offset])
        return at < len(log)

    def _apply(self, lane: Partition, offset: int, raw: bytes) -> None:
        try:
            applied = lane.apply(offset, decode_log_line(raw))
        except Rejected as refused:
            lane.skip(offset)
            self.refused.append(refused)
            return
        if applied.refused is not None:
            self.refused.append(applied.refused)
        if applied.outcome is not None:
            self.outcomes.append(applied.outcome)
        for why, count in applied.dropped:
            self.dropped[why] += count
        for effect in applied.effects:
            if isinstance(effect, LinkRecord):
                self.logs[self.home(effect.customer)].append(encode_link_record(effect))
            else:
                self.effects.append(effect)

    def settle(self) -> None:
        """Fold everything, and the records that follow from it, until nothing is left."""
        for _ in range(10_000):
            if sum(self.fold(number) for number in range(len(self.logs))) == 0:
                return
        raise AssertionError("the rows never come to an end of telling each other")

    def tell(self, *raws: bytes) -> None:
        """Publish events one after the other, and fold each with all records that follow from
        it.
        """
        for raw in raws:
            self.publish(raw)
            self.settle()

    def tick(self, at_ms: int) -> None:
        self.clock(at_ms)
        self.settle()

    # A worker that dies

    def save(self, number: int) -> None:
        """Write the changes of a partition's batch to the changelog."""
        self.states[number] = encode_state(self.lanes[number].state)

    def die(self, number: int) -> None:
        """Return to the last saved state; rows may be later."""
        self.rows[number].rows.clear()
        for customer in self.rows[number].stored:
            self.rows[number].get(customer)
        self.lanes[number] = self._opened(number)

    # What came of it

    def row(self, id_: str) -> Row | None:
        return self.rows[self.home(id_)].get(id_)

    def grave(self, id_: str) -> Grave | None:
        return self.graves[self.home(id_)].get(id_)

    def erased(self) -> dict[str, Grave]:
        """The grave of every erased id, without its offsets."""
        found = {id_: one for graves in self.graves for id_, one in graves.items() if one.at_ms}
        nowhere = {"applied": 0, "erased": 0, "lifted": 0, "lifted_said_ms": 0}
        return {id_: replace(one, **nowhere) for id_, one in found.items()}

    def stored(self, id_: str) -> bytes | None:
        return self.rows[self.home(id_)].stored.get(id_)

    def everybody(self) -> Iterator[tuple[str, Row]]:
        """Every person's row, without the rows of ids that belong to another."""
        for rows in self.rows:
            yield from ((id_, row) for id_, row in rows.rows.items() if not is_mirror(row))

    def people(self) -> dict[str, frozenset[str]]:
        """The ids of every person, by the id that they are reported under."""
        return {id_: frozenset(row.ids) | {id_} for id_, row in self.everybody()}

    def whole(self, id_: str) -> dict[str, Any]:
        """The content of an id's own row that follows from its own events."""
        row = self.row(id_)
        assert row is not None
        return made_of_events(row.ids[id_].row if id_ in row.ids else row)

    def of_person(self, person: str, id_: str) -> dict[str, Any]:
        """The same, as the person's row has it."""
        row = self.row(person)
        assert row is not None
        return made_of_events(row.ids[id_].row)

    def profile(self, id_: str) -> Any:
        lane, row = self.lanes[self.home(id_)], self.row(id_)
        assert row is not None
        return profile(id_, row, lane.as_of_ms, lane.context)

    def fired(self, kinds: Iterable[str] = ()) -> list[tuple[str, str]]:
        """The triggers so far, of some kinds or all, with their customers."""
        triggers = [one for one in self.effects if isinstance(one, Trigger)]
        return [(one.kind, one.user_id) for one in triggers if not kinds or one.kind in kinds]

    def sums(self) -> Counter[tuple[str, str, int]]:
        """The sums over all customers, by part, key and day."""
        sums: Counter[tuple[str, str, int]] = Counter()
        told = [one for one in self.effects if isinstance(one, Tally)]
        # Effects that are repeated after a crash have the same place, and count once.
        for effect in {(one.partition, one.offset, one.index): one for one in told}.values():
            for key, day, amount in effect.sums:
                sums[effect.part, key, day] += amount
        return Counter({key: amount for key, amount in sums.items() if amount})

    def lessons(self) -> Sequence[Lesson]:
        return [one for one in self.effects if isinstance(one, Lesson)]


def made_of_events(row: Row) -> dict[str, Any]:
    """All of a row except decisions, labels, and its place in the log; parts as bytes."""
    row = copy_of(decode_row(encode_row(row)))
    parts, timers = parts_of_events(row), timers_of_events(row)
    return {**parts, "timers": timers, "messages": row.messages, "latest": row.latest_ms}
