"""`keepstream evaluate`: how good the scores are, compared with other models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.progress import progress


class Data(StrEnum):
    """Which purchases to evaluate on."""

    ALL = "all"
    CDNOW = "cdnow"
    JOURNEY = "journey"


def evaluate(
    data: Annotated[Data, typer.Option("--data", help="Which real purchases.")] = Data.ALL,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            help="Move the log by whole weeks, multiply amounts and shuffle each day's events; "
            "the figures must not change.",
        ),
    ] = None,
    shuffle_labels: Annotated[
        bool,
        typer.Option(
            "--shuffle-labels",
            help="Shuffle the outcomes, both for learning and for judging; every AUC must be .5.",
        ),
    ] = False,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where to write results.json and plots."),
    ] = Path("evaluation"),
) -> None:
    """Replay real purchases, and compare the scores with those of other models.

    Uses two public data sets (`make evaluate` installs them), each a log with a question at every
    decision point. The other models get the same rows: recency, BG/NBD, Pareto/NBD, and a logistic
    regression and gradient boosting, which are retrained every few weeks on the labels known by
    then.
    """
    # numpy, scipy and River take seconds to import.
    from agents.trials.evaluation.datasets import DATA_SETS  # noqa: PLC0415
    from agents.trials.evaluation.evaluation import Options  # noqa: PLC0415
    from agents.trials.evaluation.evaluation import evaluate as judge  # noqa: PLC0415
    from agents.trials.evaluation.plots import draw  # noqa: PLC0415
    from agents.trials.evaluation.report import console, show, write_results  # noqa: PLC0415

    names = list(DATA_SETS) if data is Data.ALL else [data.value]
    # Load all data first, so that missing data is reported at once and not after minutes.
    purchases = {name: DATA_SETS[name]() for name in names}
    screen = console()
    verdicts = []
    for read in purchases.values():
        verdict, judged = judge(read, Options(seed, shuffle_labels), _watch)
        show(verdict, screen)
        draw(verdict, judged, out)
        verdicts.append(verdict)
    write_results(verdicts, out)
    screen.print(f"\nwritten to {out}")


@contextmanager
def _watch(what: str, steps: int) -> Iterator[Callable[[int], None]]:
    with progress(what, steps) as tell:
        yield lambda done: tell(done, f"{done:,} of {steps:,}")
