"""Whether a condition can ever be true, given the ranges and closed lists of texts of its facts.

Comparing a fact with a constant narrows the values that it can have. Sums and products are compared
by their ranges. Everything else counts as possible, so that no rule is refused that might fire.
"""

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from math import ceil, floor, inf, isfinite, isnan
from typing import NamedTuple

from models.decisions.expression import listed_name, parsed


class Numbers(NamedTuple):
    """The numbers that a fact can be, bounds included unless they are ``open``; ``unknown``: it may
    be NaN; ``whole``: only those without a fraction.
    """

    least: float = -inf
    most: float = inf
    least_open: bool = False
    most_open: bool = False
    unknown: bool = True
    whole: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.unknown and not self.has_number

    @property
    def has_number(self) -> bool:
        if self.whole:
            return self._first_whole <= self._last_whole
        if self.least == self.most:
            return not (self.least_open or self.most_open)
        return self.least < self.most

    @property
    def _first_whole(self) -> float:
        if not isfinite(self.least):
            return self.least
        return floor(self.least) + 1 if self.least_open else ceil(self.least)

    @property
    def _last_whole(self) -> float:
        if not isfinite(self.most):
            return self.most
        return ceil(self.most) - 1 if self.most_open else floor(self.most)

    def joined(self, other: "Numbers") -> "Numbers":
        """The smallest range that holds both."""
        if not self.has_number or not other.has_number:
            left = other if other.has_number else self
            return left._replace(unknown=self.unknown or other.unknown)
        least, least_open = min((self.least, self.least_open), (other.least, other.least_open))
        most, is_in = max((self.most, not self.most_open), (other.most, not other.most_open))
        unknown, whole = self.unknown or other.unknown, self.whole and other.whole
        return Numbers(least, most, least_open, not is_in, unknown, whole)


class Texts(NamedTuple):
    """The texts that a fact can be: those ``allowed`` (None for any), without ``excluded``."""

    allowed: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        return self.allowed is not None and not self.allowed - self.excluded

    def joined(self, other: "Texts") -> "Texts":
        """The texts that either of them allows."""
        if self.allowed is None or other.allowed is None:
            return Texts(None, self.excluded & other.excluded)
        return Texts((self.allowed - self.excluded) | (other.allowed - other.excluded))


Domain = Numbers | Texts
Domains = Mapping[str, Domain]


class Outlook(NamedTuple):
    """``is_possible``: whether it can be true; ``never``: the comparisons that cannot, and why."""

    is_possible: bool
    never: tuple[str, ...]


def outlook(text: str, facts: Domains, known: Domains | None = None) -> Outlook:
    """Whether a condition that compiles can be true, if facts have the values in ``facts``.

    ``known``: what is also known of some facts at the moment at which the condition is evaluated.
    """
    narrowing = _Narrowing(facts)
    left = narrowing.narrowed(parsed(text), {**facts, **(known or {})}, wanted=True)
    return Outlook(left is not None, tuple(dict.fromkeys(narrowing.never)))


def misspelt(text: str, facts: Domains) -> str | None:
    """A text that the condition compares with a fact that never has it, in words; None without
    one.
    """
    for node in ast.walk(parsed(text)):
        if not isinstance(node, ast.Compare):
            continue
        for left, _, right in _pairs(node):
            for name, other in ((left, right), (right, left)):
                fault = _misspelt(name, other, facts)
                if fault is not None:
                    return fault
    return None


def unlisted(text: str, lists: Mapping[str, Collection[str]]) -> str | None:
    """A name that the condition looks for in a list of names that never has it, in words."""
    for fact, name in asked_of_lists(text):
        if name not in lists.get(fact, (name,)):
            close = get_close_matches(name.lower(), lists[fact], n=1, cutoff=0.5)
            known = ", ".join(sorted(lists[fact])) or "none at all"
            fix = f"did you mean {close[0]}?" if close else f"there are {known}"
            return f"{name!r} is never in {fact}; {fix}"
    return None


