"""One mutant."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """``text`` of ``file``, which must occur once, becomes ``instead``; then ``test`` must fail.

    ``is_quick``: its test takes a few seconds, so it runs with all tests.
    """

    protection: str
    file: str
    text: str
    instead: str
    test: str
    is_quick: bool = False
