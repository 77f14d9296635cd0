"""When a condition next turns true or false by time alone, to the millisecond.

Each comparison says whether it holds, and until when that is certain. A number is a straight line
in time for as long as the facts in it are (`models.customer.motion`), so the time at which two
numbers meet can be computed. Where a fact cannot say how it moves, the comparison stands until the
customer's next check-in.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil, floor, inf, isfinite, nan
from operator import eq, ge, gt, le, lt
from typing import Final, NamedTuple

from msgspec import Struct

from models.customer.motion import Moves
from models.customer.part import Fact
from models.customer.scene import Scene
from models.decisions.expression import compile_condition, parsed

#: A time this close to a whole millisecond counts as that millisecond: present times, as floats,
#: are a quarter of a microsecond apart.
_NEAR_MS: Final = 1e-3


#: Whether a condition holds, and the earliest time at which time alone may change that; inf for
#: never.
Stands = tuple[bool, float]


#: A number, its change per millisecond, and until when that is valid. A plain tuple, because each
#: look at a customer makes several.
_Line = tuple[float, float, float]
_LineAt = Callable[[Scene], _Line]


class Inexact(NamedTuple):
    """A comparison that is evaluated again only at check-ins, and the fact that causes this; None
    if the cause is that the numbers are no straight lines in time.
    """

    comparison: str
    fact: str | None


class Timing(Struct, frozen=True):
    """A condition in time, with those of its comparisons that cannot be timed to the
    millisecond.
    """

    at: Callable[[Scene], Stands]
    inexact: tuple[Inexact, ...]


_CheckIn = Callable[[Scene], float]
_At = Callable[[Scene], Stands]


def timing_of(
    text: str, facts: Mapping[str, Fact], kinds: Mapping[str, type], check_in: _CheckIn
) -> Timing:
    """The timing of a condition that compiles. ``check_in``: when the customer's next check-in is;
    inf for never.
    """
    compiler = _Compiler(facts, kinds, check_in)
    return Timing(compiler.condition(parsed(text)), tuple(dict.fromkeys(compiler.inexact)))


class _Compiler:
    """Compiles one condition, and notes which of its comparisons cannot be timed."""

    def __init__(
        self, facts: Mapping[str, Fact], kinds: Mapping[str, type], check_in: _CheckIn
    ) -> None:
        self.inexact: list[Inexact] = []
        self._facts = facts
        self._kinds = kinds
        self._check_in = check_in

    def condition(self, node: ast.expr) -> _At:
        if self._is_still(node):
            return _for_good(_read(node, self._kinds))
        match node:
            case ast.BoolOp(op=op, values=values):
                # Check the values that time does not change first: they may settle the result for
                # good.
                still = [value for value in values if self._is_still(value)]
                moving = [value for value in values if not self._is_still(value)]
                parts = [ast.BoolOp(op, still), *moving] if still else moving
                return _joined(map(self.condition, parts), is_all=isinstance(op, ast.And))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _negated(self.condition(operand))
            case ast.Compare(left=left, ops=ops, comparators=others):
                pairs = zip([left, *others[:-1]], ops, others, strict=True)
                return _joined([self._pair(*pair) for pair in pairs], is_all=True)
        # A constant, or a comparison in brackets that is itself compared.
        return self._until_edges(node)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> _At:
        pair = ast.Compare(left, [op], [right])
        if not self._has_clock(pair):
            return self._until_edges(pair)
        one, other = self._line(left), self._line(right)
        if one is None or other is None or type(op) not in _MEETS_AT_ONCE:
            self.inexact.append(Inexact(ast.unparse(pair), None))
            return _until(_read(pair, self._kinds), self._check_in)
        is_quotient = any(isinstance(node, ast.Div) for node in ast.walk(pair))
        read = _read(pair, self._kinds) if is_quotient else None
        return _crossing((one, other), type(op), read, self._untimed(pair))

    def _until_edges(self, node: ast.expr) -> _At:
        """The timing of a node that changes only at certain times."""
        if self._is_still(node):
            return _for_good(_read(node, self._kinds))
        edges = [
            _end_of(moves)
            for name in _names_in(node)
            if (moves := self._facts[name].moves) is not None and not moves.is_still
        ]
        if (check_in := self._untimed(node)) is not None:
            edges.append(check_in)
        return _until(_read(node, self._kinds), _earliest(edges))

    def _untimed(self, node: ast.expr) -> _CheckIn | None:
        """When the next check-in is, if anything in the node cannot be timed; else None."""
        names = [
            name
            for name in _names_in(node)
            if (moves := self._facts[name].moves) is None or moves.is_learnt
        ]
        self.inexact += [Inexact(ast.unparse(node), name) for name in names]
        return self._check_in if names else None

    def _line(self, node: ast.expr) -> _LineAt | None:
        """The number as a straight line in time; None if it is not one."""
        match node:
            case ast.Constant(value=int() | float() as number):
                return _constant_line(float(number))
            case ast.Name(id=name):
                return _line_of(name, self._facts[name].moves)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self._line(operand)
                return inner and _scaled(inner, _constant_line(-1.0))
            case ast.BinOp(left=left, op=op, right=right):
                return self._combined(left, op, right)
        return None

    def _combined(self, left: ast.expr, op: ast.operator, right: ast.expr) -> _LineAt | None:
        one, other = self._line(left), self._line(right)
        if one is None or other is None:
            return None
        match op:
            case ast.Add():
                return _sum(one, other, 1.0)
            case ast.Sub():
                return _sum(one, other, -1.0)
            case ast.Mult() if not self._has_clock(right):
                return _scaled(one, other)
            case ast.Mult() if not self._has_clock(left):
                return _scaled(other, one)
            case ast.Div() if not self._has_clock(right):
                return _scaled(one, _inverse(other))
        return None

    def _has_clock(self, node: ast.expr) -> bool:
        moves = (self._facts[name].moves for name in _names_in(node))
        return any(known is not None and known.is_clock for known in moves)

    def _is_still(self, node: ast.expr) -> bool:
        moves = (self._facts[name].moves for name in _names_in(node))
        return all(one is not None and one.is_still and not one.is_learnt for one in moves)


def _names_in(node: ast.expr) -> Iterator[str]:
    names = (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
    yield from dict.fromkeys(names)


def _read(node: ast.expr, kinds: Mapping[str, type]) -> Callable[[Scene], bool]:
    return compile_condition(ast.unparse(node), kinds).holds


def _end_of(moves: Moves) -> Callable[[Scene], float]:
    edge = moves.edge
    if edge is not None:
        return lambda scene: edge(scene) or inf
    return lambda scene: moves.at(scene).until_ms


def _earliest(edges: Sequence[Callable[[Scene], float]]) -> Callable[[Scene], float]:
    if len(edges) == 1:
        return edges[0]
    return lambda scene: min([edge(scene) for edge in edges], default=inf)


def _for_good(read: Callable[[Scene], bool]) -> _At:
    return lambda scene: (read(scene), inf)


def _until(read: Callable[[Scene], bool], edge: Callable[[Scene], float]) -> _At:
    return lambda scene: (read(scene), edge(scene))


def _negated(inner: _At) -> _At:
    def at(scene: Scene) -> Stands:
        holds, until_ms = inner(scene)
        return not holds, until_ms

    return at


def _joined(parts: Iterable[_At], *, is_all: bool) -> _At:
    """All of the conditions, or any of them.

    With ``is_all``, the first condition that does not hold decides: nothing changes before it does.
    If all hold, the first to change counts. Without it, the other way round.
    """
    known = list(parts)
    if len(known) == 1:
        return known[0]

    def at(scene: Scene) -> Stands:
        until_ms = inf
        for part in known:
            found = part(scene)
            if found[0] is not is_all:
                return found
            if found[1] < until_ms:
                until_ms = found[1]
        return is_all, until_ms

    return at


#: Whether a comparison changes at the moment both sides meet, or only after it; by whether the left
#: side falls or grows relative to the right one.
_MEETS_AT_ONCE: Final[dict[type[ast.cmpop], tuple[bool, bool]]] = {
    ast.GtE: (False, True),
    ast.Lt: (False, True),
    ast.Gt: (True, False),
    ast.LtE: (True, False),
    ast.Eq: (True, True),
    ast.NotEq: (True, True),
}
#: Whether it holds for good after that.
_HOLDS_AFTER: Final[dict[type[ast.cmpop], tuple[bool, bool]]] = {
    ast.GtE: (False, True),
    ast.Gt: (False, True),
    ast.Lt: (True, False),
    ast.LtE: (True, False),
    ast.Eq: (False, False),
    ast.NotEq: (True, True),
}


#: Whether it holds now; with an unknown number none of them does.
_COMPARED: Final[dict[type[ast.cmpop], Callable[[float, float], bool]]] = {
    ast.GtE: ge,
    ast.Gt: gt,
    ast.Lt: lt,
    ast.LtE: le,
    ast.Eq: eq,
    ast.NotEq: lambda one, other: one < other or one > other,
}


def _crossing(
    lines: tuple[_LineAt, _LineAt],
    op: type[ast.cmpop],
    read: Callable[[Scene], bool] | None,
    check_in: _CheckIn | None,
) -> _At:
    """A comparison of two lines. ``read`` says whether it holds, where their values do not tell to
    the last bit. ``check_in`` is given if anything in it cannot be timed.
    """
    left, right = lines
    at_once, holds_after, compared = _MEETS_AT_ONCE[op], _HOLDS_AFTER[op], _COMPARED[op]

    def at(scene: Scene) -> Stands:
        one, one_per_ms, until_ms = left(scene)
        other, other_per_ms, other_until_ms = right(scene)
        holds = compared(one, other) if read is None else read(scene)
        if other_until_ms < until_ms:
            until_ms = other_until_ms
        if check_in is not None and (looked_at_ms := check_in(scene)) < until_ms:
            until_ms = looked_at_ms
        per_ms, now_ms = one_per_ms - other_per_ms, scene.at_ms
        meets_ms = now_ms - (one - other) / per_ms if per_ms else nan
        if not isfinite(meets_ms):
            # They never meet, or their distance is unknown.
            return holds, until_ms
        grows = per_ms > 0
        if at_once[grows]:
            changes_ms = ceil(meets_ms - _NEAR_MS)
        else:
            changes_ms = floor(meets_ms + _NEAR_MS) + 1
        if changes_ms <= now_ms and holds is not holds_after[grows] and meets_ms > now_ms - 1:
            # They are equal for this millisecond, or will be before the next one.
            changes_ms = now_ms + 1
        return holds, changes_ms if now_ms < changes_ms < until_ms else until_ms

    return at


def _constant_line(value: float) -> _LineAt:
    line = value, 0.0, inf
    return lambda _scene: line


def _line_of(name: str, moves: Moves | None) -> _LineAt:
    if moves is None or moves.is_still:
        return lambda scene: (float(scene.context.facts[name](scene)), 0.0, inf)
    if moves.edge is not None:
        until = _end_of(moves)
        return lambda scene: (float(scene.context.facts[name](scene)), 0.0, until(scene))
    at = moves.at
    return lambda scene: (float(scene.context.facts[name](scene)), *at(scene))


def _sum(one: _LineAt, other: _LineAt, sign: float) -> _LineAt:
    def line(scene: Scene) -> _Line:
        left, left_per_ms, until_ms = one(scene)
        right, right_per_ms, other_until_ms = other(scene)
        earliest_ms = min(until_ms, other_until_ms)
        return left + sign * right, left_per_ms + sign * right_per_ms, earliest_ms

    return line


def _scaled(one: _LineAt, by: _LineAt) -> _LineAt:
    def line(scene: Scene) -> _Line:
        number, per_ms, until_ms = one(scene)
        factor, _, other_until_ms = by(scene)
        return number * factor, per_ms * factor, min(until_ms, other_until_ms)

    return line


def _inverse(one: _LineAt) -> _LineAt:
    def line(scene: Scene) -> _Line:
        value, _, until_ms = one(scene)
        return 1 / value if value else nan, 0.0, until_ms

    return line
