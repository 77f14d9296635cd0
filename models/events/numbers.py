"""Numbers that are sent as texts, in any country's notation if it is unambiguous.

A dot is a decimal point, as in JSON. A comma is a decimal comma only where it can't separate
thousands. So "25,00" is a number, but "25,000" is not: it may be 25 or 25 thousand. A text with
both kinds of separators is unambiguous. Of an amount in a currency without decimals, "25.000" may
be 25 thousand, too.
"""

import re
from typing import Final

_GROUPS: Final = "[1-9][0-9]{0,2}"
_DECIMALS: Final = "[0-9]{1,12}"
#: A no-break space or an apostrophe also separates groups.
_GAP: Final = "[ \u00a0\u202f'\u2019]"
_FORMS: Final = (
    rf"[0-9]{{1,12}}(\.{_DECIMALS})?",
    # A thousands group has exactly three digits, follows at most three, and never follows a leading
    # 0.
    "[0-9]{1,12},([0-9]{1,2}|[0-9]{4,12})",
    "(0|[0-9]{4,12}),[0-9]{3}",
    rf"{_GROUPS}((\.[0-9]{{3}}){{1,3}},{_DECIMALS}|(\.[0-9]{{3}}){{2,3}})",
    rf"{_GROUPS}((,[0-9]{{3}}){{1,3}}\.{_DECIMALS}|(,[0-9]{{3}}){{2,3}})",
    # As in India, where only the last group has three digits.
    rf"[1-9][0-9]?(,[0-9]{{2}}){{1,3}},[0-9]{{3}}(\.{_DECIMALS})?",
    rf"{_GROUPS}({_GAP}[0-9]{{3}}){{1,3}}([.,]{_DECIMALS})?",
)
#: Also valid in regular expressions of JSON Schema.
DECIMAL: Final = f"({'|'.join(_FORMS)})"
SIGNED_DECIMAL: Final = f"-?{DECIMAL}"
_SIGNED_DECIMAL = re.compile(SIGNED_DECIMAL).fullmatch
_GAPS = re.compile(_GAP)
_may_be_thousands = re.compile(rf"-?{_GROUPS}\.[0-9]{{3}}").fullmatch


def may_be_thousands(text: str) -> bool:
    """Whether ``text`` is a number whose dot separates thousands where there are no decimals."""
    return _may_be_thousands(text.strip()) is not None


def number_in(text: str) -> float | None:
    """The number in ``text``; None if there is none, or if it is ambiguous."""
    text = text.strip()
    if _SIGNED_DECIMAL(text) is None:
        return None
    digits = _GAPS.sub("", text)
    separators = [one for one in digits if one in ".,"]
    if len(separators) > 1 and len(set(separators)) == 1:
        return float(digits.replace(separators[0], ""))
    if separators:
        whole, _, decimals = digits.rpartition(separators[-1])
        return float(f"{whole.replace('.', '').replace(',', '')}.{decimals}")
    return float(digits)
