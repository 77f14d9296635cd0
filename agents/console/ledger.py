"""Searches the whole ledger, for a limited time, for moments that are not in memory."""

import asyncio
from collections.abc import Sequence

from config.settings import Settings
from streams.decision_ledger import Found, Question, find_in_ledger
from streams.kafka_clients import BrokerUnreachable
from streams.topics import TopicsError

#: The ledger has 90 days of decisions.
TIMEOUT_S = 20.0


async def look_in_ledger(settings: Settings, wanted: Question) -> Sequence[Found] | None:
    """The moments that match ``wanted``, in order; None if the search took too long."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await find_in_ledger(settings, wanted)
    except (TimeoutError, BrokerUnreachable, TopicsError):
        return None
