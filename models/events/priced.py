"""Amounts that are written with their currency, such as ``12,50 €`` or ``USD 12``.

A currency beside an amount is never dropped. It must equal the event's currency; if the event
states none, it becomes the event's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from config.names import folded
from models.events.ids import is_word_for_nothing
from models.events.leniency import is_nothing, plain
from models.events.numbers import DECIMAL, may_be_thousands, number_in
from models.events.rejection import Reason, Rejected
from models.money import NO_CURRENCY, SIGNS, WITHOUT_DECIMALS, code_of

#: The sign that all dollars share, and the currencies it may mean.
_DOLLAR: Final = "$"
_DOLLARS: Final = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD"})
_MARK: Final = rf"([A-Z]{{3}}|{'|'.join(map(re.escape, (*SIGNS, _DOLLAR)))})"
_GAP: Final = "[ \u00a0\u202f]?"
_priced = re.compile(
    rf"{_MARK}{_GAP}(?P<after>{DECIMAL})|(?P<before>{DECIMAL}){_GAP}{_MARK}", re.IGNORECASE
).fullmatch
_CURRENCY: Final = "currency"
#: How deep in an event its currency may be: in a list of products, and there in a price.
_DEEP: Final = 3
#: Fields that show that an amount is in minor units.
_IN_SMALLEST: Final = frozenset({"centamount", "precision", "fractiondigits", "decimals"})


class Priced(float):
    """An amount with the currency beside it: a code, or the sign of all dollars."""

    mark: str
    path: str


class Doubtful(float):
    """A number that is another one if its currency has no decimals: 25.000 may be 25 thousand."""

    path: str


_Marked = TypeVar("_Marked", Priced, Doubtful)


def doubtful(number: float, text: str, path: str) -> float:
    """The number that was read in ``text``, marked if its currency decides what it is."""
    if not may_be_thousands(text):
        return number
    found = Doubtful(number)
    found.path = path
    return found


def priced_in(text: str, path: str) -> Priced | None:
    """The amount in ``text`` with its currency; None if the text is not of this form."""
    found = _priced(text.strip())
    if found is None:
        return None
    digits = found["after"] or found["before"]
    number = number_in(digits)
    if number is None:
        return None
    mark = text.strip().replace(digits, "", 1).strip(" \u00a0\u202f")
    priced = Priced(number)
    priced.mark, priced.path = SIGNS.get(mark.upper(), mark.upper()), path
    if may_be_thousands(digits):
        _require_decimals(priced.mark, path)
    return priced


def _require_decimals(currency: str | None, path: str) -> None:
    if currency in WITHOUT_DECIMALS:
        raise Rejected(
            Reason.WRONG_TYPE,
            path,
            f"a number; with a dot before three digits it may be a thousandth in {currency}",
            "give it as a number without separators, such as 25000",
        )


def currency_text(value: Any) -> str | None:
    """A stated currency as text; None if it is missing. A value that is no text is no currency; it
    does not mean the shop's.
    """
    if is_nothing(value) or (isinstance(value, str) and is_word_for_nothing(value)):
        return None
    return plain(value) if isinstance(value, str) else NO_CURRENCY


def currency_among(tree: Mapping[str, Any]) -> str | None:
    """The currency that an object states under any name containing that word, or that the objects
    in it state; None if none does. Raises ``Rejected`` for several currencies.
    """
    found = dict.fromkeys(_currencies_in(tree, _DEEP))
    if len(found) > 1:
        raise Rejected(
            Reason.OUT_OF_RANGE,
            f"$.properties.{_CURRENCY}",
            "several currencies under names that say nothing of the amounts",
            "name the currency of the event's amounts in currency",
        )
    return next(iter(found), None)


def _currencies_in(value: Any, deep: int) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _currencies_in(one, deep)
    if not isinstance(value, dict):
        return
    for key, one in value.items():
        if isinstance(one, str) and _CURRENCY in folded(key):
            code = code_of(one)
            if code not in ("", NO_CURRENCY) and not is_word_for_nothing(one):
                yield code
        elif deep:
            yield from _currencies_in(one, deep - 1)


def money_in(value: Mapping[str, Any], path: str) -> Priced | None:
    """The amount in an object that states its currency, as in shops' APIs; None if there is none,
    or if it is in minor units.
    """
    said = {folded(key): one for key, one in value.items()}
    if isinstance(inner := said.get("shopmoney"), dict):
        return money_in(inner, path)
    amount = next((said[name] for name in ("amount", "value") if name in said), None)
    code = next((said[name] for name in ("currency", "currencycode") if name in said), None)
    if not isinstance(code, str) or _IN_SMALLEST.intersection(said):
        return None
    number = number_in(amount) if isinstance(amount, str) else amount
    if not isinstance(number, int | float) or isinstance(number, bool) or number < 0:
        return None
    priced = Priced(number)
    priced.mark, priced.path = code_of(code), path
    if isinstance(amount, str) and may_be_thousands(amount):
        _require_decimals(priced.mark, path)
    return priced


def without_marks(values: Any, usual: str | None = None) -> Any:
    """The values with plain amounts, and the currency beside them as the object's own. ``usual``:
    the currency if none is stated, as far as it is known.

    Raises ``Rejected`` for amounts in several currencies, or in an ambiguous one.
    """
    amounts = list(_marked_among(values, Priced))
    doubts = list(_marked_among(values, Doubtful))
    if not amounts and not doubts:
        return values
    if not isinstance(values, dict):
        return _plain(values)
    said = code_of(values.get(_CURRENCY)) or None
    for amount in amounts:
        if said is None and amount.mark != _DOLLAR:
            said = amount.mark
        if said is None:
            raise Rejected(
                Reason.REQUIRED_MISSING,
                f"$.properties.{_CURRENCY}",
                "an amount has the sign of several currencies",
                "give the currency a code of three letters in currency, and the amount as a number",
            )
        if amount.mark != said and not (amount.mark == _DOLLAR and said in _DOLLARS):
            raise Rejected(
                Reason.OUT_OF_RANGE,
                amount.path,
                "an amount in another currency than the event's",
                "give all amounts of an event in its currency, as numbers",
            )
    for doubt in doubts:
        _require_decimals(said or usual, doubt.path)
    return {**_plain(values), _CURRENCY: said} if amounts else _plain(values)


def _marked_among(values: Any, kind: type[_Marked]) -> Iterator[_Marked]:
    if isinstance(values, kind):
        yield values
    elif isinstance(values, dict | list):
        for one in values.values() if isinstance(values, dict) else values:
            yield from _marked_among(one, kind)


def _plain(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _plain(one) for name, one in values.items()}
    if isinstance(values, list):
        return [*map(_plain, values)]
    return float(values) if isinstance(values, Priced | Doubtful) else values
