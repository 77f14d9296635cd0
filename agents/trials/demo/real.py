"""A year of a real grocer through the same broker, store and workers as the simulated shop.

It is a backfill of 2017, so the clock is that of the events, whatever the wall clock says.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import msgspec
import typer
from kafka.errors import KafkaError
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agents.interruption import Stopped, interruptible
from agents.trials.demo import show
from agents.trials.demo.failure import DemoFailed
from agents.trials.demo.journey import CURRENCY, Basket, baskets, day_of, records
from agents.trials.demo.performance import DAYS_PER_S_MAX, RATE_PER_S, LastMove, Performance
from agents.trials.demo.positions import Broker
from agents.trials.demo.screen import Screen, View, screen
from agents.trials.demo.services import Deployment, deployment
from agents.trials.demo.shop import ShopConfig
from agents.trials.demo.summary import DemoSummary, require_writable, write_summary
from agents.trials.demo.watch import Watch
from agents.trials.demo.workers import Workers
from agents.words.parameters import parameters_as_toml
from config.duration import DAY_MS
from config.settings import load_settings, variable_of
from models.learning.churn_models import ChurnScoring, Quality
from models.parameters import load_parameters
from streams.publisher import EventPublisher
from streams.topics import create_topics


class Year(Performance):
    """The acts of the demonstration, with real baskets instead of simulated ones."""

    def __init__(
        self,
        year: Sequence[Basket],
        place: Deployment,
        workers: Workers,
        watch: Watch,
        broker: Broker,
        publisher: EventPublisher,
        screen: Screen,
    ) -> None:
        first_ms, last_ms = year[0].placed_at_ms, year[-1].placed_at_ms
        shop = ShopConfig(
            seed=0,
            customers=len({basket.household_id for basket in year}),
            start_ms=first_ms // DAY_MS * DAY_MS,
            days=last_ms // DAY_MS - first_ms // DAY_MS + 1,
        )
        super().__init__(shop, place, workers, watch, broker, publisher, screen)
        self._year = year
        self.title = (
            f"Complete Journey (real purchases): {shop.customers:,} households, "
            f"{day_of(first_ms)} to {day_of(last_ms)}"
        )
        self._view = View(watch.figures, self.title, len(year))
        self._view.total_words = f"{len(year):,}"

    def publish_history(self) -> None:
        """Publish the year as fast as the workers can follow."""
        self._last_move = LastMove(monotonic())
        at_most_per_s = len(self._year) * DAYS_PER_S_MAX / self.shop.days
        self._pace.send(records(self._year), min(RATE_PER_S, at_most_per_s))
        self._publisher.flush()


def run_real(
    *,
    summary: Path | None = None,
    bootstrap_servers: str | None = None,
    redis_url: str | None = None,
) -> int:
    """Publish the year, account for all of it, and say how good the models were.

    The exit codes are those of `run_demo`.
    """
    console = Console(highlight=False)
    for name in ("kafka", "aiokafka"):
        # Their retries are no news; errors they give up on are raised.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        if summary is not None:
            require_writable(summary)
        with interruptible() as finish, screen(console) as shown, ExitStack() as stack:
            try:
                shown.say("Reading the purchases")
                year = _open(baskets(), shown, stack, bootstrap_servers, redis_url)
                _play(year, console, summary)
            finally:
                finish()
    except Stopped as stopped:
        console.print("Stopped; nothing is left running.")
        return stopped.exit_code
    except DemoFailed as failed:
        typer.secho(str(failed), fg="red", err=True)
        return show.EXIT_UNFINISHED
    except KafkaError as error:
        reason = type(error).__name__
        typer.secho(f"the broker stopped answering ({reason})", fg="red", err=True)
        return show.EXIT_UNFINISHED
    return show.EXIT_OK


def _open(
    year: Sequence[Basket],
    shown: Screen,
    stack: ExitStack,
    bootstrap_servers: str | None,
    redis_url: str | None,
) -> Year:
    """Start everything; ``stack`` stops it in reverse order."""
    directory = stack.enter_context(show.scratch_directory())
    place = stack.enter_context(
        deployment(directory, shown.say, bootstrap_servers=bootstrap_servers, redis_url=redis_url)
    )
    settings = place.settings
    shown.say("Creating topics")
    create_topics(settings)
    environ = _with_dollars(place.environ, directory)
    broker = stack.enter_context(Broker(settings))
    workers = stack.enter_context(Workers(show.WORKERS, environ, directory))
    watch = stack.enter_context(Watch(settings, workers.urls))
    publisher = stack.enter_context(show.publishing(settings))
    return Year(year, place, workers, watch, broker, publisher, shown)


def _with_dollars(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The workers' environment, with the operator's parameters but this grocer's currency."""
    theirs = load_settings(environ).parameters
    parameters = load_parameters(Path(theirs) if theirs else None, [f"money.currency={CURRENCY}"])
    file = directory / "parameters.toml"
    file.write_text(parameters_as_toml(parameters), "utf-8")
    return {**environ, variable_of("parameters"): str(file)}


def _play(year: Year, console: Console, path: Path | None) -> None:
    year.wait_for_workers()
    year.publish_history()
    figures = year.settle()
    snapshot = year.watch.figures.snapshot
    year.screen.end()
    quality = snapshot.of(ChurnScoring).quality if snapshot is not None else ()
    console.print(_in_words(year.title, figures, quality))
    if path is not None:
        write_summary(figures, path)
        console.print(f"The figures are in {path}", soft_wrap=True)


def _in_words(title: str, summary: DemoSummary, quality: Sequence[Quality]) -> RenderableType:
    """The figures by their names in the JSON summary, and the models by kind of decision."""
    figures = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    figures.add_column(no_wrap=True)
    figures.add_column(justify="right", style="green", no_wrap=True)
    for name, value in _flat(msgspec.to_builtins(summary)):
        figures.add_row(name, value)
    heading = Text("The models on labels that came later, by kind of decision", style="bold")
    return Group("", Text(title, style="bold"), figures, "", heading, quality_table(quality), "")


def _flat(values: Mapping[str, object], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", _figure(value)


def quality_table(quality: Sequence[Quality]) -> Table:
    """Champion and baseline side by side, on the same matured decisions."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("days", "decisions", "scorer"):
        table.add_column(name)
    for name in ("examples", "AUC", "log loss", "calibration error"):
        table.add_column(name, justify="right")
    for told in quality:
        table.add_row(
            f"{told.horizon_days:g}",
            told.kind,
            told.scorer,
            _figure(told.examples),
            _figure(told.auc),
            _figure(told.log_loss),
            _figure(told.calibration_error),
        )
    return table


def _figure(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float() if value < 10:
            return f"{value:.4f}"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case _:
            return str(value)
