"""Publishes events from programs: checked at once, then sent by an `EventPublisher`.

from streams.tracking import Tracker

with Tracker() as shop:
    shop.track("Order Completed", {"order_id": "o-1", "revenue": 80.0}, user_id="ada")
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack
from uuid import uuid4

from config.settings import Settings, load_settings
from models.catalogue import topic_of
from models.events.refusals import refusal_in_words
from models.events.rejection import Rejected
from models.parameters import load_parameters
from streams.line_check import LineCheck
from streams.publisher import EventPublisher, Patience, RejectedEventError, encode_event

Told = Mapping[str, Any]


class Envelope(TypedDict, total=False):
    """The fields that every event may have besides its content: at least ``user_id`` or
    ``anonymous_id``, each an integer or a text of up to 256 bytes.

    ``timestamp``: an aware datetime, or ISO 8601 with an offset; now by default. ``message_id``: a
    new UUID by default. To repeat a call after an error, give the first call's id, so that the
    event counts once. ``context``: as in Segment's spec, with Keepstream's ``channel``,
    ``timezone``, ``historical``, ``consent`` and ``batched``.
    """

    user_id: str | int
    anonymous_id: str | int
    message_id: str
    timestamp: datetime | str
    context: Told


_WRITTEN: Final = {
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "message_id": "messageId",
    "timestamp": "timestamp",
    "context": "context",
}


class Tracker:
    """Publishes events, from as many threads as you like. As a context manager it waits at its end
    until everything is acknowledged.

    Each call returns the event's messageId before the broker has acknowledged. An event that a
    worker would refuse is not sent: `RejectedEventError` gives the reason, the path and the fix.
    Otherwise calls wait and raise like those of `EventPublisher`. Missing topics raise
    `TopicsError` at once.
    """

    def __init__(self, settings: Settings | None = None, patience: Patience | None = None) -> None:
        """``settings``: by default from the environment's KEEPSTREAM_… variables."""
        settings = settings or load_settings(os.environ)
        file = Path(settings.parameters) if settings.parameters else None
        self._parameters = load_parameters(file)
        self._publisher = EventPublisher(settings, topic_of, patience)

    def track(
        self, event: str, properties: Told | None = None, **envelope: Unpack[Envelope]
    ) -> str:
        """Something happened. ``event``: a name from docs/publishing.md, or one of your own.
        ``properties``: amounts are decimal numbers in major units (80.0 is eighty euros), in the
        shop's currency unless ``currency`` names another one.
        """
        return self._tell(
            {"type": "track", "event": event, "properties": properties or {}}, envelope
        )

    def page(self, properties: Told | None = None, **envelope: Unpack[Envelope]) -> str:
        """Somebody viewed a page; ``properties`` such as ``url`` and ``title``."""
        return self._tell({"type": "page", "properties": properties or {}}, envelope)

    def screen(self, properties: Told | None = None, **envelope: Unpack[Envelope]) -> str:
        """Somebody viewed a screen of an app; ``properties`` such as ``name``."""
        return self._tell({"type": "screen", "properties": properties or {}}, envelope)

    def identify(self, traits: Told | None = None, **envelope: Unpack[Envelope]) -> str:
        """Who somebody is. With both ids, ``anonymous_id`` is theirs from then on. ``traits`` such
        as ``birthday`` and ``region`` become classes.
        """
        return self._tell({"type": "identify", "traits": traits or {}}, envelope)

    def group(
        self, group_id: str | int, traits: Told | None = None, **envelope: Unpack[Envelope]
    ) -> str:
        """The company that somebody belongs to; ``traits`` such as ``industry`` and ``employees``
        become classes.
        """
        return self._tell({"type": "group", "groupId": group_id, "traits": traits or {}}, envelope)

    def alias(self, previous_id: str | int, **envelope: Unpack[Envelope]) -> str:
        """``previous_id``, a visitor's, and ``user_id`` are one person."""
        return self._tell({"type": "alias", "previousId": previous_id}, envelope)

    def flush(self) -> None:
        """Wait until everything is acknowledged. Raises `DeliveryError` unless all of it is."""
        self._publisher.flush()

    def close(self) -> None:
        """`flush`, and close the connection even if that fails."""
        self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._publisher.__exit__(kind, error, trace)

    def _tell(self, line: dict[str, Any], envelope: Envelope) -> str:
        now = datetime.now(UTC)
        line |= {"messageId": str(uuid4()), "timestamp": now}
        line |= {_WRITTEN[name]: value for name, value in envelope.items()}
        value = encode_event(line)
        check = LineCheck(self._parameters, int(now.timestamp() * 1_000))
        try:
            check(value)
        except Rejected as rejected:
            raise RejectedEventError(refusal_in_words(rejected)) from None
        self._publisher.publish(value)
        return str(line["messageId"])
