"""`keepstream up` from start to stop: start what is missing, keep it running, shut it down."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from agents.interruption import Stopped, interruptible
from agents.standing.archive import prepare_topics
from agents.standing.collector import StandingCollector
from agents.standing.console import StandingConsole
from agents.standing.directory import Addresses, held, read_addresses, write_addresses
from agents.standing.services import Say, Services, default_addresses, services
from agents.standing.traffic import Traffic
from agents.standing.upkeep import (
    KeptUp,
    NotKeptUp,
    StandingDeliverer,
    StandingWorkers,
    StoreFile,
    kept_servers,
)
from agents.words.decision_lines import in_words
from config.settings import Settings, variable_of
from config.topics import DELIVERED_TOPICS, RAW_TOPICS, partitions_of
from models.decisions.trigger import decode_decision, does_nothing
from models.events.foreign import Foreign
from streams.embedded.process import ServerFailedError, ServerProcess
from streams.kafka_clients import client_options

READY_TIMEOUT_S = 120.0
_LOOK_S = 0.25
_POLL_MS = 500
_REQUEST_TIMEOUT_S = 2.0
#: Decisions printed at once: after a long outage of the broker, all of them would scroll everything
#: else away.
DECISIONS_MAX = 20


class NotReady(RuntimeError):
    """The workers did not become ready; the message has the ends of their logs."""


def run_up(
    directory: Path,
    say: Say,
    *,
    workers: int,
    rehearse: bool,
    demo: bool,
    archive: bool,
    bootstrap_servers: str | None,
    redis_url: str | None,
) -> None:
    """Keep a deployment up until it is stopped; its data stays in ``directory``.

    Raises ``AlreadyUp`` if another process keeps one up there, and any error that prevents it from
    starting or continuing; everything that was started is stopped then, too.
    """
    for name in ("kafka", "aiokafka"):
        # Their retries are no news; errors they give up on are raised.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with held(directory), interruptible() as finish, ExitStack() as stack:
        try:
            last = read_addresses(directory)
            place = stack.enter_context(
                services(
                    directory,
                    last,
                    say,
                    bootstrap_servers=bootstrap_servers,
                    redis_url=redis_url,
                    archive=archive,
                )
            )
            prepare_topics(place, last, say)
            crew = stack.enter_context(_workers(directory, place, last, workers, not rehearse))
            collector = stack.enter_context(
                StandingCollector(directory, _own_environ(place), place.settings, last, crew.ports)
            )
            taken = [*crew.ports, *collector.ports]
            console = stack.enter_context(
                StandingConsole(
                    directory, _own_environ(place), place.settings, last, crew.urls[0], taken
                )
            )
            deliverer = _deliverer(directory, place, last)
            if deliverer is not None:
                # Ready before the first event: a new endpoint gets no decisions from before it was
                # ready.
                stack.enter_context(deliverer)
            waiting = {collector.health_url: collector.kept, console.url: console.kept}
            _await_ready(crew, waiting, deliverer, say)
            write_addresses(directory, _addresses(place, crew, collector, console, deliverer))
            is_new = _is_empty(place.settings)
            has_history = demo and is_new
            for line in greeting(
                place,
                crew,
                collector,
                console,
                deliverer,
                directory,
                has_history=has_history,
                rehearse=rehearse,
            ):
                say(line)
            if demo:
                stack.enter_context(Traffic(place.settings, say, with_history=has_history))
            kept = [*kept_servers(place.servers), *crew.kept, collector.kept, console.kept]
            kept += [deliverer.kept] if deliverer is not None else []
            file = StoreFile(place.valkey.url) if place.valkey is not None else None
            _keep_up(kept, file, place.settings, say)
        except Stopped:
            say("Stopping: the workers finish what they have in hand")
        finally:
            finish()
            stack.close()
    say(f"Stopped; the data stays in {directory}, and `keepstream up` goes on with it")


def _workers(
    directory: Path, place: Services, last: Addresses | None, count: int, is_live: bool
) -> StandingWorkers:
    processes = [ServerProcess(f"worker-{number}", directory) for number in range(1, count + 1)]
    ports = last.worker_ports if last is not None else []
    return StandingWorkers(count, _own_environ(place), processes, ports, is_live=is_live)


def _own_environ(place: Services) -> dict[str, str]:
    """The environment of each process, which must advertise its own address."""
    advertised = variable_of("web_advertised_url")
    return {name: value for name, value in place.environ.items() if name != advertised}


def _deliverer(
    directory: Path, place: Services, last: Addresses | None
) -> StandingDeliverer | None:
    """The deliverer; None if no endpoints are declared."""
    if not place.settings.endpoints:
        return None
    ports = last.deliverer_ports if last is not None else []
    return StandingDeliverer(directory, _own_environ(place), ports)


def _addresses(
    place: Services,
    crew: StandingWorkers,
    collector: StandingCollector,
    console: StandingConsole,
    deliverer: StandingDeliverer | None,
) -> Addresses:
    return Addresses(
        pid=os.getpid(),
        bootstrap_servers=place.settings.bootstrap_servers,
        redis_url=place.settings.redis_url_redacted,
        worker_urls=crew.urls,
        kafka_ports=list(place.kafka.ports) if place.kafka is not None else [],
        redis_ports=list(place.valkey.ports) if place.valkey is not None else [],
        worker_ports=crew.ports,
        collector_url=collector.url,
        collector_ports=collector.ports,
        write_key=collector.write_key,
        deliverer_ports=deliverer.ports if deliverer is not None else [],
        archive=place.settings.has_archive,
        log_retention=place.settings.log_retention,
        console_url=console.url,
        console_ports=console.ports,
        console_token=console.token,
    )


def _await_ready(
    crew: StandingWorkers,
    others: Mapping[str, KeptUp],
    deliverer: StandingDeliverer | None,
    say: Say,
) -> None:
    workers = "a worker" if len(crew.urls) == 1 else f"{len(crew.urls)} workers"
    say(f"Starting {workers}, the collector and the console")
    deadline_s = monotonic() + READY_TIMEOUT_S
    waiting = {**dict(zip(crew.urls, crew.kept, strict=True)), **others}
    waiting |= {deliverer.url: deliverer.kept} if deliverer is not None else {}
    while waiting:
        for url, kept in list(waiting.items()):
            try:
                kept.process.require_alive()
            except ServerFailedError as error:
                raise NotReady(str(error)) from None
            if _is_ready(url):
                del waiting[url]
        if monotonic() > deadline_s:
            logs = "\n".join(kept.process.log_tail() for kept in waiting.values())
            raise NotReady(
                f"not ready within {READY_TIMEOUT_S:.0f} s: {', '.join(waiting)}. {logs}"
            )
        sleep(_LOOK_S)


def _is_ready(url: str) -> bool:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=_REQUEST_TIMEOUT_S)) as client:
        try:
            client.request("GET", "/health/ready")
            return client.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False


def greeting(
    place: Services,
    crew: StandingWorkers,
    collector: StandingCollector,
    console: StandingConsole,
    deliverer: StandingDeliverer | None,
    directory: Path,
    *,
    has_history: bool,
    rehearse: bool,
) -> Iterator[str]:
    """The addresses of everything, and what to do next. ``has_history``: the simulated shop sends
    past events first, and an event of now would make the rest of them too late. ``rehearse``: a
    new deployment writes no decisions yet.
    """
    settings = place.settings
    yield ""
    yield f"  Kafka    {settings.bootstrap_servers}"
    yield f"  Redis    {settings.redis_url_redacted}"
    for kept, url in zip(crew.kept, crew.urls, strict=True):
        yield f"  {kept.name} {url}/health/ready, {url}/metrics, {url}/customers/ID"
    key = f", write key {collector.write_key}" if collector.write_key else ""
    yield f"  events   {collector.url}{key}"
    for url in collector.webhook_urls:
        yield f"  webhooks {url}"
    if deliverer is not None:
        yield f"  deliverer {deliverer.url}/health/ready, {deliverer.url}/metrics"
    yield f"  console  {console.login_url}"
    yield f"  data     {directory}, with a log of each process"
    yield ""
    exports = []
    if not default_addresses(settings):
        exports.append(("bootstrap_servers", settings.bootstrap_servers))
        exports.append(("redis_url", settings.redis_url_redacted))
    if settings.has_archive:
        exports.append(("archive", settings.archive))
        exports.append(("log_retention", settings.log_retention))
    if exports:
        yield "For the commands of another terminal:"
        yield from (f"  export {variable_of(field)}={value}" for field, value in exports)
    user = collector.write_key or "WRITE_KEY"
    wait = ", once the simulated shop has reached today" if has_history else ""
    yield f"An event by hand{wait}:"
    yield (
        f"  curl -u {user}: {collector.url}/v1/track "
        """-d '{"event": "Product Viewed", "userId": "ada"}'"""
    )
    yield f"Publish events: keepstream publish FILE. Customers: {list_command(crew.urls[0])}"
    if rehearse:
        yield "It rehearses: a new deployment publishes no decisions before `keepstream live`"
    yield "Ctrl-C stops all of it. Decisions, as they are made:"


def list_command(worker_url: str) -> str:
    """The command that lists customers. It asks a worker: unless ours is at the default address,
    name it, because another deployment's worker may answer there.
    """
    defaults = Settings()
    is_found = worker_url == f"http://{defaults.web_host}:{defaults.web_port}"
    return "keepstream customers list" + ("" if is_found else f" --url {worker_url}")


def _is_empty(settings: Settings) -> bool:
    # The log itself is never empty: it begins with the live records of its partitions.
    with _following(settings, RAW_TOPICS) as reader:
        return all(end == 0 for end in reader.end_offsets(list(reader.assignment())).values())


@contextmanager
def _following(settings: Settings, topics: Sequence[str]) -> Iterator[KafkaConsumer]:
    """A consumer of all partitions of these topics, positioned at their ends."""
    partitions = [
        TopicPartition(settings.topic(topic), number)
        for topic in topics
        for number in range(partitions_of(topic, settings.partitions))
    ]
    with closing(KafkaConsumer(**client_options(settings), enable_auto_commit=False)) as reader:
        reader.assign(partitions)
        reader.seek_to_end(*partitions)
        yield reader


def _keep_up(kept: Sequence[KeptUp], file: StoreFile | None, settings: Settings, say: Say) -> None:
    """Print decisions, and restart processes that end, until stopped."""
    with _following(settings, DELIVERED_TOPICS) as reader:
        while True:
            for one in kept:
                try:
                    one.tend(say)
                except ServerFailedError as error:
                    raise NotKeptUp(str(error)) from None
            if file is not None:
                file.tend()
            try:
                found = reader.poll(timeout_ms=_POLL_MS)
            except KafkaError:
                # The broker is away; if it is ours, the next round restarts it.
                sleep(_LOOK_S)
                continue
            values = [record.value for records in found.values() for record in records]
            for line in told(values):
                say(line)


def told(values: Sequence[bytes]) -> Iterator[str]:
    """A line for each decision, earliest first; of very many, only the latest."""
    decisions = []
    for value in values:
        try:
            decision = decode_decision(value)
        except Foreign:
            continue
        if not does_nothing(decision):
            decisions.append(decision)
    decisions.sort(key=lambda decision: decision.timestamp)
    if len(decisions) > DECISIONS_MAX:
        yield f"  ({len(decisions) - DECISIONS_MAX:,} more decisions)"
    for decision in decisions[-DECISIONS_MAX:]:
        yield f"  {in_words(decision)}"
