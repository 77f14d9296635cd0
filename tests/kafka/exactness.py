"""What every fault test ends with: live state, changelog and decisions are the oracle's.

The oracle is the log itself, folded again, with no batches and no faults: by `keepstream audit`,
which compares everything, and by `replay` over an export, for what a file of the log gives.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from config.parameters import Parameters
from config.topics import CUSTOMER_EVENTS, DECISION_LEDGER, NEXT_BEST_ACTIONS, RETENTION_TRIGGERS
from models.customer.profile import encode_profile
from models.customer.row import encode_row
from models.decisions.trigger import Decision, decode_decision, encode_decision
from models.learning.snapshot import Snapshot, decode_snapshot
from models.parameters import load_parameters
from models.replay import Output, Replay, Summary
from streams.auditing.audit import audit
from streams.auditing.report import Audit, Difference
from tests.kafka.deployment import Deployment

WORDED_ANEW = "what was written says something else than the log gives"
FOREIGN_ROWS = "records of the changelog are damaged, or not by Keepstream"


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
    worded_by_several: bool = False,
) -> Exact:
    """Everything is what the oracle says, once `Deployment.is_drained`.

    ``assignments`` are the workers' ``--set``; ``quarantined`` the foreign records in the
    changelog; without ``is_live`` nobody is asked for live profiles, since there is nobody. With
    ``worded_by_several`` releases, decisions are the same but for the words in which they say it,
    and snapshots are those of whichever drew them, which this one may not learn again.
    """
    parameters = load_parameters(assignments=assignments)
    outcome = audited(deployment, parameters)
    foreign = sum(d.count for d in outcome.differences if d.words == FOREIGN_ROWS)
    assert quarantined == foreign
    # Whatever a test wrote that is not ours was left out by everybody.
    assert [] == [
        d
        for d in outcome.differences
        if d.check != "foreign"
        and not _of_lessons(d)
        and not (worded_by_several and (d.words == WORDED_ANEW or d.check == "learning"))
    ]
    assert [] == outcome.broken
    assert published == outcome.checked["rawRecords"]
    log, models = deployment.directory / "log.jsonl", deployment.directory / "models"
    deployment.run("export", "--out", str(log), "--models", str(models))
    replay, outputs = replayed(log, models, parameters)
    expected = {customer: encode_row(row) for customer, row in replay.rows().items()}
    assert expected == stored_rows(deployment)
    if is_live:
        _assert_live(deployment, replay)
    decisions = [output for output in outputs if isinstance(output, Decision)]
    assert len(decisions) == len({decision.id for decision in decisions})
    written = _decisions(deployment, RETENTION_TRIGGERS, NEXT_BEST_ACTIONS)
    if worded_by_several:
        expected_ones = {d.id: _unworded(d) for d in decisions}
        for found in (written, _decisions(deployment, DECISION_LEDGER)):
            assert expected_ones == {d.id: _unworded(d) for d in found}
    return Exact(replay.summary(), decisions, len(written))


def audited(deployment: Deployment, parameters: Parameters) -> Audit:
    """What `keepstream audit` finds: raw topics, log, rows and effects, each against the one before
    it.
    """
    directory = deployment.directory / f"audit-{len(list(deployment.directory.iterdir()))}"
    directory.mkdir()
    return asyncio.run(audit(deployment.settings, parameters, directory))


def stored_rows(deployment: Deployment) -> dict[str, bytes]:
    folds = deployment.changelog().values()
    return {customer: row for fold in folds for customer, row in fold.packed.items()}


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


def _assert_live(deployment: Deployment, replay: Replay) -> None:
    """I2 once more: what workers hold in memory is that state, too."""
    deployment.wait("all are ready", lambda: all(w.is_ready() for w in deployment.alive))
    profiles = {p.user_id: encode_profile(p) for p in replay.profiles()}
    live = {customer: deployment.live_customer(customer) for customer in profiles}
    different = [c for c in profiles if profiles[c] != live[c]]
    assert [] == [(len(different), profiles[c], live[c]) for c in different[:1]]


def _decisions(deployment: Deployment, *topics: str) -> list[Decision]:
    return [decode_decision(value) for topic in topics for _, _, value in deployment.read(topic)]


def _unworded(decision: Decision) -> object:
    """A decision's fields, without the words in which facts are told."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items() if key != "words"}
        return [without(one) for one in value] if isinstance(value, list) else value

    return without(msgspec.json.decode(encode_decision(decision)))


def _of_lessons(difference: Difference) -> bool:
    """A record that is read again after a crash may tell a lesson under another index; the trainer
    drops it, and what was learnt is compared by snapshots.
    """
    return all(one.startswith("labelled-examples ") for one in difference.examples)
