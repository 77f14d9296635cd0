"""SHA-256 digests of everything that folding one log gives.

``python -m tests.replay.digest`` prints them. With ``--compiled`` it also runs the compiled build
of the core, and with ``PYTHON`` another interpreter, and fails unless all give the same bytes.
`make digests` runs both, because a worker may be replaced by one on another version of Python, or
by a compiled one.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version

import msgspec

from agents.trials.demo.shop import ShopConfig, simulate
from config.compiled import COMPILED, INTERPRETED, VARIABLE, flavour
from config.parameters import Parameters
from models.answer import Score
from models.customer.profile import encode_profile
from models.customer.row import encode_row
from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger, encode_decision
from models.events.dead_letter import DeadLetter, encode_dead_letter
from models.events.times import iso
from models.learning.lessons import Lesson
from models.learning.snapshot import Snapshot, encode_snapshot
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.replay import Output, Replay
from tests.compiled_tree import compiled_tree, environment

#: Some 26,000 events, with enough faults that each kind is in the log.
SHOP = ShopConfig(
    seed=11,
    customers=400,
    start_ms=1_700_000_000_000,
    days=200,
    shuffled=0.02,
    duplicates=0.02,
    late=0.005,
    malformed=0.01,
)
#: A question is asked after this many events.
QUESTION_EVERY = 10
#: The fewest of each kind for a digest to prove anything.
LEAST = {
    "decisions": 1_000,
    "dead letters": 100,
    "scores": 1_000,
    "lessons": 1_000,
    "snapshots": 5,
    "customers": 200,
    "rows": 200,
}


class Digests:
    """A digest for each kind of content, and how many of it there were."""

    def __init__(self) -> None:
        self._hashes = {kind: sha256() for kind in LEAST}
        self.counts = dict.fromkeys(LEAST, 0)

    def add(self, kind: str, content: bytes) -> None:
        # The length comes first, so that two contents cannot run together.
        self._hashes[kind].update(len(content).to_bytes(8, "big") + content)
        self.counts[kind] += 1

    def lines(self) -> list[str]:
        """One line per kind, and one for all of them together."""
        found = {kind: digest.hexdigest() for kind, digest in self._hashes.items()}
        told = [f"{found[kind]}  {count} {kind}" for kind, count in self.counts.items()]
        return [*told, f"{sha256(''.join(found.values()).encode()).hexdigest()}  everything"]


class WatchedTrainer(Trainer):
    """A trainer whose lessons and snapshots are in the digests too."""

    def __init__(self, parameters: Parameters, digests: Digests) -> None:
        super().__init__(parameters, partitions=1)
        self._digests = digests

    def learn(self, lesson: Lesson, place: int = 0) -> bool:
        self._digests.add("lessons", msgspec.json.encode(lesson))
        return super().learn(lesson, place)

    def draw(self, consumed: int = 0) -> Snapshot:
        snapshot = super().draw(consumed)
        self._digests.add("snapshots", encode_snapshot(snapshot)[0])
        return snapshot


def lines(shop: ShopConfig) -> Iterator[bytes]:
    """The shop's log, with questions about customers who were just active."""
    for number, record in enumerate(simulate(shop), 1):
        yield record.value
        if not number % QUESTION_EVERY:
            yield msgspec.json.encode(
                {
                    "type": "score",
                    "messageId": f"question-{number}",
                    "userId": (record.key or b"").decode(),
                    "timestamp": iso(record.occurred_at_ms),
                }
            )


def encoded(output: Output) -> tuple[str, bytes]:
    """The kind of an output, and its bytes."""
    match output:
        case Trigger() | NextBestAction() | ActionWithdrawn():
            return "decisions", encode_decision(output)
        case DeadLetter():
            return "dead letters", encode_dead_letter(output)
        case Score():
            return "scores", msgspec.json.encode(output)


def fold(shop: ShopConfig = SHOP) -> Digests:
    """The digests of everything that the shop's log gives."""
    parameters, digests = load_parameters(), Digests()
    replay = Replay(parameters, trainer=WatchedTrainer(parameters, digests))
    for number, content in enumerate(lines(shop), 1):
        for output in replay.feed(content, number):
            digests.add(*encoded(output))
    for profile in replay.profiles():
        digests.add("customers", encode_profile(profile))
    for customer, row in sorted(replay.rows().items()):
        digests.add("rows", customer.encode() + encode_row(row))
    return digests


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--compiled", action="store_true")
    options.add_argument("pythons", nargs="*", metavar="PYTHON")
    asked = options.parse_args(arguments)
    digests = fold()
    found = digests.lines()
    print(
        f"Python {platform.python_version()} ({flavour()}), NumPy {version('numpy')}, "
        f"SciPy {version('scipy')}"
    )
    print(*found, sep="\n")
    too_few = [kind for kind, count in digests.counts.items() if count < LEAST[kind]]
    if too_few:
        print(f"The log says too little of: {', '.join(too_few)}.")
        return 1
    interpreted = {**os.environ, VARIABLE: "off"}
    others: list[tuple[str, Mapping[str, str]]] = [(one, interpreted) for one in asked.pythons]
    if asked.compiled:
        others.append((sys.executable, {**environment(compiled_tree()), VARIABLE: "on"}))
    differing = [python for python, environ in others if not gives(found, python, environ)]
    return 1 if differing else 0


def gives(expected: list[str], python: str, environ: Mapping[str, str]) -> bool:
    """Whether another interpreter gives the same, with the requested build of the core; otherwise
    prints what it gives.
    """
    command = [python, "-m", "tests.replay.digest"]
    run = subprocess.run(command, env=environ, check=False, stdout=subprocess.PIPE, text=True)
    heading, *found = run.stdout.splitlines() or [f"{python} gave nothing"]
    wanted = INTERPRETED if environ[VARIABLE] == "off" else COMPILED
    if f"({wanted})" not in heading:
        print(f"{heading}: this is not {wanted}")
        return False
    is_same = found == expected
    differing = [line for line in found if line not in expected]
    print(heading, *(["the same"] if is_same else differing), sep="\n")
    return is_same


if __name__ == "__main__":
    sys.exit(main())
