"""Checks a line before it is sent, as ingest will."""

from config.parameters import Parameters
from config.topics import CLICKSTREAM
from models.admission import admit_line
from models.events.event import Event, Source
from models.events.rejection import Reason, Rejected
from models.events.wire import decode_line
from models.partition import CONTROL_TYPES

_ONLY_IN_LOGS = CONTROL_TYPES | {"score"}


class LineCheck:
    """Checks lines by the same rules as ingest. ``arrival_ms``: when they would arrive.
    ``message_id``: the id for lines without one.
    """

    def __init__(self, parameters: Parameters, arrival_ms: int, message_id: str = "") -> None:
        self._parameters = parameters
        self._message_id = message_id
        self._source = Source("", 0, 0, arrival_ms)

    def __call__(self, raw: bytes, topic: str = CLICKSTREAM) -> Event:
        """The event in ``raw``, as published on ``topic``. Raises ``Rejected``."""
        line = decode_line(raw)
        if line.type in _ONLY_IN_LOGS:
            raise Rejected(
                Reason.UNKNOWN_EVENT,
                "$.type",
                f"a control line ({line.type}), which only the engine writes",
                "leave it out: `keepstream replay` reads it",
            )
        return admit_line(
            line,
            self._parameters,
            message_id=self._message_id,
            topic=topic,
            source=self._source,
        )
