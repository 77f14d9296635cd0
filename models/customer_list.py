"""A list of customers: those for whom a condition holds, the highest by a number first.

Condition and number are in the language of the rules, and customers are read as the rules read
them. The lists of several partitions are merged. The order is total (by number, then by id), so a
cursor, which is a place in that order, means the same everywhere.
"""

import ast
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import isfinite
from typing import NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from config.parameters import Parameters
from models.customer.registry import FACT_KINDS, FACTS, PARTS
from models.customer.row import decode_row
from models.customer.scene import Context, Scene
from models.customer_counts import Counted, CountError, Counts, Way, known_value, ways_in
from models.decisions.expression import (
    Condition,
    ExpressionError,
    Formula,
    compile_condition,
    compile_number,
    hint,
    parsed,
)
from models.decisions.policy import domains_of
from models.decisions.possible import misspelt, outlook
from models.decisions.segment_checks import unknown_segment
from models.events.foreign import UNREADABLE
from models.events.ids import is_id
from models.events.times import iso
from models.links import is_told
from models.segment_counts import SegmentCount, SegmentCounts

TOP_MAX, TOP = 1_000, 50
#: The most facts shown of each customer, besides those that condition and number name.
SHOWN_MAX = 32
_CURSOR_LENGTH_MAX = 2_000
_PLACE_BY_FACT = {name: place for place, part in enumerate(PARTS) for name in part.facts}


class QuestionError(ValueError):
    """A list cannot be made; the message says which part of the question is wrong, and why."""


class Place(NamedTuple):
    """A customer's place in the order: the highest number first, customers without one last, ties
    by id.
    """

    has_no_number: bool
    negated: float
    customer: str

    @classmethod
    def of(cls, number: float | None, customer: str) -> "Place":
        if number is None or not isfinite(number):
            return cls(True, 0.0, customer)
        return cls(False, -number, customer)

    @property
    def number(self) -> float | None:
        """The number that determines the place; None without one."""
        # Avoids -0.0, which would be shown as such.
        return None if self.has_no_number else 0.0 - self.negated


class Listed(Struct, frozen=True, rename="camel"):
    """A customer in a list, with the number that orders it and the requested facts; null if
    unknown.
    """

    user_id: str
    by: float | None
    facts: dict[str, float | str | None]

    @property
    def place(self) -> Place:
        return Place.of(self.by, self.user_id)


class _Cursor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    question: str
    by: float | None
    customer: str


_CURSOR = msgspec.json.Decoder(_Cursor)


class ListQuestion(Struct, frozen=True):
    """A question that can be answered. ``where``: the conditions that must all hold, the cheapest
    first. ``after``: the place after which the list continues. ``ways``: how to count the matching
    customers. ``by_segment``: also count the members of each segment.
    """

    id: str
    where: tuple[Condition, ...]
    by: Formula | None
    shown: tuple[str, ...]
    top: int
    after: Place | None
    ways: tuple[Way, ...] = ()
    by_segment: bool = False

    def cursor(self, last: Listed) -> str:
        """The cursor with which the list continues after this customer."""
        content = msgspec.json.encode(_Cursor(self.id, last.by, last.user_id))
        return urlsafe_b64encode(content).decode().rstrip("=")

    def best(self, listed: Iterable[Listed]) -> list[Listed]:
        """The first customers of these, in order."""
        return sorted(listed, key=lambda one: one.place)[: self.top]


def question(
    parameters: Parameters,
    *,
    where: str = "",
    by: str = "",
    shown: Iterable[str] = (),
    top: int = TOP,
    cursor: str = "",
    count: str = "",
    by_segment: bool = False,
) -> ListQuestion:
    """Compile a question. An empty ``where`` matches all customers; an empty ``by`` orders by id.

    Raises ``QuestionError``.
    """
    if not 1 <= top <= TOP_MAX:
        raise QuestionError(
            f"top is a whole number from 1 to {TOP_MAX}, not {top}: with the answer's cursor you "
            f"get those that follow"
        )
    conjuncts = _conjuncts(where, parameters) if where.strip() else ()
    number = _number(by) if by.strip() else None
    named = [name for one in (*conjuncts, number) if one is not None for name in sorted(one.names)]
    facts = tuple(dict.fromkeys([*named, *_known(shown)]))
    ways = _ways(count, parameters) if count.strip() else ()
    for name in (*facts, *(name for way in ways for name in way)):
        if (moment := FACTS[name].moment) is not None:
            raise QuestionError(f"{name} is known at the moment `{moment}` alone, not in between")
    asked = "\x1f".join((where.strip(), by.strip())).encode()
    identity = blake2b(asked, digest_size=6).hexdigest()
    after = _place_in(cursor, identity) if cursor else None
    return ListQuestion(identity, conjuncts, number, facts, top, after, ways, by_segment)


def _ways(text: str, parameters: Parameters) -> tuple[Way, ...]:
    try:
        return ways_in(text, FACTS, parameters)
    except CountError as error:
        raise QuestionError(f"count: {error}") from None


def _conjuncts(text: str, parameters: Parameters) -> tuple[Condition, ...]:
    try:
        whole = compile_condition(text, FACT_KINDS)
        domains = domains_of({name: FACTS[name] for name in whole.names}, parameters)
        if fault := unknown_segment(text, parameters) or misspelt(text, domains):
            raise QuestionError(f"where: {fault}")
        if not outlook(text, domains).is_possible:
            raise QuestionError(f"where: can never be true: {text!r}")
        tree = parsed(text)
        is_and = isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And)
        if not isinstance(tree, ast.BoolOp) or not is_and:
            return (whole,)
        parts = [compile_condition(ast.unparse(part), FACT_KINDS) for part in tree.values]
    except ExpressionError as error:
        raise QuestionError(f"where: {error}") from None
    # None of them can fail, so their order only affects the cost.
    return tuple(sorted(parts, key=_cost))


