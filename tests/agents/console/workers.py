"""A worker's site beside a console, without a broker."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from agents.console.console import Console
from agents.customer_lists import CustomerLists
from agents.dry_runs import DryRuns
from agents.web.lists import answer
from agents.web.server import LiveCustomers, Readiness, routes, serving
from config.people import Role
from config.settings import Settings, load_settings
from models.partition import Partition, PartitionState
from models.plan import plan_for
from streams.customers_table import CustomerRows
from streams.kafka_clients import partition_for
from streams.metrics import Metrics
from streams.owned_partitions import OwnedPartition, OwnedPartitions
from streams.partition_owners import PartitionOwners
from streams.snapshot_store import SnapshotStore
from tests.agents.console.conftest import Client, T, visited
from tests.models.lines import PARAMETERS, PRIOR, at

PARTITIONS = 4
PLAN = plan_for(PARAMETERS)


def number_of(customer: str) -> int:
    return partition_for(customer.encode(), PARTITIONS)


class Worker:
    """Some partitions with these customers' rows, and the worker's site."""

    def __init__(
        self, settings: Settings, numbers: Sequence[int], rows: Mapping[str, bytes]
    ) -> None:
        self.settings = settings
        self.owners = PartitionOwners("customer-events")
        snapshots = SnapshotStore(settings, PRIOR)
        self.partitions = OwnedPartitions(snapshots, settings, PLAN, Metrics())
        self.partitions._owned = {number: _opened(number, rows) for number in numbers}
        self.runs = DryRuns(self.partitions, settings, PARAMETERS, PLAN)
        self.lists = CustomerLists(self.partitions, self.owners, PARTITIONS, lambda: None)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        live = LiveCustomers(
            lambda _: None,
            owner=lambda customer: self.owners.url_of(number_of(customer)),
            listed=lambda query: answer(query, self.lists, PARAMETERS),
            tried=self.runs.answer,
        )
        site = routes(Metrics(), Readiness(list), live, lambda: None)
        async with serving(site, self.settings) as port:
            self.owners.url = f"http://127.0.0.1:{port}"
            yield self.owners.url


def _opened(number: int, rows: Mapping[str, bytes]) -> OwnedPartition:
    mine = CustomerRows({name: row for name, row in rows.items() if number_of(name) == number})
    state = PartitionState(applied=7, clock_ms=at(4), latest_ms=at(4))
    return OwnedPartition(Partition(number, mine, PRIOR, PLAN, lambda *_: PRIOR, state), mine)


def beside(
    console: Console,
    rows: Mapping[str, bytes],
    visit: Callable[[Client, str], Awaitable[T]],
    *,
    numbers: Sequence[int] = range(PARTITIONS),
    role: Role = Role.VIEWER,
) -> T:
    """The result of ``visit`` at a console whose worker has these partitions; another has the
    rest.
    """
    rest = [number for number in range(PARTITIONS) if number not in numbers]
    port = console.settings.web_port
    asked = Worker(load_settings({}, partitions=PARTITIONS, web_port=port), numbers, rows)
    other = Worker(load_settings({}, partitions=PARTITIONS, web_port=0), rest, rows)

    async def go(client: Client, url: str) -> T:
        async with asked.serving() as here, other.serving() as there:
            for one in (asked, other):
                one.owners.learn({here: list(numbers), there: rest})
            return await visit(client, url)

    return visited(console, go, role)