def asked_of_lists(text: str) -> Iterator[tuple[str, str]]:
    """Each fact that lists names, with a name that a condition looks for in it."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Compare):
            for left, op, right in _pairs(node):
                name = listed_name(left)
                if op in (ast.In, ast.NotIn) and isinstance(right, ast.Name) and name is not None:
                    yield right.id, name


def _misspelt(fact: ast.expr, other: ast.expr, facts: Domains) -> str | None:
    domain = facts.get(fact.id) if isinstance(fact, ast.Name) else None
    if not isinstance(fact, ast.Name) or not isinstance(domain, Texts) or domain.allowed is None:
        return None
    members = other.elts if isinstance(other, ast.Tuple | ast.List) else [other]
    for value in filter(None, map(_constant, members)):
        if isinstance(value, str) and value not in domain.allowed:
            known = sorted(domain.allowed - {""})
            close = get_close_matches(value.lower(), known, n=1, cutoff=0.5)
            fix = f"; did you mean {close[0]}?" if close else f": it is {' or '.join(known)}"
            return f"{fact.id} is never {value!r}{fix}"
    return None


def range_in_words(domain: Numbers) -> str:
    """The declared range of a fact."""
    whole = ", without a fraction" if domain.whole else ""
    if domain.most == inf:
        return f"{domain.least:g} or more{whole}"
    return f"from {domain.least:g} to {domain.most:g}{whole}"


_Facts = dict[str, Domain]
_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
}
_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class _Narrowing:
    """Narrows the values of facts by one condition, and notes the comparisons that are never
    met.
    """

    def __init__(self, declared: Domains) -> None:
        self._declared = declared
        self.never: list[str] = []

    def narrowed(self, node: ast.expr, facts: _Facts, *, wanted: bool) -> _Facts | None:
        """The values that facts can have where the condition is ``wanted`` (true or false); None if
        there are none.
        """
        match node:
            case ast.Constant(value=bool() as value):
                return facts if value is wanted else None
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.narrowed(operand, facts, wanted=not wanted)
            case ast.BoolOp(op=op, values=values):
                parts = [self._part(value, wanted) for value in values]
                return (
                    _all(parts, facts) if isinstance(op, ast.And) is wanted else _any(parts, facts)
                )
            case ast.Compare():
                parts = [self._pair(node, pair, wanted) for pair in _pairs(node)]
                return _all(parts, facts) if wanted else _any(parts, facts)
        return facts

    def _part(self, node: ast.expr, wanted: bool) -> "_Step":
        return lambda facts: self.narrowed(node, facts, wanted=wanted)

    def _pair(self, whole: ast.Compare, pair: "_Pair", wanted: bool) -> "_Step":
        def step(facts: _Facts) -> _Facts | None:
            left, op, right = pair
            if op in (ast.In, ast.NotIn) and isinstance(right, ast.Name):
                # The list may hold any other names as well.
                return facts
            if not isinstance(left, ast.Name) and isinstance(right, ast.Name):
                left, right, op = right, left, _MIRRORED.get(op, op)
            values = _constants(right)
            if not isinstance(left, ast.Name) or left.id not in facts or values is None:
                return self._by_ranges(whole, (left, op, right), facts, wanted=wanted)
            before = facts[left.id]
            after = _compared(before, op if wanted else _NEGATED[op], values, is_met=wanted)
            if not after.is_empty:
                return {**facts, left.id: after}
            self.never.append(self._why(ast.unparse(whole), left.id, op, values, wanted))
            return None

        return step

    def _by_ranges(
        self, whole: ast.Compare, pair: "_Pair", facts: _Facts, *, wanted: bool
    ) -> _Facts | None:
        """As `_pair`, for comparisons that narrow no fact."""
        left, op, right = pair
        if _may_hold(left, op if wanted else _NEGATED[op], right, facts, is_met=wanted):
            return facts
        said = ast.unparse(whole)
        self.never.append(f"`{said if wanted else f'not {said}'}` is never true")
        return None

    def _why(
        self, text: str, fact: str, op: type[ast.cmpop], values: "_Values", wanted: bool
    ) -> str:
        declared = self._declared[fact]
        alone = _compared(declared, op if wanted else _NEGATED[op], values, is_met=wanted)
        said = f"`{text}`" if wanted else f"`not {text}`"
        if alone.is_empty and isinstance(declared, Numbers):
            return f"{said} is never true, for {fact} is {range_in_words(declared)}"
        return f"{said} contradicts what else is asked of {fact}"


_Step = Callable[[_Facts], _Facts | None]
_Pair = tuple[ast.expr, type[ast.cmpop], ast.expr]
_Values = tuple[float | str, ...]


def _pairs(node: ast.Compare) -> Iterable[_Pair]:
    """``a < b <= c`` is two comparisons."""
    left = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        yield left, type(op), right
        left = right


def _all(steps: Iterable[_Step], facts: _Facts) -> _Facts | None:
    left: _Facts | None = facts
    for step in steps:
        if left is None:
            break
        left = step(left)
    return left


def _any(steps: Iterable[_Step], facts: _Facts) -> _Facts | None:
    # Follow every branch, so that each comparison that is never met is reported.
    branches = [left for left in [step(facts) for step in steps] if left is not None]
    if not branches:
        return None
    together = branches[0]
    for other in branches[1:]:
        together = {name: _joined(one, other[name]) for name, one in together.items()}
    return together


def _joined(one: Domain, other: Domain) -> Domain:
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return one.joined(other)
    assert isinstance(one, Texts)
    assert isinstance(other, Texts)
    return one.joined(other)


def _constants(node: ast.expr) -> _Values | None:
    members = node.elts if isinstance(node, ast.Tuple | ast.List) else [node]
    found = [_constant(member) for member in members]
    return None if None in found else tuple(value for value in found if value is not None)


def _constant(node: ast.expr) -> float | str | None:
    """The number or text; None for an expression that depends on facts or is computed."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=str() as text):
            return text
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _constant(operand)
            return -inner if isinstance(inner, float) else None
    return None


