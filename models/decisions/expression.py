"""Conditions and values as a marketer writes them, compiled once.

The language is a subset of Python's expressions over named facts: comparisons, ``and``, ``or``,
``not``, arithmetic, numbers and texts, and ``"name" in fact`` for a fact that lists names. The text
itself is never run: an equivalent expression is built from the parts that are understood, and
compiled to one function. Anything else is refused, so an expression cannot call functions or reach
attributes. Evaluation cannot fail: an unknown fact, or a division by 0, gives NaN, and every
comparison with NaN is false.
"""

import ast
import difflib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Struct

#: Longer or deeper expressions are refused: nobody could read them.
LENGTH_MAX = 2_000
DEPTH_MAX = 64
_PARTS_MAX = 2 * LENGTH_MAX


class ExpressionError(ValueError):
    """An expression cannot be used; the message says where and why."""


class Facts(Protocol):
    """Gives a fact by its name."""

    def __getitem__(self, name: str) -> float | str: ...


_Read = Callable[[Facts], Any]


class Condition(Struct, frozen=True):
    """A compiled condition and the facts that it names.

    ``holds``: whether it is true; a comparison with an unknown fact is false.
    """

    text: str
    names: frozenset[str]
    holds: Callable[[Facts], bool]


class Formula(Struct, frozen=True):
    """A compiled number and the facts it names."""

    text: str
    names: frozenset[str]
    _read: Callable[[Facts], float]

    def value(self, facts: Facts) -> float:
        """The number; NaN when a fact that it needs is unknown, or the result is infinite."""
        number = float(self._read(facts))
        return number if isfinite(number) else nan


def compile_condition(text: str, kinds: Mapping[str, type]) -> Condition:
    """Compile a condition over facts of these kinds. Raises `ExpressionError`."""
    return Condition(text, *_compiled(text, kinds, bool))


def compile_number(text: str, kinds: Mapping[str, type]) -> Formula:
    """Compile a numeric expression over facts of these kinds. Raises `ExpressionError`."""
    return Formula(text, *_compiled(text, kinds, float))


def _compiled(text: str, kinds: Mapping[str, type], wanted: type) -> tuple[frozenset[str], _Read]:
    compiler = _Compiler(text, kinds)
    read = _function(compiler.part(parsed(text), wanted))
    return frozenset(compiler.names), read


def parsed(text: str) -> ast.expr:
    """The expression as a tree. Raises `ExpressionError` if it cannot be read."""
    if len(text) > LENGTH_MAX:
        raise ExpressionError(f"longer than {LENGTH_MAX} characters: {text[:40]!r}…")
    try:
        with warnings.catch_warnings():
            # Python only warns about texts such as "\d"; here they are errors.
            warnings.simplefilter("error")
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        hint = f"; did you mean {meant!r}?" if (meant := _meant(text)) else ""
        raise ExpressionError(f"cannot be read ({error.msg}): {text!r}{hint}") from None
    except (RecursionError, MemoryError):
        raise ExpressionError(f"nested too deeply: {text[:40]!r}…") from None
    except (ValueError, Warning) as error:
        raise ExpressionError(f"cannot be read ({error}): {text!r}") from None


#: How other languages write an operator, and how this one does.
_WRITTEN_OTHERWISE: Final = (
    (r"=>", ">="),
    (r"=<", "<="),
    (r"<>", "!="),
    (r"(?<![<>!=])=(?!=)", "=="),
    (r"===", "=="),
    (r"&&", " and "),
    (r"\|\|", " or "),
    (r"!(?!=)", " not "),
    (r"\bAND\b", "and"),
    (r"\bOR\b", "or"),
    (r"\bNOT\b", "not"),
)
_QUOTED: Final = re.compile(r"""("[^"]*"|'[^']*')""")


