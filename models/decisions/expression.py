"""Conditions and values as a marketer writes them, compiled once.

A small part of Python's expressions over named facts: comparisons, ``and``, ``or``, ``not``,
arithmetic, numbers and texts. Nothing else gets through, so evaluating one can neither call nor
reach anything.
"""

import ast
import difflib
from collections.abc import Mapping
from types import CodeType
from typing import Any, Protocol

from msgspec import Struct

_ALLOWED = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Compare,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.In,
    ast.NotIn,
    ast.Tuple,
    ast.List,
    ast.Name,
    ast.Load,
    ast.Constant,
)


class ExpressionError(ValueError):
    """An expression cannot be used; the message says where and why."""


class Facts(Protocol):
    """Gives a fact by its name."""

    def __getitem__(self, name: str) -> float | str: ...


class Expression(Struct, frozen=True):
    """A compiled expression and the facts it names."""

    text: str
    names: frozenset[str]
    _code: Any

    def holds(self, facts: Facts) -> bool:
        """Whether the condition is true. A fact that is not known makes every comparison false."""
        return bool(self._evaluate(facts))

    def value(self, facts: Facts) -> float:
        """The number; not a number when a fact it needs is not known, or for a division by 0."""
        try:
            return float(self._evaluate(facts))
        except ZeroDivisionError:
            return float("nan")

    def _evaluate(self, facts: Facts) -> Any:
        # Anything with __getitem__ can hold the names; only what is named is asked for.
        names: Any = facts
        return eval(self._code, {"__builtins__": {}}, names)  # noqa: S307 - see _checked


def compile_expression(text: str, kinds: Mapping[str, type]) -> Expression:
    """Compile ``text`` over facts of these kinds. Raises `ExpressionError`."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "too deep"
        raise ExpressionError(f"cannot be read ({reason}): {text!r}") from None
    names = _checked(tree, text, kinds)
    code: CodeType = compile(tree, "<rule>", "eval")
    return Expression(text, frozenset(names), code)


def _checked(tree: ast.Expression, text: str, kinds: Mapping[str, type]) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            what = type(node).__name__.lower()
            raise ExpressionError(
                f"only comparisons, and/or/not and arithmetic; no {what}: {text!r}"
            )
        if isinstance(node, ast.Name):
            if node.id not in kinds:
                raise ExpressionError(f"there is no fact {node.id!r}{_hint(node.id, kinds)}")
            names.add(node.id)
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool | int | float | str):
            raise ExpressionError(f"only numbers and texts: {text!r}")
        if isinstance(node, ast.Compare | ast.BinOp):
            _check_kinds(node, text, kinds)
    return names


def _check_kinds(node: ast.Compare | ast.BinOp, text: str, kinds: Mapping[str, type]) -> None:
    parts = (
        [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.left, node.right]
    )
    known = {kind for part in parts if (kind := _kind(part, kinds)) is not None}
    if len(known) > 1 or (isinstance(node, ast.BinOp) and str in known):
        raise ExpressionError(f"a text and a number do not go together: {text!r}")


def _kind(node: ast.expr, kinds: Mapping[str, type]) -> type | None:
    match node:
        case ast.Name(id=name):
            return kinds.get(name)
        case ast.Constant(value=str()):
            return str
        case ast.Constant() | ast.BinOp():
            return float
        case ast.Tuple(elts=[first, *_]) | ast.List(elts=[first, *_]):
            return _kind(first, kinds)
    return None


def _hint(name: str, kinds: Mapping[str, type]) -> str:
    close = difflib.get_close_matches(name, kinds, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; `keepstream facts` lists all"
