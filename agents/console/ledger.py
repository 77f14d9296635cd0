"""Moments that are not remembered, looked for in the whole ledger for a limited time."""

import asyncio
from collections.abc import Sequence

from config.settings import Settings
from streams.decision_ledger import Found, Question, find_in_ledger
from streams.kafka_clients import BrokerUnreachable
from streams.topics import TopicsError

#: The ledger has all decisions of 90 days.
TIMEOUT_S = 20.0


async def look_in_ledger(settings: Settings, wanted: Question) -> Sequence[Found] | None:
    """The moments that are asked for, in order; None if they could not be looked for in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await find_in_ledger(settings, wanted)
    except (TimeoutError, BrokerUnreachable, TopicsError):
        return None
