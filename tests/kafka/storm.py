"""A seeded storm: processes are killed at random, also during their recovery, and replaced."""

import random
import signal
from collections import Counter
from time import sleep

from config.topics import LABELLED_EXAMPLES
from streams.embedded.kafka import EmbeddedKafka
from tests.kafka.deployment import Deployment
from tests.kafka.exactness import assert_commits_are_durable
from tests.kafka.points import BREAKING, VARIABLE
from tests.kafka.worker import STOOD_STILL, Worker

#: Between kills: some hit a rebalance, some a recovery, and some a worker at work.
CALM_S = (0.1, 4.0)
OUTAGE_S = (0.2, 3.0)
#: Still running, asked to stop, or killed.
_EXPECTED = {None, 0, -signal.SIGKILL}
#: A partition's changelog has at least this many records when it is recovered in a storm.
ROWS_MIN = 20


class Storm:
    """Kills in a deployment, drawn from a seed; ``struck`` counts each kind.

    ``kafka`` is killed as well if it is given; it must then be the deployment's own.
    """

    def __init__(
        self,
        deployment: Deployment,
        seed: int,
        *,
        size: int = 2,
        kafka: EmbeddedKafka | None = None,
    ) -> None:
        self.struck: Counter[str] = Counter()
        self._deployment = deployment
        self._chance = random.Random(seed)
        self._size = size
        self._kafka = kafka
        self._blows = {
            "a worker": self._kill_any,
            "the trainer": self._kill_trainer,
            "one that recovers": self._kill_recovering,
            "all workers": self._kill_all,
        }
        if kafka is not None:
            self._blows["the broker"] = self._kill_broker

    @property
    def kills(self) -> int:
        """Processes killed so far."""
        return self.struck.total()

    def rage(self, kills: int) -> None:
        """Kill at least ``kills`` processes. All kinds take turns, in an order that is drawn anew
        for each turn.
        """
        while self.kills < kills:
            for name in self._chance.sample(list(self._blows), len(self._blows)):
                if self.kills < kills:
                    sleep(self._chance.uniform(*CALM_S))
                    self.struck[name] += self._blows[name]()
                    assert_commits_are_durable(self._deployment)
                    self.replace()

    def replace(self) -> None:
        """Start a worker for each one that ended, as a supervisor does."""
        self._deployment.restart_ended()
        while len(self._deployment.alive) < self._size:
            self._deployment.start_worker()

    def unexplained(self) -> list[str]:
        """The last log lines of workers that ended by themselves, except those that the machine
        stalled.
        """
        ended = [w for w in self._deployment.workers if w.process.exit_code not in _EXPECTED]
        return [w.log_text()[-2_000:] for w in ended if STOOD_STILL not in w.log_text()]

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in self.struck.items())
        return f"{self.kills} kills survived ({kinds})"

    def _kill(self, *victims: Worker) -> int:
        for victim in victims:
            victim.stop(signal.SIGKILL)
        return len(victims)

    def _kill_any(self) -> int:
        return self._kill(self._chance.choice(self._deployment.alive))

    def _kill_all(self) -> int:
        return self._kill(*self._deployment.alive)

    def _kill_trainer(self) -> int:
        learning = [worker for worker in self._deployment.alive if worker.lag(LABELLED_EXAMPLES)]
        return self._kill(*learning[:1]) or self._kill_any()

    def _kill_recovering(self) -> int:
        """Start an additional worker, which dies while it reads the rows of its partitions."""
        passages = self._chance.randint(1, ROWS_MIN)
        fault = f"before a recovered record:{passages}:SIGKILL"
        worker = self._deployment.start_worker(program=BREAKING, **{VARIABLE: fault})
        self._deployment.wait_for_kill("it recovers", worker)
        return 1

    def _kill_broker(self) -> int:
        assert self._kafka is not None
        self._kafka.kill()
        sleep(self._chance.uniform(*OUTAGE_S))
        self._kafka.start()
        return 1
