"""The checks at the end of every fault test: live state, changelog and decisions equal the
oracle's.

The oracle is the log itself, folded again without batches and without faults, by `keepstream
audit`. The state of live workers must equal a recovery from the changelog, which the audit has
compared. Some tests also replay an export, to check files of the log.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, DECISION_LEDGER, NEXT_BEST_ACTIONS, RETENTION_TRIGGERS
from models.comparison import has_content
from models.customer.profile import encode_profile, profile
from models.customer.row import encode_row
from models.decisions.trigger import Decision, decode_decision, encode_decision
from models.events.erasure_record import notice_in
from models.learning.snapshot import Snapshot, decode_snapshot, prior_snapshot
from models.links import is_told
from models.parameters import load_parameters
from models.plan import plan_for
from models.replay import Output, Replay
from models.replay_summary import Summary
from streams.auditing.audit import audit
from streams.auditing.profile_audit import NO_PROFILE
from streams.auditing.report import Audit, Difference
from streams.metrics import Metrics
from streams.owned_partitions import OwnedPartitions
from streams.snapshot_store import SnapshotStore
from tests.kafka.deployment import Deployment

WORDED_ANEW = "what was written says something else than the log gives"
FOREIGN_ROWS = "records of the changelog are damaged, or not by Keepstream"


class Replayed(NamedTuple):
    """The results of replaying a file of the log, for further checks."""

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
) -> Counter[str]:
    """Everything equals the oracle, once `Deployment.is_drained`; returns how much was compared.

    ``assignments`` are the workers' ``--set``; ``quarantined`` the foreign records in the
    changelog. Without ``is_live``, no live profiles are read, since no worker runs. With
    ``worded_by_several`` releases, decisions are equal except for their words, and snapshots are
    those of whichever release drew them, which this one may not learn again.
    """
    parameters = load_parameters(assignments=assignments)
    outcome = audited(deployment, parameters)
    if _lacks_profiles(outcome):
        # Profiles are written last, in the time that folding leaves.
        deployment.wait(
            "profiles are in Redis", lambda: not _lacks_profiles(audited(deployment, parameters))
        )
        outcome = audited(deployment, parameters)
    foreign = sum(d.count for d in outcome.differences if d.words == FOREIGN_ROWS)
    assert quarantined == foreign
    # Foreign records that a test wrote were ignored everywhere.
    assert [] == [
        d
        for d in outcome.differences
        if d.check != "foreign"
        and not _of_lessons(d)
        and not (worded_by_several and (d.words == WORDED_ANEW or d.check == "learning"))
    ]
    assert [] == outcome.broken
    assert published == outcome.checked["rawRecords"]
    if is_live:
        _assert_live(deployment, parameters)
    return outcome.checked


def _lacks_profiles(outcome: Audit) -> bool:
    return any(one.words == NO_PROFILE for one in outcome.differences)


def assert_replayed(
    deployment: Deployment, *, assignments: Iterable[str] = (), worded_by_several: bool = False
) -> Replayed:
    """A replay of an export gives the stored rows and decisions."""
    parameters = load_parameters(assignments=assignments)
    log, models = deployment.directory / "log.jsonl", deployment.directory / "models"
    deployment.run("export", "--out", str(log), "--models", str(models))
    replay, outputs = replayed(log, models, parameters)
    expected = {customer: encode_row(row) for customer, row in replay.rows().items()}
    stored = stored_rows(deployment)
    assert expected.keys() == stored.keys()
    if worded_by_several:
        # Rows that were not written since are packed as the earlier release packed them.
        stored = {
            c: expected[c] if has_content(stored[c], expected[c]) else stored[c] for c in stored
        }
    assert expected == stored
    decisions = [output for output in outputs if isinstance(output, Decision)]
    expected_ones = {decision.id: _content(decision, worded_by_several) for decision in decisions}
    assert len(decisions) == len(expected_ones)
    written = _decisions(deployment, RETENTION_TRIGGERS, NEXT_BEST_ACTIONS)
    for found in (written, _decisions(deployment, DECISION_LEDGER)):
        assert expected_ones == {d.id: _content(d, worded_by_several) for d in found}
    return Replayed(replay.summary(), decisions, len(written))


def audited(deployment: Deployment, parameters: Parameters) -> Audit:
    """The findings of `keepstream audit`: raw topics, log, rows and effects, each compared with the
    one before it.
    """
    directory = deployment.directory / f"audit-{len(list(deployment.directory.iterdir()))}"
    directory.mkdir()
    return asyncio.run(audit(deployment.settings, parameters, directory))


def stored_rows(deployment: Deployment) -> dict[str, bytes]:
    folds = deployment.changelog().values()
    return {customer: row for fold in folds for customer, row in fold.packed.items()}


def replayed(log: Path, models: Path, parameters: Parameters) -> tuple[Replay, list[Output]]:
    """Replay an export in this process; returns the engine afterwards, and all its outputs."""

    def snapshot(version: int, sha256: str) -> Snapshot:
        return decode_snapshot((models / f"{version}.json").read_bytes(), sha256)

    replay = Replay(parameters, snapshot)
    outputs: list[Output] = []
    with log.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            outputs += replay.feed(line.rstrip(b"\n"), number)
    return replay, outputs


def _assert_live(deployment: Deployment, parameters: Parameters) -> None:
    """I2 once more: the workers' state in memory is that state, too."""
    deployment.wait("all are ready", lambda: all(w.is_ready() for w in deployment.alive))
    profiles = asyncio.run(_recovered(deployment.settings, parameters))
    live = {customer: deployment.live_customer(customer) for customer in profiles}
    different = [c for c in profiles if profiles[c] != live[c]]
    assert [] == [(len(different), profiles[c], live[c]) for c in different[:1]]


async def _recovered(settings: Settings, parameters: Parameters) -> dict[str, bytes]:
    """Every customer's profile, as a worker that starts now recovers it."""
    store = SnapshotStore(settings, prior_snapshot(parameters))
    partitions = OwnedPartitions(store, settings, plan_for(parameters), Metrics())
    found: dict[str, bytes] = {}
    for number in range(settings.partitions):
        owned = await partitions.open(number, 0)
        fold = owned.fold
        for customer in owned.rows.customers():
            row = owned.rows.peek(customer)
            assert row is not None
            if not is_told(row):
                continue
            found[customer] = encode_profile(profile(customer, row, fold.as_of_ms, fold.context))
    return found


def _decisions(deployment: Deployment, *topics: str) -> list[Decision]:
    values = [value for topic in topics for _, _, value in deployment.read(topic)]
    return [decode_decision(value) for value in values if notice_in(value) is None]


def _content(decision: Decision, worded_by_several: bool) -> object:
    """A decision's fields; without the words for facts if several releases wrote decisions."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items() if key != "words"}
        return [without(one) for one in value] if isinstance(value, list) else value

    fields = msgspec.json.decode(encode_decision(decision))
    return without(fields) if worded_by_several else fields


def _of_lessons(difference: Difference) -> bool:
    """A record that is read again after a crash may repeat a lesson under another index. The
    trainer drops it; what was learnt is compared by snapshots.
    """
    return all(one.startswith("labelled-examples ") for one in difference.examples)
