"""Where a program of the comparison reads and writes; given by its environment."""

import os
from pathlib import Path
from typing import NamedTuple, Self


class Places(NamedTuple):
    """``source``: events, keyed by customer; ``sink``: triggers; ``directory``: its own, empty.
    ``changelog``: a topic for the state of programs that have none of their own.
    """

    brokers: str
    source: str
    sink: str
    changelog: str
    group: str
    directory: Path

    @classmethod
    def told(cls) -> Self:
        told = {name: os.environ[f"BENCH_{name.upper()}"] for name in cls._fields}
        return cls(**{**told, "directory": Path(told["directory"])})  # type: ignore[arg-type]

    @property
    def environment(self) -> dict[str, str]:
        return {f"BENCH_{name.upper()}": str(value) for name, value in self._asdict().items()}


#: How often programs commit that do so by the clock.
COMMIT_S = 1.0
