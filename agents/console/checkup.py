"""The doctor's findings, refreshed on request when they are stale."""

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
#: How long to wait for the first examination, which takes some seconds.
FIRST_S = 12.0


class Findings(NamedTuple):
    """What an examination saw, and the doctor's findings from it."""

    facts: DeploymentFacts
    findings: Sequence[Finding]


class Checkup:
    """Runs at most one examination at a time, however many ask."""

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
        """The latest findings. Stale ones start a new examination in the background. Only the first
        examination is waited for; returns None if it takes too long.
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
            # The page is shown without findings; the reason is logged for the operator.
            log.exception("the deployment could not be examined")
        self._until_s = monotonic() + FRESH_S
