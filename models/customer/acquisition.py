"""The shop's costs of winning customers, by channel, sent on to the trainer, which sums them.

A channel's row remembers which costs were counted, so that a repeated event does not count twice.
"""

import re
from bisect import insort
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct, field

from config.limits import PositiveMs
from config.parameters import Parameters, Section
from models.customer.engagement import CHANNEL_LENGTH_MAX
from models.customer.fingerprint import fingerprint
from models.customer.part import Part
from models.customer.row import State
from models.customer.scene import Scene
from models.events.currency import check_currency
from models.events.event import Amount, Event, EventType, Text
from models.learning.lesson_checks import PERIOD_DAYS_MAX
from models.learning.lessons import Cost
from models.money import foreign, shop_minor

CAMPAIGN_COST = "Campaign Cost"


class Touch(StrEnum):
    """The channel that is credited with a customer: that of their first event, or the latest one
    before their first purchase.
    """

    FIRST = "first"
    LAST = "last"


class AcquisitionParameters(Section, frozen=True):
    """``direct``: channels that are not touches: customers who use them came on their own."""

    section = "acquisition"
    touch: Touch
    touch_within: PositiveMs
    direct: tuple[str, ...]


_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_.:@-]")


class CampaignCost(Struct, frozen=True, omit_defaults=True, gc=False):
    """Money spent through a channel on winning customers, or on keeping them (``purpose``): at
    once, or spread over ``period_days`` from then on. It belongs to no customer, so it needs no
    userId.
    """

    channel: Text
    amount: Amount
    currency: str | None = None
    purpose: Literal["acquisition", "retention"] | None = None
    period_days: Annotated[int, Meta(ge=1, le=PERIOD_DAYS_MAX)] | None = None
    aliases: ClassVar[Mapping[str, str]] = dict.fromkeys(("cost", "spend"), "amount")


class Acquired(State):
    """The latest costs that were counted, as (time, fingerprint of the message's id), ascending."""

    counted: list[tuple[int, int]] = field(default_factory=list)


def _united(states: Sequence[Acquired], parameters: Parameters) -> Acquired:
    """The costs that any of the ids has counted."""
    counted = sorted({cost for state in states for cost in state.counted})
    return Acquired(counted[-parameters.bounds.order_records :])


def _record(state: Acquired, event: Event, scene: Scene) -> None:
    cost, money, at_ms = event.properties, scene.parameters.money, event.occurred_at_ms
    told = at_ms, fingerprint(event.message_id)
    if told in state.counted:
        return
    insort(state.counted, told)
    del state.counted[: -scene.parameters.bounds.order_records]
    amount_minor = shop_minor(cost.amount, foreign(cost.currency, money), at_ms, money)
    channel, days = cost.channel[:CHANNEL_LENGTH_MAX], cost.period_days or 1
    scene.teach(Cost(at_ms, channel, amount_minor, days, cost.purpose == "retention"))


def _unpack_first(_content: bytes) -> Acquired:
    """Read version 1, which stored nothing."""
    return Acquired()


def _check(_state: Acquired, event: Event, parameters: Parameters) -> None:
    check_currency(event.properties, event.occurred_at_ms, parameters.money)


def _nobody(cost: CampaignCost) -> str:
    """The id that a channel's costs are kept under, so that repeats are recognised."""
    return f"channel:{_NOT_IN_ID.sub('_', cost.channel)[:100]}"


ACQUISITION: Part[Acquired] = Part(
    name="acquisition",
    code="aq",
    about="What campaigns cost, by channel, which gives the cost of winning a customer.",
    state=Acquired,
    version=2,
    older={1: _unpack_first},
    united=_united,
    parameters=AcquisitionParameters,
    has_own_file=True,
    # Costs are often known only when their month is over.
    events={
        CAMPAIGN_COST: EventType(shape=CampaignCost, nobody=_nobody, is_never_late=True),
    },
    listens=frozenset({CAMPAIGN_COST}),
    check=_check,
    record=_record,
)
