"""The expressions of mappings: JMESPath, with a few functions that webhooks need.

A query finds, selects and combines values. It always terminates, and reads nothing but the webhook.
Its functions are checked when it is compiled.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options

from models.events.rejection import Reason, Rejected

# Argument types in the form that `signature` takes; its type has no public name.
_NUMBER: Final[Any] = {"types": ["number", "null"]}
_TEXT: Final[Any] = {"types": ["string", "null"]}
_DECIMALS: Final = 2
#: Values that count as false in JMESPath, besides null and false.
_EMPTY: Final[tuple[Any, ...]] = ("", [], {})


class QueryError(ValueError):
    """A query can't be used; the message says why and what to do."""


class Calls(Functions):
    """The functions that expressions may call in addition to JMESPath's own, for one webhook.

    ``headers``: by lower-case names; ``decimals``: of currencies that do not have two.
    """

    def __init__(self, headers: Mapping[str, str], decimals: Mapping[str, int]) -> None:
        self._headers = headers
        self._decimals = decimals

    @signature({"types": ["string"]})
    def _func_header(self, name: str) -> str | None:
        return self._headers.get(name.lower())

    @signature(_NUMBER, _TEXT)
    def _func_money(self, amount: float | None, currency: str | None) -> float | None:
        """Convert an amount in minor units into the currency's main unit."""
        if amount is None or currency is None:
            return None
        return float(amount / 10 ** self._decimals.get(currency.upper(), _DECIMALS))

    @signature(_NUMBER, _NUMBER)
    def _func_minus(self, amount: float | None, less: float | None) -> float | None:
        return None if amount is None else amount - (less or 0)

    @signature(_TEXT)
    def _func_hashed(self, text: str | None) -> str | None:
        return hashed(text or "") or None


def hashed(text: str) -> str:
    """The SHA-256 of a text such as an email address, in lower case and stripped: equal addresses
    have equal hashes, and the address itself is not stored. Empty for an empty text.
    """
    plain = text.strip().lower()
    return sha256(plain.encode("utf-8", "replace")).hexdigest() if plain else ""


class Query:
    """One compiled expression."""

    def __init__(self, text: str) -> None:
        """Raises ``QueryError``."""
        self.text = text
        try:
            self._parsed = jmespath.compile(text)
        except (JMESPathError, ValueError, RecursionError) as error:
            first_line = f"{error}".partition("\n")[0]
            raise QueryError(
                f"{text!r} is no JMESPath ({first_line or type(error).__name__}): "
                f"https://jmespath.org/tutorial.html shows it"
            ) from None
        self.headers = tuple(self._headers_called())

    def value(self, tree: Any, calls: Calls) -> Any:
        """The value it finds in ``tree``. Raises ``Rejected`` if it can't be evaluated there."""
        try:
            return self._parsed.search(tree, options=Options(custom_functions=calls))
        except (JMESPathError, ArithmeticError, ValueError, TypeError, RecursionError):
            raise Rejected(
                Reason.WRONG_TYPE,
                "$",
                f"{self.text} can't be worked out of it",
                "compare the webhook with the expression, and mend whichever is wrong",
            ) from None

    def _headers_called(self) -> Iterator[str]:
        """The headers that it reads. Raises ``QueryError`` for an invalid function call."""
        for name, arguments in _calls_in(self._parsed.parsed):
            known = Calls.FUNCTION_TABLE.get(name)
            if known is None:
                raise QueryError(
                    f"{self.text!r} calls {name}(), which there is not: beside JMESPath's own "
                    f"there are header(), hashed(), minus() and money()"
                )
            wanted = known["signature"]
            is_variadic = bool(wanted) and wanted[-1].get("variadic", False)
            if len(arguments) < len(wanted) or (len(arguments) > len(wanted) and not is_variadic):
                raise QueryError(f"{self.text!r}: {name}() takes {len(wanted)} values")
            if name == "header":
                if arguments[0]["type"] != "literal" or not isinstance(arguments[0]["value"], str):
                    raise QueryError(
                        f"{self.text!r}: header() takes a name in quotes: header('X-Topic')"
                    )
                yield arguments[0]["value"].lower()


def holds(value: Any) -> bool:
    """Whether the result of a query counts as true."""
    return value is not None and value is not False and value not in _EMPTY


def _calls_in(node: Any) -> Iterator[tuple[str, list[Any]]]:
    """Every function that a parsed expression calls, with its arguments."""
    if node["type"] == "function_expression":
        yield node["value"], node["children"]
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls_in(child)
