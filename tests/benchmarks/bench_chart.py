"""The chart of `make bench`: what an event costs, by engine."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from tests.benchmarks.figures import Stage
from tests.benchmarks.peers.programs import OURS

#: The same figures give the same bytes.
_STEADY = {"svg.hashsalt": "keepstream", "svg.fonttype": "none"}
_INK, _OURS, _THEIRS = "#52525b", "#0f766e", "#a1a1aa"


def draw(peers: Stage, path: Path) -> None:
    """One bar per engine: its length is the median, the line its range, on a logarithmic axis."""
    costs = [one for one in peers.measured if not one.name.startswith("memory of ")]
    costs.sort(key=lambda cost: -cost.median)
    with rc_context(_STEADY):
        figure = Figure(figsize=(8, 0.5 * len(costs) + 1.2), layout="constrained")
        axes = figure.subplots()
        for place, cost in enumerate(costs):
            colour = _OURS if cost.name in OURS else _THEIRS
            axes.barh(place, cost.median, color=colour, height=0.62)
            axes.plot([cost.least, cost.most], [place, place], color=_INK, linewidth=1.5)
            axes.text(cost.most * 1.12, place, f"{cost.median:.1f}", va="center", color=_INK)
        axes.set_yticks(range(len(costs)), [cost.name for cost in costs])
        axes.set_xscale("log")
        axes.set_xlim(1, max(cost.most for cost in costs) * 2)
        axes.set_xlabel(
            "µs of CPU an event, median and range of rounds; less is better", color=_INK
        )
        axes.tick_params(colors=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})
