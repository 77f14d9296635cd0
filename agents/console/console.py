"""What all pages share."""

from typing import Any, Final, NamedTuple

from aiohttp import web

from agents.console.checkup import Checkup
from agents.console.marks import CustomerMarks
from agents.console.memory import DecisionMemory
from agents.console.recent_letters import RecentLetters
from agents.console.rendering import Rendering
from agents.console.sessions import Session, Sessions
from agents.console.shop_counts import ShopCounts
from agents.console.trial import RuleTrials
from config.parameters import Parameters
from config.people import People
from config.settings import Settings
from models.model_history import ModelHistory
from streams.topic_rates import TopicRates

_COOKIE: Final = "keepstream-console"
#: The key under which a request keeps its session.
SESSION: Final = web.RequestKey("session", Session)


def cookie_name(request: web.Request) -> str:
    """The name of the session's cookie. It contains the port, because a browser sends cookies to
    all ports of a host, and another console may run there.
    """
    return f"{_COOKIE}-{request.url.port}"


class Console(NamedTuple):
    """The console of one process."""

    settings: Settings
    parameters: Parameters
    people: People
    sessions: Sessions
    marks: CustomerMarks
    rendering: Rendering
    memory: DecisionMemory
    rates: TopicRates
    letters: RecentLetters
    checkup: Checkup
    trials: RuleTrials
    models: ModelHistory
    shop: ShopCounts

    @property
    def currency(self) -> str:
        return self.parameters.money.currency

    @property
    def problem(self) -> str | None:
        """Why no news arrives. A broker that went away is noticed by its silence."""
        return self.memory.problem or self.rates.problem

    def page(self, request: web.Request, template: str, here: str, **given: Any) -> web.Response:
        """Return a whole page; ``here``: the current entry of the navigation."""
        return self.rendering.page(template, session=request[SESSION], here=here, **given)
