"""The shop's costs of winning customers, by channel, sent on to the trainer.

This part keeps no state for a customer: the sums are over all customers.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from config.parameters import Parameters
from models.customer.engagement import CHANNEL_LENGTH_MAX
from models.customer.part import Part
from models.customer.row import State
from models.customer.scene import Scene
from models.events.currency import check_currency
from models.events.event import Amount, Event, EventType, Text
from models.learning.lessons import Cost
from models.money import foreign, shop_minor

CAMPAIGN_COST = "Campaign Cost"
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_.:@-]")


class CampaignCost(Struct, frozen=True, omit_defaults=True, gc=False):
    """What was spent on winning customers through a channel. It belongs to no customer, so it needs
    no userId.
    """

    channel: Text
    amount: Amount
    currency: str | None = None


class Acquired(State):
    """Nothing is kept."""


def _united(_states: Sequence[Acquired], _parameters: Parameters) -> Acquired:
    return Acquired()


def _record(_state: Acquired, event: Event, scene: Scene) -> None:
    cost = event.properties
    money, at_ms = scene.parameters.money, event.occurred_at_ms
    amount_minor = shop_minor(cost.amount, foreign(cost.currency, money), at_ms, money)
    scene.teach(Cost(at_ms, cost.channel[:CHANNEL_LENGTH_MAX], amount_minor))


def _check(_state: Acquired, event: Event, parameters: Parameters) -> None:
    check_currency(event.properties, event.occurred_at_ms, parameters.money)


def _nobody(cost: CampaignCost) -> str:
    """The id that a channel's costs are kept under, so that repeats are recognised."""
    return f"channel:{_NOT_IN_ID.sub('_', cost.channel)[:100]}"


ACQUISITION: Part[Acquired] = Part(
    name="acquisition",
    code="aq",
    about="What campaigns cost, by channel: the cost of a customer comes of it.",
    state=Acquired,
    united=_united,
    events={CAMPAIGN_COST: EventType(shape=CampaignCost, nobody=_nobody)},
    listens=frozenset({CAMPAIGN_COST}),
    check=_check,
    record=_record,
)