def _cost(condition: Condition) -> int:
    """A part is listed after those that it reads, so the facts of a later one cost more."""
    return max((_PLACE_BY_FACT[name] for name in condition.names), default=0)


def _number(text: str) -> Formula:
    try:
        return compile_number(text, FACT_KINDS)
    except ExpressionError as error:
        raise QuestionError(f"by: {error}") from None


def _known(names: Iterable[str]) -> list[str]:
    found = [name.strip() for name in names if name.strip()]
    if len(found) > SHOWN_MAX:
        raise QuestionError(f"show: {SHOWN_MAX} facts at most, not {len(found)}")
    for name in found:
        if name not in FACTS:
            raise QuestionError(f"show: there is no fact {name!r}{hint(name, FACT_KINDS)}")
    return found


def _place_in(cursor: str, identity: str) -> Place:
    again = "take the `next` of an answer, or leave it out to begin at the top"
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        if len(cursor) > _CURSOR_LENGTH_MAX:
            raise ValueError
        found = _CURSOR.decode(urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, *UNREADABLE):
        raise QuestionError(f"cursor: cannot be read: {again}") from None
    if found.question != identity:
        raise QuestionError(f"cursor: is of another condition or order: {again}")
    if not is_id(found.customer):
        raise QuestionError(f"cursor: cannot be read: {again}")
    return Place.of(found.by, found.customer)


class PartitionAsOf(Struct, frozen=True, rename="camel"):
    """The state of a partition when it was searched: the time of its clock, its model, its
    customers and how many of them match. On request also how many of these are in each segment, and
    how many entered it lately.
    """

    partition: int
    as_of: str
    model_version: int
    customers: int
    matched: int
    by_segment: dict[str, SegmentCount] | UnsetType = UNSET


def counts_by_segment(partitions: Iterable[PartitionAsOf]) -> SegmentCounts:
    """The members of each segment over all of these partitions."""
    return SegmentCounts().add(one.by_segment or {} for one in partitions)


class Unanswered(Struct, frozen=True, rename="camel"):
    """A partition whose customers are missing, and why."""

    partition: int
    why: str


class CustomerList(Struct, frozen=True, rename="camel"):
    """An answer. ``next``: the cursor of the next page, None at the end. ``counts``: of all
    matching customers, in the requested ways.
    """

    customers: Sequence[Listed]
    matched: int
    next: str | None
    partitions: Sequence[PartitionAsOf]
    unanswered: Sequence[Unanswered]
    counts: Sequence[Counted] = ()


ANSWER: msgspec.json.Decoder[CustomerList] = msgspec.json.Decoder(CustomerList)


class PackedRows(Protocol):
    """Packed rows by customer."""

    def __getitem__(self, customer: str) -> bytes: ...


class Search:
    """Searches the customers of one partition, as of ``at_ms``, and keeps the first of them."""

    #: How many candidates are kept before they are sorted: bounds the memory.
    _ROOM = 4_000

    def __init__(self, asked: ListQuestion, at_ms: int, context: Context) -> None:
        #: All customers so far, and those for whom the condition holds.
        self.customers = 0
        self.matched = 0
        #: The members of each segment among these, if requested.
        self.by_segment = SegmentCounts()
        self._asked = asked
        self._at_ms = at_ms
        self._context = context
        self._found: list[Place] = []
        self._following = 0
        self._counts = Counts(asked.ways)

    def look(self, customer: str, packed: bytes) -> None:
        """Read one customer. An id of a person is skipped: it is listed with the person."""
        scene = self._scene(customer, packed)
        if not is_told(scene.row):
            return
        self.customers += 1
        for condition in self._asked.where:
            if not condition.holds(scene):
                return
        self.matched += 1
        if self._asked.by_segment:
            self.by_segment.look(scene)
        by, after = self._asked.by, self._asked.after
        place = Place.of(by.value(scene) if by is not None else None, customer)
        if self._asked.ways:
            self._counts.add(scene.__getitem__, place.number)
        if after is not None and place <= after:
            return
        self._following += 1
        self._found.append(place)
        if len(self._found) >= self._ROOM:
            self._keep_first()

    @property
    def as_of(self) -> str:
        """The time as of which customers are read."""
        return iso(self._at_ms)

    @property
    def has_more(self) -> bool:
        """Whether more customers follow after the first ones."""
        return self._following > self._asked.top

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The counts of the customers that match so far."""
        return self._counts.counted()

    def first(self, rows: "PackedRows") -> list[Listed]:
        """The first customers; ``rows`` must contain those that were read."""
        self._keep_first()
        return [self._listed(place, rows[place.customer]) for place in self._found]

    def _keep_first(self) -> None:
        self._found = sorted(self._found)[: self._asked.top]

    def _listed(self, place: Place, packed: bytes) -> Listed:
        scene = self._scene(place.customer, packed)
        facts = {name: known_value(scene[name]) for name in self._asked.shown}
        return Listed(place.customer, place.number, facts)

    def _scene(self, customer: str, packed: bytes) -> Scene:
        return Scene(decode_row(packed), customer, self._at_ms, self._context)
