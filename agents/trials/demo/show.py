"""The demonstration from start to end: a shop, a broker, a store, two workers."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import typer
from kafka.errors import KafkaError
from rich.console import Console

from agents.interruption import Stopped, interruptible
from agents.trials.demo.closing import example_customer, summary_in_words
from agents.trials.demo.failure import DemoFailed
from agents.trials.demo.performance import Performance
from agents.trials.demo.positions import Broker
from agents.trials.demo.screen import Screen, screen
from agents.trials.demo.services import deployment
from agents.trials.demo.shop import ShopConfig, start_before
from agents.trials.demo.summary import require_writable, write_summary
from agents.trials.demo.watch import Watch
from agents.trials.demo.workers import Workers
from config.settings import Settings, load_settings
from models.catalogue import topic_of
from streams.publisher import EventPublisher
from streams.topics import create_topics

WORKERS = 2
DAYS = 200
EXIT_OK = 0
EXIT_UNFINISHED = 1


def run_demo(
    *,
    summary: Path | None = None,
    forever: bool = False,
    bootstrap_servers: str | None = None,
    redis_url: str | None = None,
    seed: int = 1,
    customers: int = 1_000,
) -> int:
    """Run the demonstration and return its exit code; nothing is left behind.

    0: all published records are accounted for. 1: they are not, and the message says what is
    missing. 128 + n: signal n ended it; 130 is Ctrl-C. Raises what prevents it from starting.
    """
    console = Console(highlight=False)
    for name in ("kafka", "aiokafka"):
        # Their retries are no news; errors they give up on are raised.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    start_ms = start_before(int(time() * 1_000), DAYS)
    shop = ShopConfig(seed=seed, customers=customers, start_ms=start_ms, days=DAYS)
    try:
        if summary is not None:
            require_writable(summary)
        with interruptible() as finish, screen(console) as shown, ExitStack() as stack:
            try:
                show = _open(shop, shown, stack, bootstrap_servers, redis_url)
                _play(show, console, summary, forever=forever)
            finally:
                finish()
    except Stopped as stopped:
        console.print("Stopped; nothing is left running.")
        return stopped.exit_code
    except DemoFailed as failed:
        typer.secho(str(failed), fg="red", err=True)
        return EXIT_UNFINISHED
    except KafkaError as error:
        reason = type(error).__name__
        typer.secho(f"the broker stopped answering ({reason})", fg="red", err=True)
        return EXIT_UNFINISHED
    return EXIT_OK


def _open(
    shop: ShopConfig,
    shown: Screen,
    stack: ExitStack,
    bootstrap_servers: str | None,
    redis_url: str | None,
) -> Performance:
    """Start everything; ``stack`` stops it in reverse order."""
    directory = stack.enter_context(scratch_directory())
    place = stack.enter_context(
        deployment(directory, shown.say, bootstrap_servers=bootstrap_servers, redis_url=redis_url)
    )
    settings = place.settings
    shown.say("Creating topics")
    create_topics(settings)
    broker = stack.enter_context(Broker(settings))
    workers = stack.enter_context(Workers(WORKERS, place.environ, directory))
    watch = stack.enter_context(Watch(settings, workers.urls))
    publisher = stack.enter_context(publishing(settings))
    return Performance(shop, place, workers, watch, broker, publisher, shown)


def _play(show: Performance, console: Console, path: Path | None, *, forever: bool) -> None:
    show.wait_for_workers()
    show.publish_history()
    figures = show.settle()
    profile = example_customer(show.settings, show.watch.figures)
    show.screen.end()
    console.print(summary_in_words(figures, show.shop, show.watch.figures, profile))
    if path is not None:
        write_summary(figures, path)
        console.print(f"The figures are in {path}", soft_wrap=True)
    if forever:
        show.go_on()


@contextmanager
def publishing(settings: Settings) -> Iterator[EventPublisher]:
    """A publisher whose closing does not hide the error that closes it."""
    publisher = EventPublisher(settings, topic_of)
    try:
        yield publisher
    except BaseException as error:
        with suppress(KafkaError):
            publisher.__exit__(type(error), error, error.__traceback__)
        raise
    publisher.close()


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory that is deleted afterwards, as is its parent if that was created for it."""
    parent = Path(load_settings(os.environ).data_dir)
    is_ours = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix="demo-", dir=parent) as directory:
            yield Path(directory)
    finally:
        if is_ours:
            # Another process may have begun to use it.
            with suppress(OSError):
                parent.rmdir()
