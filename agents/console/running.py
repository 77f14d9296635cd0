"""The console as a process, from start to stop."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from agents.console.checkup import Checkup
from agents.console.console import Console
from agents.console.marks import CustomerMarks
from agents.console.memory import DecisionMemory, remember_decisions
from agents.console.recent_letters import RecentLetters
from agents.console.rendering import Rendering
from agents.console.sessions import Sessions, login_url, new_secret
from agents.console.shop_counts import ShopCounts
from agents.console.site import console_site
from agents.console.trial import RuleTrials
from agents.web.connections import connections_max
from agents.web.server import ListenAddress, listening
from config.parameters import Parameters
from config.people import People, Person, Role, load_people
from config.settings import Settings, variable_of
from config.sources import hash_of
from config.topics import CUSTOMER_EVENTS, DEAD_LETTERS, RAW_TOPICS
from models.model_history import ModelHistory
from streams.model_feed import follow_models
from streams.stop_signals import on_stop_signal
from streams.topic_rates import TopicRates, look_at_rates

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 256
#: The name of whoever logs in with the token that the console makes itself.
OWN_NAME = "console"

Say = Callable[[str], None]


def run_console(
    settings: Settings, parameters: Parameters, assignments: Sequence[str], say: Say
) -> None:
    """Serve the pages until a signal. ``assignments``: the --set options that the parameters
    include, for the commands that try a rule.

    Raises `SettingsError` or `AddressRefused` when it cannot start. The pages report a broker, a
    store or a worker that is away.
    """
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("aiokafka", "kafka"):
        # The pages report connection problems; the libraries' retries need no log.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    people = dict(load_people(settings))
    own_token = ""
    if not people:
        own_token = new_secret()
        role = Role(settings.console_role)
        people[OWN_NAME] = Person(tokens=[hash_of(own_token)], role=role)
    console = console_of(settings, parameters, People(people), assignments)
    asyncio.run(_serve(console, own_token, say))


async def _serve(console: Console, own_token: str, say: Say) -> None:
    settings = console.settings
    stopping = asyncio.Event()
    on_stop_signal(stopping.set)
    async with listening(console_site(console), _place(settings)) as port:
        following = asyncio.gather(
            remember_decisions(settings, console.memory),
            look_at_rates(settings, console.rates),
            follow_models(settings, console.models),
        )
        for line in _greeting(f"http://{settings.console_host}:{port}", own_token, settings):
            say(line)
        told = asyncio.create_task(stopping.wait())
        try:
            either: list[asyncio.Future[Any]] = [told, following]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            following.cancel()
            await console.trials.close()
        # A task that ends by itself has failed. The console must stop then, because its pages would
        # get no more news.
        with suppress(asyncio.CancelledError):
            await following


def console_of(
    settings: Settings, parameters: Parameters, people: People, assignments: Sequence[str] = ()
) -> Console:
    """A console that has read nothing yet."""
    marks = CustomerMarks()
    rates = TopicRates((*RAW_TOPICS, CUSTOMER_EVENTS, DEAD_LETTERS))
    return Console(
        settings,
        parameters,
        people,
        Sessions(),
        marks,
        Rendering(marks),
        DecisionMemory(),
        rates,
        RecentLetters(settings, rates),
        Checkup(settings, parameters),
        RuleTrials(settings, assignments),
        ModelHistory(parameters),
        ShopCounts(settings, parameters),
    )


def _greeting(url: str, own_token: str, settings: Settings) -> list[str]:
    if not own_token:
        return [f"The console is at {url}"]
    lasting = "keepstream console token NAME --add people.toml"
    return [
        f"The console is at {login_url(url, own_token)}",
        f"The link is for a {settings.console_role}, as long as this runs. For others: {lasting}",
    ]


def _place(settings: Settings) -> ListenAddress:
    return ListenAddress(
        "the console",
        settings.console_host,
        settings.console_port,
        variable_of("console_host"),
        variable_of("console_port"),
        connections_max(CONNECTIONS_MAX),
    )
