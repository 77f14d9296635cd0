"""The archive of a standing deployment: complete before workers start; only then logs expire."""

import asyncio

from agents.standing.directory import Addresses
from agents.standing.services import Say, Services
from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from streams.archive.filling import Filling
from streams.topics import create_topics, set_as_declared


def prepare_topics(place: Services, last: Addresses | None, say: Say) -> None:
    """Create missing topics, and copy to the archive what the log held before it was switched on.
    Then, on a broker of our own, set the topics' retention to the present settings.
    """
    settings = place.settings
    created = {topic.name for topic in create_topics(settings) if topic.is_new}
    was_on = last is not None and last.archive
    is_new = settings.topic(CUSTOMER_EVENTS) in created
    if settings.has_archive and not (was_on or is_new):
        say("Sealing what customer-events has, before the workers start")
        for filled in asyncio.run(Filling(settings).run()):
            say(f"  partition {filled.partition}: {filled.sealed:,} records sealed")
    # Only now: records that expire without being in the archive are lost.
    if place.kafka is not None and (settings.has_archive or was_on):
        set_as_declared(settings, (CUSTOMERS, CUSTOMER_EVENTS))
