"""What the doctor finds, looked at anew when somebody asks and it is not fresh."""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from config.parameters import Parameters
from config.settings import Settings
from streams.diagnosis import diagnose
from streams.examination import examine
from streams.findings import Finding
from streams.vitals import DeploymentFacts

log = logging.getLogger(__name__)

FRESH_S = 30.0
#: The first look takes some seconds, and is worth waiting for.
FIRST_S = 12.0


class Findings(NamedTuple):
    """What was seen at one moment, and what the doctor makes of it."""

    facts: DeploymentFacts
    findings: Sequence[Finding]


class Checkup:
    """At most one examination at a time, whoever asks."""

    def __init__(self, settings: Settings, parameters: Parameters) -> None:
        self._settings = settings
        self._parameters = parameters
        self._latest: Findings | None = None
        self._until_s = 0.0
        self._running: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    async def found(self) -> Findings | None:
        """The latest findings; if they are not fresh, others are on their way. The first ones are
        waited for, and None if they take too long.
        """
        if not self.is_running and monotonic() > self._until_s:
            self._running = asyncio.create_task(self._examine())
        if self._latest is None and self._running is not None:
            await asyncio.wait([self._running], timeout=FIRST_S)
        return self._latest

    async def _examine(self) -> None:
        try:
            facts = await asyncio.to_thread(examine, self._settings)
            findings = diagnose(facts, self._parameters)
            self._latest = Findings(facts, findings)
        except Exception:
            # The page goes on without; the reason is for whoever runs the console.
            log.exception("the deployment could not be examined")
        self._until_s = monotonic() + FRESH_S
