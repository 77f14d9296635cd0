"""Records the state from which upgrades are tested: `python -m tests.kafka.upgrade.record COMMIT`.

Keeps the source and the lock file of that commit, lets its workers rehearse a third of a small
shop's events, take some more live, and keeps what they wrote. Run it for a release, and commit the
result.
"""

import lzma
import subprocess
import sys
import tempfile
from pathlib import Path

from config.topics import CUSTOMER_EVENTS
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.log_records import live_record
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.upgrade.recording import (
    RELEASED,
    SOURCE,
    record,
    released,
    size_bytes,
    write_recording,
)
from tests.kafka.worker import ROOT

KEPT = ("config", "models", "streams", "agents", "pyproject.toml", "requirements/runtime.txt")
CUSTOMERS, DAYS = 80, 120
BYTES_MAX = 5_000_000


def keep_source(commit: str) -> None:
    archive = subprocess.run(
        ["git", "archive", commit, *KEPT], cwd=ROOT, capture_output=True, check=True
    ).stdout
    RELEASED.mkdir(exist_ok=True)
    SOURCE.write_bytes(lzma.compress(archive, preset=9))


def keep_deployment(directory: Path) -> str:
    """Run the kept source on a broker of its own; returns the final counts, in words."""
    program = released()
    records = orderly_shop(CUSTOMERS, days=DAYS)
    third, half = len(records) // 3, len(records) // 2
    live = live_record(records[third].occurred_at_ms)
    with (
        EmbeddedKafka(directory / "kafka") as kafka,
        EmbeddedValkey(directory / "valkey") as valkey,
    ):
        deployment = Deployment(kafka.bootstrap_servers, valkey.url, "", directory)
        with deployment:
            deployment.publish(records[:third])
            worker = deployment.start_worker(is_live=False, program=program)
            deployment.wait("history is read", deployment.is_drained)
            for partition in range(deployment.settings.partitions):
                deployment.write(CUSTOMER_EVENTS, partition, (None, live))
            deployment.publish(records[third:half])
            deployment.wait("all is read", deployment.is_drained)
            worker.stop()
            recording = record(deployment, half, records[half:])
    write_recording(recording)
    return ", ".join(f"{name} {len(kept)}" for name, kept in recording.topics.items())


def main() -> None:
    [commit] = sys.argv[1:]
    keep_source(commit)
    with tempfile.TemporaryDirectory() as scratch:
        told = keep_deployment(Path(scratch))
    sys.stdout.write(f"{told}\n{size_bytes():,} bytes\n")
    if size_bytes() > BYTES_MAX:
        sys.exit("that is too much to be kept with the source: record a smaller shop")


if __name__ == "__main__":
    main()
