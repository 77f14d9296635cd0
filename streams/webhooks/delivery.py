"""One endpoint's deliveries: reads, tries, retries and finishes them. It knows no Kafka.

Each message ends with one of five fates (see `metrics`); only then its place in the log counts as
done. So nothing is lost however this process ends, and what it was sending is sent again with the
same id.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from config.endpoints import EndpointRule
from config.topics import DELIVERED_TOPICS
from models.events.foreign import Foreign
from streams.graves import Fingerprints
from streams.outbox import Headers
from streams.webhooks import metrics as fates
from streams.webhooks.addresses import NOT_PUBLIC
from streams.webhooks.breaker import Breaker, Chance, delay_ms
from streams.webhooks.destinations import Composer, Request
from streams.webhooks.messages import Message, message_in, wants
from streams.webhooks.metrics import WebhookMetrics
from streams.webhooks.queue import Delivery, DeliveryQueue, LogPlace
from streams.webhooks.sender import ADDRESS, HttpAnswer, HttpVerdict, Posts
from streams.webhooks.traced_posts import post_traced
from streams.webhooks.window import OffsetWindow, OpenPosition

if TYPE_CHECKING:
    # OpenTelemetry is optional.
    from streams.tracing import Traces

log = logging.getLogger(__name__)

#: How many erasures are remembered for decisions of the other topic that come later.
ERASED_KEPT = 10_000
#: Tries that the rate allows within this time may begin together.
RATE_GRAIN_MS = 10
#: Why a message is set aside for which no request can be made.
UNSENDABLE = "unsendable"
#: The longest time between looks at what is due, even without a signal.
IDLE_S = 1.0

#: Marks a delivery in flight whose partition moves to another process.
_RELEASED = "released"

Partition = tuple[str, int]
Name = TypeVar("Name", str, bytes)


class Surroundings(NamedTuple):
    """What a delivery needs besides its endpoint. ``set_aside`` stores an undelivered message with
    the reason, and returns when it is durable.
    """

    set_aside: Callable[[Delivery, str], Awaitable[None]]
    metrics: WebhookMetrics
    fingerprints: Fingerprints
    max_age_ms: int
    clock_ms: Callable[[], int]
    chance: Chance
    traces: "Traces | None" = None


class EndpointDelivery:
    """The deliveries of one endpoint, for the partitions that this process owns in its group."""

    def __init__(
        self, rule: EndpointRule, composer: Composer, sender: Posts, around: Surroundings
    ) -> None:
        self._rule = rule
        self._composer = composer
        self._sender = sender
        self._around = around
        self._queue = DeliveryQueue()
        self._breaker = Breaker(rule.retry_first, rule.retry_longest, around.chance)
        self._windows: dict[Partition, OffsetWindow] = {}
        self._by_id: Counter[str] = Counter()
        self._by_customer: Counter[bytes] = Counter()
        #: By customer and topic, the latest erasure notice: its id and its time.
        self._erased: OrderedDict[tuple[bytes, str], tuple[str, int]] = OrderedDict()
        self._tries: dict[asyncio.Task[None], Delivery] = {}
        self._wake = asyncio.Event()
        self._next_try_ms = 0.0
        self._is_leaving = False
        self._crash: BaseException | None = None
        #: Statuses and kinds of failure that were logged; there are few.
        self._reasons_told: set[str] = set()
        #: Whether the endpoint answered that it is gone; then it is left alone until the next
        #: start.
        self.is_disabled = False

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open."""
        return self._breaker.is_open

    @property
    def pending(self) -> int:
        return len(self._queue)

    # Partitions

    def begin(self, partition: Partition, position: OpenPosition) -> None:
        """Take over a partition, from ``position``."""
        self._windows[partition] = OffsetWindow(position)

    def is_full(self, partition: Partition) -> bool:
        """Whether no more of a partition can be read now."""
        window = self._windows.get(partition)
        return window is not None and window.is_full

    def positions(self) -> dict[Partition, OpenPosition]:
        """The positions that can be committed."""
        return {partition: window.position() for partition, window in self._windows.items()}

    async def release(self, partitions: Collection[Partition], grace_s: float) -> None:
        """Begin no new tries for these partitions, and let those in flight end within ``grace_s``;
        call `forget` afterwards.
        """
        gone = self._queue.remove(lambda one: _partition(one) in partitions)
        for delivery in gone:
            self._let_go(delivery)
        trying = [task for task, one in self._tries.items() if _partition(one) in partitions]
        for task in trying:
            self._tries[task].void = self._tries[task].void or _RELEASED
        if trying:
            _, late = await asyncio.wait(trying, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Forget these partitions: another process has them now."""
        for partition in partitions:
            self._windows.pop(partition, None)

    # Reading

    def read(
        self,
        partition: Partition,
        offset: int,
        value: bytes,
        stored_at_ms: int,
        headers: Headers = (),
    ) -> None:
        """Take the next record of a partition."""
        window = self._windows.get(partition)
        if window is None or not window.admit(offset):
            return
        topic, number = partition
        try:
            message = message_in(value, topic, self._around.fingerprints, self._around.max_age_ms)
        except Foreign as error:
            self._around.metrics.count_foreign(self._rule.name)
            log.warning("%s-%s at %s is left out: %s", topic, number, offset, error)
            message = None
        if message is None:
            window.finish(offset)
            return
        self._take_back(message, topic)
        if not wants(self._rule, message):
            window.finish(offset)
            return
        # Headers that nobody uses would be kept for as long as an endpoint is away.
        carried = headers if self._around.traces is not None else ()
        delivery = Delivery(message, LogPlace(topic, number, offset), stored_at_ms, carried)
        self._by_id[message.id] += 1
        self._by_customer[message.whose] += 1
        now_ms = self._around.clock_ms()
        if not message.is_erasure and self._is_erased(message, topic):
            self._end(delivery, fates.ERASED)
        elif message.is_too_late(now_ms):
            self._end(delivery, fates.EXPIRED)
        else:
            self._queue.add(delivery, now_ms)
            self._wake.set()

    def _is_erased(self, message: Message, topic: str) -> bool:
        """Whether another topic announced an erasure that covers this decision, and its own topic
        has not announced it yet.
        """
        _, told_ms = self._erased.get((message.whose, topic), ("", -1))
        others = [self._erased.get((message.whose, name)) for name in DELIVERED_TOPICS]
        return any(
            found is not None and told_ms < found[1] and message.decided_at_ms <= found[1]
            for found in others
        )

    def _take_back(self, message: Message, topic: str) -> None:
        """Drop waiting messages that this one erases or withdraws. An erasure drops everything
        before it in its own topic, whatever its time: a request may be older than what it erases.
        """
        if message.is_erasure:
            whose = message.whose
            known, _ = self._erased.get((whose, topic), ("", -1))
            if known == message.id:
                # A repeat, from a worker that was cut off: messages that came since are a new
                # person's.
                return
            self._erased[whose, topic] = message.id, message.decided_at_ms
            if len(self._erased) > ERASED_KEPT:
                self._erased.popitem(last=False)
            if self._by_customer[whose]:
                self._drop(
                    lambda one: (
                        one.message.whose == whose
                        and not one.message.is_erasure
                        and (
                            one.place.topic == topic
                            or self._is_erased(one.message, one.place.topic)
                        )
                    ),
                    fates.ERASED,
                )
        elif message.withdraws in self._by_id:
            self._drop(lambda one: one.message.id == message.withdraws, fates.WITHDRAWN)

    def _drop(self, is_gone: Callable[[Delivery], bool], fate: str) -> None:
        for delivery in self._queue.remove(is_gone):
            self._end(delivery, fate)
        for delivery in self._tries.values():
            if is_gone(delivery):
                delivery.void = fate

    # Trying

    async def run(self) -> None:
        """Try what is due, until cancelled. Raises the unexpected errors of tries."""
        while True:
            self._wake.clear()
            if self._crash is not None:
                raise self._crash
            wait_s = self._begin_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def drain(self, grace_s: float) -> None:
        """Begin no new tries, and wait for those in flight, ``grace_s`` at most."""
        self._is_leaving = True
        await self.release(list(self._windows), grace_s)

    def _begin_due(self) -> float:
        """Begin every try that is due; return for how many seconds nothing more is."""
        now_ms = self._around.clock_ms()
        while self._queue.busy < self._rule.concurrency and not self._is_at_rest():
            if not self._breaker.permits(now_ms):
                # A probe in flight signals its own end.
                wait_ms = self._breaker.until_ms - now_ms
                return min(IDLE_S, wait_ms / 1_000) if wait_ms > 0 else IDLE_S
            if now_ms + RATE_GRAIN_MS < self._next_try_ms:
                return (self._next_try_ms - RATE_GRAIN_MS - now_ms) / 1_000
            delivery = self._queue.take(now_ms)
            if delivery is None:
                break
            if delivery.message.is_too_late(now_ms):
                self._finish(delivery, fates.EXPIRED)
                continue
            self._begin(delivery, now_ms)
        due_ms = self._queue.next_due_ms()
        return IDLE_S if due_ms is None else min(IDLE_S, max(0.001, (due_ms - now_ms) / 1_000))

    def _is_at_rest(self) -> bool:
        return self._is_leaving or self.is_disabled

    def _begin(self, delivery: Delivery, now_ms: int) -> None:
        self._breaker.begin()
        self._next_try_ms = max(self._next_try_ms, now_ms) + 1_000 / self._rule.rate
        task = asyncio.create_task(self._try(delivery, now_ms))
        self._tries[task] = delivery
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        delivery = self._tries.pop(task)
        if task.cancelled():
            self._breaker.cancel()
            self._queue.finish(delivery)
            self._let_go(delivery)
        elif (error := task.exception()) is not None:
            self._crash = error
        self._wake.set()

    async def _try(self, delivery: Delivery, now_ms: int) -> None:
        name, metrics = self._rule.name, self._around.metrics
        delivery.tries += 1
        try:
            request = self._composer.request(delivery.message, now_ms // 1_000)
        except Exception:
            # The fault is of this message and endpoint alone; everything else continues.
            told = {"fields": delivery.log_fields}
            log.exception("%s: no request can be made of %s", name, delivery.message.id, extra=told)
            self._breaker.cancel()
            await self._set_aside(delivery, UNSENDABLE)
            return
        begun_s = monotonic()
        answer = await self._posted(delivery, request, now_ms)
        metrics.observe_try(name, monotonic() - begun_s, is_first=delivery.tries == 1)
        if answer.verdict != HttpVerdict.TAKEN:
            metrics.count_failure(name, answer.reason)
        if answer.verdict == HttpVerdict.RETRY:
            await self._failed(delivery, answer)
            return
        if self._breaker.is_open:
            log.info("%s answers again", name)
        self._breaker.succeed()
        if answer.verdict == HttpVerdict.TAKEN:
            self._finish(delivery, fates.DELIVERED)
        elif answer.verdict == HttpVerdict.REFUSED:
            await self._set_aside(delivery, answer.reason)
        else:
            self.is_disabled = True
            log.error(
                "%s answered 410, that it is gone: it gets nothing more until the next start, and "
                "goes on where it stopped then", name,
            )  # fmt: skip
            self._try_again(delivery, self._around.clock_ms())

    async def _posted(self, delivery: Delivery, request: Request, now_ms: int) -> HttpAnswer:
        if self._around.traces is None:
            return await self._sender.post(request, now_ms)
        return await post_traced(self._around.traces, self._sender, delivery, request, now_ms)

    async def _failed(self, delivery: Delivery, answer: HttpAnswer) -> None:
        now_ms, rule = self._around.clock_ms(), self._rule
        if answer.wait_ms:
            # The endpoint answers and asks for patience, which is no failure.
            self._breaker.cancel()
            self._breaker.pause(now_ms, answer.wait_ms)
        else:
            # While every message fails, a failure says nothing about this one.
            was_open = self._breaker.is_open
            delivery.failures += not was_open
            self._breaker.fail(now_ms)
            if self._breaker.is_open and not was_open:
                log.warning(
                    "%s fails (%s), and is only probed until it answers; what is for it waits",
                    rule.name, _in_words(answer.reason),
                )  # fmt: skip
        if delivery.failures >= rule.attempts or now_ms - delivery.stored_at_ms > rule.give_up:
            await self._set_aside(delivery, answer.reason)
        else:
            wait_ms = delay_ms(
                delivery.tries, rule.retry_first, rule.retry_longest, self._around.chance
            )
            self._try_again(delivery, now_ms + wait_ms)

    def _try_again(self, delivery: Delivery, at_ms: int) -> None:
        if delivery.void:
            self._finish(delivery, delivery.void)
        else:
            self._queue.put_back(delivery, at_ms)

    async def _set_aside(self, delivery: Delivery, reason: str) -> None:
        if delivery.void in (fates.ERASED, fates.WITHDRAWN):
            self._finish(delivery, delivery.void)
            return
        if reason not in self._reasons_told:
            self._reasons_told.add(reason)
            log.warning(
                "%s: %s is set aside (%s), as others may be for that: see `keepstream undelivered "
                "list`", self._rule.name, delivery.message.id, _in_words(reason),
                extra={"fields": delivery.log_fields},
            )  # fmt: skip
        await self._around.set_aside(delivery, reason)
        self._finish(delivery, fates.UNDELIVERED)

    def _finish(self, delivery: Delivery, fate: str) -> None:
        """End a delivery that was being tried."""
        self._queue.finish(delivery)
        self._end(delivery, fate)

    def _end(self, delivery: Delivery, fate: str) -> None:
        """Let go of a delivery that is done, or whose partition has a new owner."""
        self._let_go(delivery)
        if fate != _RELEASED:
            window = self._windows.get(_partition(delivery))
            if window is not None:
                window.finish(delivery.place.offset)
            self._around.metrics.count(self._rule.name, fate)
        self._wake.set()

    def _let_go(self, delivery: Delivery) -> None:
        _count_down(self._by_id, delivery.message.id)
        _count_down(self._by_customer, delivery.message.whose)


def _count_down(counts: Counter[Name], name: Name) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def _in_words(reason: str) -> str:
    return NOT_PUBLIC if reason == ADDRESS else reason


def _partition(delivery: Delivery) -> Partition:
    return delivery.place.topic, delivery.place.partition
