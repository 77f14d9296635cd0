"""What every fault test ends with: live state, changelog and triggers are the oracle's.

The oracle is `replay` over an export of `customer-events`: the same fold, with no broker, no
batches and no faults.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from config.parameters import Parameters
from config.topics import (
    CUSTOMER_EVENTS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    NEXT_BEST_ACTIONS,
    RETENTION_TRIGGERS,
)
from models.customer.profile import encode_profile
from models.customer.registry import PARTS
from models.customer.row import decode_row, encode_row
from models.decisions.trigger import Decision, decode_decision
from models.events.dead_letter import decode_dead_letter
from models.events.rejection import Reason
from models.learning.snapshot import Snapshot, decode_snapshot
from models.parameters import load_parameters
from models.replay import Output, Replay, Summary
from tests.kafka.deployment import Deployment, json_lines

#: Topic, partition, offset, and which topic of that name.
Place = tuple[str, int, int, str | None]


class Exact(NamedTuple):
    """What there was to compare, for whoever wants to look closer."""

    summary: Summary
    triggers: list[Decision]
    emitted: int

    def __str__(self) -> str:
        return (
            f"{self.summary.customers} customers, {len(self.triggers)} triggers "
            f"({self.emitted} emitted), {self.summary.model_version} model versions"
        )


def assert_commits_are_durable(deployment: Deployment) -> None:
    """I1: what the group has committed is in the changelog."""
    committed = deployment.committed(CUSTOMER_EVENTS)
    folds = deployment.changelog()
    for partition, offset in committed.items():
        assert offset <= folds[partition].state.applied + 1


def assert_exact(
    deployment: Deployment,
    *,
    published: int,
    assignments: Iterable[str] = (),
    quarantined: int = 0,
    is_live: bool = True,
) -> Exact:
    """Everything is what the oracle says, once `Deployment.is_drained`.

    ``assignments`` are the workers' ``--set``; ``quarantined`` the foreign records in the
    changelog; without ``is_live`` nobody is asked for live profiles, since there is nobody.
    """
    assert_commits_are_durable(deployment)
    parameters = load_parameters(assignments=assignments)
    log, models = deployment.directory / "log.jsonl", deployment.directory / "models"
    deployment.run("export", "--out", str(log), "--models", str(models))
    replay, outputs = replayed(log, models, parameters)
    _assert_state(deployment, replay, quarantined)
    if is_live:
        _assert_live(deployment, replay)
    oracle, emitted = _assert_decisions(deployment, outputs)
    _assert_every_input_is_somewhere(deployment, log, published)
    return Exact(replay.summary(), oracle, emitted)


def replayed(log: Path, models: Path, parameters: Parameters) -> tuple[Replay, list[Output]]:
    """Replay an export in this process: the engine after it, and everything it put out."""

    def snapshot(version: int, sha256: str) -> Snapshot:
        return decode_snapshot((models / f"{version}.json").read_bytes(), sha256)

    replay = Replay(parameters, snapshot)
    outputs: list[Output] = []
    with log.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            outputs += replay.feed(line.rstrip(b"\n"), number)
    return replay, outputs


def _assert_state(deployment: Deployment, replay: Replay, quarantined: int) -> None:
    """I2: the changelog's fold is the oracle's state, bit for bit."""
    expected = {customer: encode_row(row) for customer, row in replay.rows().items()}
    folds = deployment.changelog()
    stored = {customer: row for fold in folds.values() for customer, row in fold.packed.items()}
    assert expected.keys() == stored.keys()
    different = [c for c in expected if expected[c] != stored[c]]
    assert [] == [(c, _opened(expected[c]), _opened(stored[c])) for c in different[:1]]
    assert quarantined == sum(fold.quarantined for fold in folds.values())


def _opened(content: bytes) -> list[object]:
    """A row's position and parts, for whoever looks into a difference."""
    row = decode_row(content)
    states = {part.name: part.pack(row.read(part)) for part in PARTS}
    return [row.applied, row.latest_ms, sorted(row.packed_timers()), states]


def _assert_live(deployment: Deployment, replay: Replay) -> None:
    """I2 once more: what workers hold in memory is that state, too."""
    deployment.wait("all are ready", lambda: all(w.is_ready() for w in deployment.alive))
    profiles = {p.user_id: encode_profile(p) for p in replay.profiles()}
    live = {customer: deployment.live_customer(customer) for customer in profiles}
    different = [c for c in profiles if profiles[c] != live[c]]
    assert [] == [(len(different), profiles[c], live[c]) for c in different[:1]]


def _assert_decisions(deployment: Deployment, outputs: list[Output]) -> tuple[list[Decision], int]:
    """I3: the same decisions, receipts and scores in them included, each id once or more."""
    decisions = [output for output in outputs if isinstance(output, Decision)]
    oracle = {decision.id: decision for decision in decisions}
    assert len(oracle) == len(decisions)
    emitted = [
        decode_decision(value)
        for topic in (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS)
        for _, _, value in deployment.read(topic)
    ]
    assert oracle == {decision.id: decision for decision in emitted}
    ledger = [decode_decision(value) for _, _, value in deployment.read(DECISION_LEDGER)]
    assert oracle == {decision.id: decision for decision in ledger}
    return decisions, len(emitted)


def _assert_every_input_is_somewhere(deployment: Deployment, log: Path, published: int) -> None:
    """I6: every input is in exactly one of applied, duplicate, late, dead letter."""
    refused: set[Place] = {
        _place(msgspec.to_builtins(letter.source))
        for letter in (decode_dead_letter(value) for _, _, value in deployment.read(DEAD_LETTERS))
        if letter.reason is not Reason.TOO_LATE and letter.source
    }
    sources = [line["source"] for line in json_lines(log) if "source" in line]
    passed_on: set[Place] = set(map(_place, sources))
    assert not refused & passed_on
    assert published == len(refused) + len(passed_on)


def _place(source: dict[str, Any]) -> Place:
    return source["topic"], source["partition"], source["offset"], source.get("generation")
