"""That somebody was erased, for readers of decisions: they have to delete what is theirs."""

from typing import Final

from msgspec import Struct

#: The event that asks for it.
ERASE_REQUESTED: Final = "User Erase Requested"
#: What it asks for: what is held is deleted; and nothing may come again; something may.
DELETE_ONLY, SUPPRESS, UNSUPPRESS = "DELETE_ONLY", "SUPPRESS_WITH_DELETE", "UNSUPPRESS"
MODES: Final = (DELETE_ONLY, SUPPRESS, UNSUPPRESS)


class Erased(Struct):
    """An id of an erased person. ``at_ms``: what is dated up to then is gone; ``was_known``:
    whether anything was held. ``partition`` and ``offset``: of the record that erased them.
    """

    customer: str
    at_ms: int
    mode: str
    was_known: bool
    partition: int = -1
    offset: int = -1
