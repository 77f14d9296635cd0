"""The job on Keepstream: one part of its own and one rule; all other parts receive no events.

    python -m tests.benchmarks.peers.keepstream_job worker --live --set rules.triggers=FILE ...

This is the engine's own command line. The part is put into the registry before anything is built
from it; of the other parts, only those that the engine itself needs remain.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import orjson
from msgspec.structs import asdict

from config.parameters import Parameters
from models.customer import registry
from models.customer.part import EVERYTHING, Fact, Part
from models.customer.row import State
from models.customer.scene import Scene
from models.events.event import Event
from tests.benchmarks.peers.job import Trigger, rescored, trigger_of

RISEN = "job-risen"
_TRIGGERS = f"""
triggers:
  - name: job-risk
    version: 1
    moment: {RISEN}
    when: job_score >= 0
    cooldown: 0s
    because: [job_score]
"""
_ACTIONS = "version: 1\nholdout: 0\ncaps: []\nactions: []\n"


class Job(State):
    """The fields of `job.new_state`, and the score at the last folded event."""

    seen_ms: int = 0
    ordered_ms: int = 0
    orders: int = 0
    spent: float = 0.0
    engagement: float = 0.0
    at_risk: bool = False
    score: float = nan


def _record(state: Job, event: Event, scene: Scene) -> None:
    kept = asdict(state)
    spent = getattr(event.properties, "revenue", None) or 0.0
    state.score, has_risen = rescored(kept, event.name, spent, event.occurred_at_ms)
    state.seen_ms, state.ordered_ms, state.orders = (
        kept["seen_ms"],
        kept["ordered_ms"],
        kept["orders"],
    )
    state.spent, state.engagement, state.at_risk = (
        kept["spent"],
        kept["engagement"],
        kept["at_risk"],
    )
    if has_risen:
        scene.raise_moment(RISEN)


def _united(states: Sequence[Job], _parameters: Parameters) -> Job:
    raise AssertionError("the log has no ids that belong together")


JOB: Part[Job] = Part(
    name="job",
    code="jb",
    about="Recency, frequency, money and engagement, and a score of them on every event.",
    state=Job,
    united=_united,
    listens=EVERYTHING,
    record=_record,
    moments={RISEN: "the job's score rose over its threshold"},
    facts={
        "job_score": Fact(
            lambda scene: scene.row.read(JOB).score, "score {}", "the job's score", moment=RISEN
        )
    },
)


def install() -> None:
    """Make `JOB` the only part that receives events. Nothing may have been built from the parts
    yet.
    """
    silent = (_silenced(part) for part in registry.PARTS)
    registry.PARTS = (*silent, JOB)
    registry.VERSIONS[JOB.code] = JOB.version
    registry.FACTS.update(JOB.facts)
    registry.FACT_KINDS.update({name: fact.kind for name, fact in JOB.facts.items()})
    registry.MOMENTS.update(JOB.moments)


def _silenced(part: Part[Any]) -> Part[Any]:
    return replace(part, listens=frozenset(), check=None, timers=(), population=None, sections=())


def rules(directory: Path) -> list[str]:
    """Write the rules there; returns the arguments that name them."""
    written = {"triggers": _TRIGGERS, "actions": _ACTIONS}
    arguments = []
    for name, content in written.items():
        path = directory / f"{name}.yaml"
        path.write_text(content, encoding="utf-8")
        arguments += ["--set", f"rules.{name}={path}"]
    return arguments


def as_of_the_job(value: bytes) -> Trigger:
    """A trigger of Keepstream in the job's own format."""
    told = orjson.loads(value)
    (reason,) = told["reasons"]
    return trigger_of(
        told["userId"], told["cause"]["messageId"], told["timestamp"], reason["value"]
    )


if __name__ == "__main__":
    install()
    from agents.cli import main

    main()