def _meant(text: str) -> str | None:
    """The suggestion for an expression that looks like another language; None if it does not."""
    pieces = _QUOTED.split(text)
    for written, here in _WRITTEN_OTHERWISE:
        pieces[::2] = [re.sub(written, here, piece) for piece in pieces[::2]]
    meant = " ".join("".join(pieces).split())
    try:
        ast.parse(meant, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return meant


class _Part(NamedTuple):
    """What a part of an expression gives, and how it is evaluated."""

    kind: type
    node: ast.expr


def _quotient(left: float, right: float) -> float:
    return left / right if right else nan


# NaN alone is not equal to itself, and every comparison with it must be false.
def _differ(left: Any, right: Any) -> bool:
    return bool(left != right and left == left and right == right)  # noqa: PLR0124


def _lacks(several: Sequence[Any], one: Any) -> bool:
    return one not in several and one == one  # noqa: PLR0124


#: The functions that a compiled expression may call besides the facts, for operators that Python
#: defines differently.
_CALLED: Final[Mapping[str, Callable[..., Any]]] = {
    found.__name__: found for found in (_quotient, _differ, _lacks)
}
_FACTS: Final = "facts"
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MEMBERSHIP = (ast.In, ast.NotIn)
_NAMES: dict[type, str] = {
    bool: "a condition",
    float: "a number",
    str: "a text",
    list: "a list of names",
}
_FORBIDDEN: dict[type[ast.AST], str] = {
    ast.Call: "calls",
    ast.Attribute: "dots",
    ast.Subscript: "brackets",
    ast.IfExp: "if and else",
    ast.Lambda: "functions",
    ast.NamedExpr: "assignments",
    ast.JoinedStr: "f-texts",
}


class _Compiler:
    """Rebuilds one text from its allowed parts, and collects the names of its facts."""

    def __init__(self, text: str, kinds: Mapping[str, type]) -> None:
        self.names: set[str] = set()
        self._built = 0
        self._text = text
        self._kinds = kinds

    def part(self, node: ast.expr, wanted: type, depth: int = 0) -> ast.expr:
        """An expression that evaluates ``node``, whose result must be of the ``wanted`` kind."""
        found = self._any(node, depth)
        if found.kind is not wanted:
            raise self._refused(
                f"needs {_NAMES[wanted]}, and {ast.unparse(node)} is {_NAMES[found.kind]}"
            )
        return found.node

    def _any(self, node: ast.expr, depth: int) -> _Part:
        # Counted because the middle of ``a < b < c`` is built twice, and the middle of that four
        # times.
        self._built += 1
        if depth > DEPTH_MAX or self._built > _PARTS_MAX:
            raise ExpressionError(f"nested too deeply: {self._text[:40]!r}…")
        match node:
            case ast.Constant(value=value):
                return self._constant(value)
            case ast.Name(id=name):
                return self._fact(name)
            case ast.BoolOp(op=op, values=values):
                parts = [self.part(value, bool, depth + 1) for value in values]
                return _Part(bool, ast.BoolOp(op, parts))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                negated = self.part(operand, bool, depth + 1)
                return _Part(bool, ast.UnaryOp(ast.Not(), negated))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = self.part(operand, float, depth + 1)
                return _Part(float, ast.UnaryOp(ast.USub(), number))
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
                one, other = self.part(left, float, depth + 1), self.part(right, float, depth + 1)
                if isinstance(op, ast.Div):
                    return _Part(float, _call(_quotient, one, other))
                return _Part(float, ast.BinOp(one, op, other))
            case ast.Compare():
                return self._comparison(node, depth)
        what = getattr(node, "op", node)
        raise self._refused(
            f"only comparisons, and/or/not and + - * /; "
            f"no {_FORBIDDEN.get(type(what), type(what).__name__.lower())}"
        )

    def _constant(self, value: object) -> _Part:
        match value:
            case bool() | str():
                return _Part(type(value), ast.Constant(value))
            case int() | float():
                try:
                    number = float(value)
                except OverflowError:
                    number = nan
                if not isfinite(number):
                    raise self._refused("a number is too large")
                return _Part(float, ast.Constant(number))
        raise self._refused("only numbers and texts")

    def _fact(self, name: str) -> _Part:
        if name not in self._kinds:
            raise ExpressionError(f"there is no fact {name!r}{hint(name, self._kinds)}")
        self.names.add(name)
        fact = ast.Subscript(_name(_FACTS), ast.Constant(name), ast.Load())
        return _Part(self._kinds[name], fact)

    def _comparison(self, node: ast.Compare, depth: int) -> _Part:
        """``a < b <= c`` is ``a < b and b <= c``."""
        parts: list[ast.expr] = []
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            parts.append(self._pair(left, op, right, depth + 1))
            left = right
        return _Part(bool, parts[0] if len(parts) == 1 else ast.BoolOp(ast.And(), parts))

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> ast.expr:
        one = self._any(left, depth)
        if isinstance(op, _MEMBERSHIP) and isinstance(right, ast.Name):
            return self._listed(left, op, right.id)
        if isinstance(op, _MEMBERSHIP):
            several = self._several(right, one.kind, depth)
            if isinstance(op, ast.NotIn):
                return _call(_lacks, several, one.node)
            return ast.Compare(one.node, [op], [several])
        if not isinstance(op, _COMPARISONS):
            raise self._refused("compare with == != < <= > >= in")
        other = self._any(right, depth)
        if one.kind is not other.kind:
            raise self._refused(f"{_NAMES[one.kind]} and {_NAMES[other.kind]} do not go together")
        if isinstance(op, ast.NotEq):
            return _call(_differ, one.node, other.node)
        return ast.Compare(one.node, [op], [other.node])

    def _listed(self, left: ast.expr, op: ast.cmpop, fact: str) -> ast.expr:
        """``"name" in fact``, for a fact that lists names."""
        listing = self._fact(fact)
        if listing.kind is not list:
            raise self._refused(f'`in` needs a list, such as ("new", "loyal"), not {fact}')
        name = listed_name(left)
        if name is None:
            raise self._refused(f'`in {fact}` needs a name, such as "vip" in {fact}')
        names = ast.Call(ast.Attribute(listing.node, "split", ast.Load()), [], [])
        return ast.Compare(ast.Constant(name), [op], [names])

    def _several(self, node: ast.expr, kind: type, depth: int) -> ast.expr:
        """The right side of ``in``: a list of the same kind."""
        if not isinstance(node, ast.Tuple | ast.List):
            raise self._refused('`in` needs a list, such as ("new", "loyal")')
        items = [self.part(item, kind, depth + 1) for item in node.elts]
        return ast.Tuple(items, ast.Load())

    def _refused(self, reason: str) -> ExpressionError:
        return ExpressionError(f"{reason}: {self._text!r}")


def listed_name(node: ast.expr) -> str | None:
    """The name that is looked for in a list of names; None for anything else."""
    match node:
        case ast.Constant(value=str() as name):
            return name
    return None


def _name(text: str) -> ast.expr:
    return ast.Name(text, ast.Load())


def _call(called: Callable[..., Any], *arguments: ast.expr) -> ast.expr:
    return ast.Call(_name(called.__name__), [*arguments], [])


def _function(node: ast.expr) -> _Read:
    """Compile the tree to one function: a call for each node would be many times slower.

    Only constants come from the author's text.
    """
    facts = ast.arguments([], [ast.arg(_FACTS)], None, [], [], None, [])
    tree = ast.fix_missing_locations(ast.Expression(ast.Lambda(facts, node)))
    read: _Read = eval(compile(tree, "<rule>", "eval"), {"__builtins__": {}, **_CALLED})  # noqa: S307
    return read


def hint(name: str, known: Mapping[str, object]) -> str:
    """The known name that is closest to a misspelled one, as the end of an error message."""
    longer = [fact for fact in known if name.lower() in fact]
    close = longer or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; `keepstream facts` lists all"