def _compared(domain: Domain, op: type[ast.cmpop], values: _Values, *, is_met: bool) -> Domain:
    """The values that are left of the domain. An unknown number meets no comparison, so it is left
    only by a comparison that must not be met.
    """
    if isinstance(domain, Texts):
        return _text_compared(domain, op, frozenset(map(str, values)))
    numbers = [value for value in values if isinstance(value, float)]
    left = _number_compared(domain, op, numbers)
    return left._replace(unknown=domain.unknown and not is_met)


def _text_compared(domain: Texts, op: type[ast.cmpop], values: frozenset[str]) -> Texts:
    if op in (ast.Eq, ast.In):
        allowed = values if domain.allowed is None else values & domain.allowed
        return Texts(allowed - domain.excluded)
    if op in (ast.NotEq, ast.NotIn):
        return Texts(domain.allowed, domain.excluded | values)
    return domain


def _may_hold(
    left: ast.expr, op: type[ast.cmpop], right: ast.expr, facts: Domains, *, is_met: bool
) -> bool:
    """Whether the comparison may hold for numbers in the ranges of both sides. ``is_met``: whether
    it is wanted to hold. If not, an unknown number makes it possible, because it meets no
    comparison.
    """
    one, other = range_of(left, facts), range_of(right, facts)
    if one is None or other is None or (not is_met and (one.unknown or other.unknown)):
        return True
    if ast.dump(left) == ast.dump(right):
        return op in (ast.Eq, ast.LtE, ast.GtE)
    low, high = one.least - other.most, one.most - other.least
    if isnan(low) or isnan(high):
        return True
    possible = {
        ast.Lt: low < 0,
        ast.LtE: low <= 0,
        ast.Gt: high > 0,
        ast.GtE: high >= 0,
        ast.Eq: low <= 0 <= high,
        ast.NotEq: low < 0 or high > 0,
    }
    return possible.get(op, True)


def range_of(node: ast.expr, facts: Domains) -> Numbers | None:
    """The numbers that an expression can be, bounds included; None if that is not known."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as number):
            return Numbers(number, number, unknown=False)
        case ast.Name(id=name):
            domain = facts.get(name)
            return domain if isinstance(domain, Numbers) and domain.has_number else None
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = range_of(operand, facts)
            return inner and Numbers(-inner.most, -inner.least, unknown=inner.unknown)
        case ast.BinOp(left=left, op=op, right=right):
            one, other = range_of(left, facts), range_of(right, facts)
            return _combined(one, op, other) if one is not None and other is not None else None
    return None


def _combined(one: Numbers, op: ast.operator, other: Numbers) -> Numbers | None:
    match op:
        case ast.Add():
            ends = [one.least + other.least, one.most + other.most]
        case ast.Sub():
            ends = [one.least - other.most, one.most - other.least]
        case ast.Mult():
            ends = [a * b for a in (one.least, one.most) for b in (other.least, other.most)]
        case _:
            return None
    if any(isnan(end) for end in ends):
        return None
    return Numbers(min(ends), max(ends), unknown=one.unknown or other.unknown)


_NOTHING = Numbers(inf, -inf)


def _number_compared(domain: Numbers, op: type[ast.cmpop], values: list[float]) -> Numbers:
    if op in (ast.Eq, ast.In):
        inside = [_cut(domain, Numbers(value, value)) for value in values]
        kept = [found.least for found in inside if found.has_number]
        return Numbers(min(kept), max(kept), whole=domain.whole) if kept else _NOTHING
    if op in (ast.NotEq, ast.NotIn):
        is_point = domain.least == domain.most and domain.least in values
        return _NOTHING if is_point else domain
    [value] = values
    if op in (ast.Lt, ast.LtE):
        return _cut(domain, Numbers(most=value, most_open=op is ast.Lt))
    return _cut(domain, Numbers(least=value, least_open=op is ast.Gt))


def _cut(one: Numbers, other: Numbers) -> Numbers:
    """The numbers that are in both; ``whole`` as in the first."""
    least, least_open = max((one.least, one.least_open), (other.least, other.least_open))
    most, is_in = min((one.most, not one.most_open), (other.most, not other.most_open))
    return Numbers(least, most, least_open, not is_in, whole=one.whole)
