"""What a mutant is."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """``text`` of ``file``, which must be there once, becomes ``instead``; ``test`` must fail.

    ``is_quick``: its test takes a few seconds, so that it runs with all tests.
    """

    protection: str
    file: str
    text: str
    instead: str
    test: str
    is_quick: bool = False
