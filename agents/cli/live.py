"""`keepstream live`: end the rehearsal, once the workers have read the history."""

from time import sleep, time
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import Assignments, BootstrapServers, kafka_settings, parameters_from
from agents.cli.progress import progress
from config.settings import Settings

if TYPE_CHECKING:
    from models.partition_state import PartitionState

LOOK_S = 1.0
#: How often to look in the workers' states for the live records.
LOOKS_MAX = 20


def live(
    force: Annotated[
        bool,
        typer.Option("--force", help="Go live although the history ends long before now."),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    assignments: Assignments = None,
) -> None:
    """Start to write and deliver triggers and actions.

    Waits until the workers have read everything that was published, writes one live record into
    each partition that still rehearses, and waits until the workers have read these records. Exit
    code 0: every partition is live. 1: not yet, and the message says why. 2: the broker or its
    topics can't be used.
    """
    settings = kafka_settings("live", bootstrap_servers=bootstrap_servers)
    lateness_ms = parameters_from(settings, assignments).time.lateness
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.findings import listed  # noqa: PLC0415
    from streams.going_live import write_live  # noqa: PLC0415
    from streams.state_examination import partition_states  # noqa: PLC0415 - Kafka, when it is needed

    _wait_for_workers(settings)
    states = partition_states(settings)
    rehearsing = [number for number, state in states.items() if _rehearses(state)]
    already = [number for number in states if number not in rehearsing]
    if already:
        typer.echo(f"live already: partition {listed(already)}")
    if not rehearsing:
        return
    now_ms = int(time() * 1_000)
    if not force:
        _require_recent_history(states, now_ms, lateness_ms)
    asyncio.run(write_live(settings, rehearsing, now_ms))
    # Deadlines up to now are rehearsed too, so the number of held decisions is known only after
    # that.
    is_done = _are_live(settings, rehearsing)
    states = partition_states(settings)
    held = sum(state.rehearsed for state in states.values() if state is not None)
    so_far = "" if is_done else " so far: the workers have yet to take the live records"
    typer.echo(
        f"live from now on: partition {listed(rehearsing)}; {held:,} "
        f"{'decision was' if held == 1 else 'decisions were'} held{so_far}"
    )


def _are_live(settings: Settings, partitions: list[int]) -> bool:
    """Wait for the workers to read these partitions' live records; return whether they have."""
    from streams.state_examination import partition_states  # noqa: PLC0415 - as above

    for _ in range(LOOKS_MAX):
        states = partition_states(settings)
        if not any(_rehearses(states[number]) for number in partitions):
            return True
        sleep(LOOK_S)
    return False


def _rehearses(state: "PartitionState | None") -> bool:
    return state is None or state.live_at_ms is None


def _wait_for_workers(settings: Settings) -> None:
    """Wait until everything published is folded. Raises `CommandError` if no worker is in the
    group.
    """
    from config import topics  # noqa: PLC0415
    from streams.group_examination import group_progress  # noqa: PLC0415 - Kafka, when it is needed

    most = 0
    with progress("live", None) as tell:
        while True:
            group, waiting = group_progress(settings, (*topics.RAW_TOPICS, topics.CUSTOMER_EVENTS))
            if not waiting:
                return
            if not group.members:
                raise CommandError(
                    f"{waiting:,} records wait, and nobody is in the group {group.name} to take "
                    f"them: start `keepstream worker`, then try again"
                )
            most = max(most, waiting)
            tell(most - waiting, f"{waiting:,} records to be read", most)
            sleep(LOOK_S)


def _require_recent_history(
    states: "dict[int, PartitionState | None]", now_ms: int, lateness_ms: int
) -> None:
    """Refuse to go live after a gap in the history: the clock would run through the gap, and the
    models would learn that everybody who bought during it had left.
    """
    from streams.findings import span  # noqa: PLC0415 - as above

    latest_ms = max((state.latest_ms for state in states.values() if state is not None), default=0)
    if latest_ms and now_ms - latest_ms > lateness_ms:
        complain(
            f"the history ends {span(now_ms - latest_ms)} before now: publish what happened since, "
            f"or it is learnt that nobody bought; or say --force if nothing did happen"
        )
        raise typer.Exit(EXIT_FOUND)
