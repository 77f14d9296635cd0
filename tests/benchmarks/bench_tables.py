"""The figures of `make bench` as Markdown."""

from collections.abc import Iterable, Mapping, Sequence

from tests.benchmarks.figures import Measured, Stage
from tests.benchmarks.peers.programs import OURS, PEERS

_STATE = {program.name: program.state for program in PEERS} | dict.fromkeys(
    OURS, "changelog, once a batch, after all effects"
)
#: The engine that the ratios compare with.
_AGAINST = "Quix Streams"


def tables(stages: Mapping[str, Stage]) -> str:
    """One table per stage that was run, and below it how busy the machine was."""
    texts = []
    for name, table in (("peers", _peers), *((name, _plain) for name in stages if name != "peers")):
        if (stage := stages.get(name)) is not None:
            texts.append(f"{stage.about}\n\n{table(stage)}\n\n{_under_load(stage)}\n")
    return "\n".join(texts)


def _peers(stage: Stage) -> str:
    costs = [one for one in stage.measured if not one.name.startswith("memory of ")]
    against = stage.of(_AGAINST)
    rows = []
    for one in sorted(costs, key=lambda cost: cost.median):
        times = sorted(
            mine / theirs for mine, theirs in zip(one.values, against.values, strict=True)
        )
        ratio = Measured("", "", times)
        memory = stage.of(f"memory of {one.name}")
        rows.append(
            (
                one.name,
                _range(one),
                f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})",
                _STATE[one.name],
                f"{memory.median:,.0f}",
            )
        )
    heads = ("", "µs of CPU an event", f"times {_AGAINST}", "where state is durable", "MB at most")
    return table(heads, rows)


def _plain(stage: Stage) -> str:
    return table(("", "median (range)", ""), ((m.name, _range(m), m.unit) for m in stage.measured))


def _range(one: Measured) -> str:
    middle = _number(one.median)
    if len(one.values) == 1:
        return middle
    return f"{middle} ({_number(one.least)} to {_number(one.most)})"


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _under_load(stage: Stage) -> str:
    before, after = stage.load
    rounds = max(len(one.values) for one in stage.measured)
    return (
        f"{rounds} round{'s' * (rounds > 1)}, {stage.seconds:.0f} s; the machine's load "
        f"was {before:.1f} before and {after:.1f} after."
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
