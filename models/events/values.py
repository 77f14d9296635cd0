"""Reads the values of properties as their fields need them, where the strict decoder refuses them.

Each reader takes a value and its JSON path, and raises ``Rejected`` for a value it cannot read;
None leaves the field out.
"""

from math import copysign, isfinite
from typing import Any, Final, NamedTuple

from models.events.ids import EXACT_MAX, is_word_for_nothing
from models.events.leniency import plain
from models.events.numbers import number_in
from models.events.priced import currency_text, doubtful, money_in, priced_in
from models.events.rejection import Reason, Rejected

#: Not every larger integer fits a float.
_HUGE: Final = 1e300
_NAMES_IN_OBJECTS: Final = ("name", "label", "value")
_TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}


class AmountReading(NamedTuple):
    """How to read amounts: whether a word for nothing is an error, whether a minus is ignored, and
    whether a currency beside an amount has a field.
    """

    is_exact: bool
    is_absolute: bool
    has_currency: bool


def text_value(value: Any, path: str, *, length_max: int | None, is_needed: bool) -> str | None:
    """A text. If it is no text, a needed one is refused, and any other is left out."""
    value = _name_in(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not is_needed and isinstance(value, str) and is_word_for_nothing(value):
        return None
    fits = isinstance(value, str) and (length_max is None or len(value) <= length_max)
    if fits or (is_needed and isinstance(value, str)):
        return plain(value)
    if is_needed:
        raise Rejected(Reason.WRONG_TYPE, path, "a text")
    return None


def currency_value(value: Any, _path: str) -> str | None:
    """The name of a currency."""
    return currency_text(value)


def truth_value(value: Any, _path: str) -> Any:
    """A truth value; any other value stays unchanged, and is refused later."""
    return _TRUTHS.get(str(value).strip().lower(), value)


def number_value(
    value: Any, path: str, *, is_signed: bool, amounts: AmountReading, such_as: str
) -> Any:
    """A number, also from a text; an amount keeps its currency if that has a field."""
    if isinstance(value, dict) and amounts.has_currency:
        return money_in(value, path) or value
    if not isinstance(value, str):
        value = as_it_is_value(value, path)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_signed or not is_number else _not_below_0(value, path, amounts)
    if is_word_for_nothing(value) and not amounts.is_exact:
        return None
    number = number_in(value)
    if number is not None:
        number = number if is_signed else _not_below_0(number, path, amounts)
        return doubtful(number, value, path) if amounts.has_currency else number
    if amounts.has_currency and not is_signed and (priced := priced_in(value, path)) is not None:
        return priced
    raise Rejected(Reason.WRONG_TYPE, path, f"a number, such as {such_as}")


def _not_below_0(number: float, path: str, amounts: AmountReading) -> float:
    if copysign(1.0, number) < 0.0 and not amounts.is_absolute:
        of_money = ": what goes back has an event of its own, as Order Refunded"
        raise Rejected(
            Reason.OUT_OF_RANGE,
            path,
            "a number of at least 0",
            f"leave out the minus{of_money if amounts.has_currency else ''}",
        )
    return abs(number)


def code_value(value: Any, _path: str) -> Any:
    """A code in lower case and without surrounding blanks."""
    return value.strip().lower() if isinstance(value, str) else value


def either_value(value: Any, _path: str, *, is_whole: bool) -> Any:
    """A number or a text; a number that is too large is left out. ``is_whole``: a number without a
    fraction becomes an integer.
    """
    value = _name_in(value)
    if is_whole and isinstance(value, float) and value.is_integer() and abs(value) < EXACT_MAX:
        return int(value)
    if isinstance(value, int | float):
        return value if abs(value) < _HUGE else None
    return plain(value) if isinstance(value, str) else value


def _name_in(value: Any) -> Any:
    """The name in an object that has one: many systems send ``{"id": 3, "name": "solved"}``."""
    if not isinstance(value, dict):
        return value
    names = (value.get(field) for field in _NAMES_IN_OBJECTS)
    return next((name for name in names if isinstance(name, str)), value)


def as_it_is_value(value: Any, path: str) -> Any:
    """The value unchanged, if it can be used at all."""
    if isinstance(value, float) and not isfinite(value):
        raise Rejected(Reason.OUT_OF_RANGE, path, "no finite number")
    return plain(value) if isinstance(value, str) else value
