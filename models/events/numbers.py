"""Numbers that senders write as texts: as their country does, where that can mean one thing only.

A dot is a decimal one, as in JSON. A comma is one where it cannot be a thousands separator, so
"25,00" is a number, and "25,000" is none: it is 25 to some and 25 thousand to others. Whoever
writes both kinds of separators says by that which is which.
"""

import re
from typing import Final

_GROUPS: Final = "[1-9][0-9]{0,2}"
_DECIMALS: Final = "[0-9]{1,12}"
#: A blank that does not break a line, or an apostrophe, too.
_GAP: Final = "[ \u00a0\u202f'\u2019]"
_FORMS: Final = (
    rf"[0-9]{{1,12}}(\.{_DECIMALS})?",
    # No group of thousands has another number of digits, comes after four, or begins with 0.
    "[0-9]{1,12},([0-9]{1,2}|[0-9]{4,12})",
    "(0|[0-9]{4,12}),[0-9]{3}",
    rf"{_GROUPS}((\.[0-9]{{3}}){{1,3}},{_DECIMALS}|(\.[0-9]{{3}}){{2,3}})",
    rf"{_GROUPS}((,[0-9]{{3}}){{1,3}}\.{_DECIMALS}|(,[0-9]{{3}}){{2,3}})",
    # As in India, where only the last group has three digits.
    rf"[1-9][0-9]?(,[0-9]{{2}}){{1,3}},[0-9]{{3}}(\.{_DECIMALS})?",
    rf"{_GROUPS}({_GAP}[0-9]{{3}}){{1,3}}([.,]{_DECIMALS})?",
)
#: In regular expressions as JSON Schema has them, too.
DECIMAL: Final = f"({'|'.join(_FORMS)})"
SIGNED_DECIMAL: Final = f"-?{DECIMAL}"
_SIGNED_DECIMAL = re.compile(SIGNED_DECIMAL).fullmatch
_GAPS = re.compile(_GAP)


def number_in(text: str) -> float | None:
    """The number that ``text`` says; None if it says none, or could say two."""
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
