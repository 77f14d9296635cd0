"""A worker dies, or stalls and wakes as a zombie, at every point of its work."""

import random
import signal
from collections.abc import Callable, Sequence

import pytest

from agents.trials.demo.shop import ShopRecord
from config.topics import CUSTOMER_EVENTS
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_commits_are_durable, assert_exact
from tests.kafka.points import BREAKING, MOMENTS, POINTS, VARIABLE, reached
from tests.kafka.worker import STOOD_STILL, Worker

#: Points by what is going on.
GROUPS: dict[str, Sequence[str]] = {
    "folding": (
        *(f"{moment} effects" for moment in MOMENTS),
        *(f"{moment} rows" for moment in MOMENTS),
        "before the ack",
        "after the ack",
        "before the commit",
        "after the commit",
    ),
    "ingest": (
        *(f"{moment} events" for moment in MOMENTS),
        "before the positions",
        "after the positions",
    ),
    "another owner": (
        "before the revocation",
        "after the revocation",
        "before the seek",
        "after the seek",
        "before the recovery",
        "before a recovered record",
        "after the recovery",
    ),
    "learning": (
        *(f"{moment} the snapshot" for moment in MOMENTS),
        *(f"{moment} the announcement" for moment in MOMENTS),
        "before the trainer",
        "after the trainer",
        "before a model",
        "after a model",
    ),
    "delivery": (
        "before the delivery",
        "after the delivery",
        "before the profiles",
        "after the profiles",
    ),
}
#: A victim and its heir get their share of the traffic in so many portions.
PORTIONS = 8
#: What whoever takes over folds before the zombie wakes.
HEIR_FOLDS = 100
#: Some of each kind, for every run: between the writes of a batch, and between ingest and its
#: positions.
FEW = ("amid rows", "after events")
#: Passed once in a worker's life, as it begins or when another one joins.
PASSED_ONCE = ("the revocation", "the seek", "the trainer")
IN_EVERY_RUN = [pytest.param(FEW, id="a few")]
AT_NIGHT = [
    pytest.param(points, id=name, marks=pytest.mark.nightly) for name, points in GROUPS.items()
]


def test_every_point_is_tried() -> None:
    assert sorted(POINTS) == sorted(point for points in GROUPS.values() for point in points)


class Victims:
    """Workers that run alone, one after the other, each with a fault at its point."""

    def __init__(self, deployment: Deployment, points: Sequence[str], how: signal.Signals) -> None:
        self._deployment = deployment
        self._how = how
        self._chance = random.Random(" ".join(points))
        # Enough at once that the first ones find work; and something new for each, and its heir.
        records = orderly_shop(100 + 20 * len(points))
        self.published = 0
        self._rest = records
        self.publish(len(records) // 3)
        self._portion = len(self._rest) // (len(points) + 1) // PORTIONS

    def start(self, point: str) -> Worker:
        fault = f"{point}:{self._passages(point)}:{self._how.name}"
        return self._deployment.start_worker(program=BREAKING, **{VARIABLE: fault})

    def _passages(self, point: str) -> int:
        if point.endswith(PASSED_ONCE):
            return 1
        return self._chance.randint(20, 60) if "record" in point else self._chance.randint(1, 3)

    def await_fault(self, victim: Worker, point: str) -> None:
        """Give it work until the fault happens."""
        if point.endswith("the revocation"):
            self._deployment.wait("it has partitions", lambda: bool(victim.lag(CUSTOMER_EVENTS)))
            self._deployment.start_worker()
        self.feed_until(f"{point} is reached", victim, lambda: _is_met(victim, point))

    def feed_until(self, what: str, worker: Worker, condition: Callable[[], bool]) -> None:
        """Publish a few records again and again once ``worker`` is ready: earlier ones are read all
        at once, and perhaps by another worker.
        """

        def holds() -> bool:
            if condition():
                return True
            if worker.is_ready():
                self.publish(self._portion)
            return False

        self._deployment.wait(what, holds)

    def publish(self, number: int | None = None) -> None:
        """Publish this many more records, or all that are left."""
        now: list[ShopRecord] = self._rest[:number]
        self._rest = self._rest[len(now) :]
        self.published += self._deployment.publish(now)


def _is_met(victim: Worker, point: str) -> bool:
    if reached(point) in victim.log_text():
        return True
    victim.process.require_alive()
    return False


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("points", [*IN_EVERY_RUN, *AT_NIGHT])
def test_a_worker_killed_at_any_point_changes_nothing(
    hard_times: Deployment, points: Sequence[str]
) -> None:
    deployment = hard_times
    victims = Victims(deployment, points, signal.SIGKILL)
    for point in points:
        victim = victims.start(point)
        victims.await_fault(victim, point)
        assert -signal.SIGKILL == victim.wait()
        assert_commits_are_durable(deployment)
        _leave(deployment)
    deployment.start_worker()
    victims.publish()
    deployment.wait("all is read", deployment.is_drained)
    assert_exact(deployment, published=victims.published)


def _leave(deployment: Deployment) -> None:
    """The remaining workers leave in order, so that the next one is alone."""
    for worker in deployment.alive:
        # One that is just starting has no order in which to leave.
        deployment.wait("it is ready", worker.is_ready)
        assert 0 == worker.stop() or STOOD_STILL in worker.log_text()


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("points", AT_NIGHT)
def test_a_zombie_of_any_point_changes_nothing(
    hard_times: Deployment, points: Sequence[str]
) -> None:
    deployment = hard_times
    victims = Victims(deployment, points, signal.SIGSTOP)
    for point in points:
        zombie = victims.start(point)
        victims.await_fault(zombie, point)
        zombie.is_paused = True
        heir, *_ = deployment.alive or [deployment.start_worker()]
        deployment.wait("another took over", lambda: len(heir.lag(CUSTOMER_EVENTS)) == 4)  # noqa: B023
        victims.feed_until("it has folded some", heir, lambda: deployment.folded() >= HEIR_FOLDS)
        zombie.resume()
        assert 1 == zombie.wait()
        assert STOOD_STILL in zombie.log_text()
        assert_commits_are_durable(deployment)
        _leave(deployment)
    deployment.start_worker()
    victims.publish()
    deployment.wait("all is read", deployment.is_drained)
    assert_exact(deployment, published=victims.published)
