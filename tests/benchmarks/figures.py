"""The figures of the stages of `make bench`, and where they are stored."""

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct, json

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "out" / "bench"


class Measured(Struct, frozen=True):
    """One figure for each round, in order."""

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)


class Stage(Struct, frozen=True):
    """A stage of the benchmark. ``load``: the machine's, over a minute, before and after it."""

    name: str
    about: str
    seconds: float
    load: tuple[float, float]
    measured: list[Measured]

    def of(self, name: str) -> Measured:
        """The figure with this name."""
        return next(one for one in self.measured if one.name == name)


def load_1min() -> float:
    return round(os.getloadavg()[0], 2)


def gathered(rounds: Sequence[dict[str, float]], unit: str) -> list[Measured]:
    """The figures of all rounds, by name."""
    names = dict.fromkeys(name for found in rounds for name in found)
    return [
        Measured(name, unit, [found[name] for found in rounds if name in found]) for name in names
    ]


def write(stage: Stage, directory: Path = OUT) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    content = json.format(json.encode(stage), indent=1)
    (directory / f"{stage.name}.json").write_bytes(content + b"\n")


def read_all(directory: Path = OUT) -> dict[str, Stage]:
    """The stages that have been run, the latest run of each."""
    stages = [json.decode(path.read_bytes(), type=Stage) for path in directory.glob("*.json")]
    return {stage.name: stage for stage in stages}
