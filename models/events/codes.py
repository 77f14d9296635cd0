"""Codes such as ``too_expensive``: choices from a list. Free text may be personal, so it is dropped
from events.
"""

import re
from typing import Final

#: One word of letters, _ and -, which begins with a letter and has at most 32 characters.
CODE: Final = "[A-Za-z][A-Za-z_-]{0,31}"
_CODE = re.compile(CODE).fullmatch


def code(text: str | None) -> str | None:
    """``text`` if it looks like a code; None for free text."""
    return text if text is not None and _CODE(text) else None
