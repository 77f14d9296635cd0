"""The fates of messages at an endpoint with given answers; without Kafka or HTTP."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from agents.webhooks.examples import ACTION, TRIGGER, WITHDRAWAL
from config.duration import DAY_MS, HOUR_MS
from config.endpoints import Endpoint, EndpointRule
from models.decisions.trigger import Decision, encode_decision
from models.events.erasure_record import ErasureNotice, encode_notice
from models.events.times import iso, milliseconds, moment_of
from streams.graves import Fingerprints
from streams.webhooks.breaker import FAILURES_MAX
from streams.webhooks.delivery import EndpointDelivery, Surroundings
from streams.webhooks.destinations import Composer, Request
from streams.webhooks.messages import Message
from streams.webhooks.metrics import FATES, WebhookMetrics
from streams.webhooks.queue import Delivery
from streams.webhooks.sender import HttpAnswer, HttpVerdict
from streams.webhooks.window import OpenPosition

PARTITION, OTHER = ("retention-triggers", 0), ("next-best-actions", 0)
TAKEN, DOWN = HttpAnswer(HttpVerdict.TAKEN, "204"), HttpAnswer(HttpVerdict.RETRY, "503")
REFUSED, GONE = HttpAnswer(HttpVerdict.REFUSED, "422"), HttpAnswer(HttpVerdict.GONE, "410")
SALT = Fingerprints("salt")


def at_ms(text: str) -> int:
    moment = moment_of(text)
    assert moment is not None
    return milliseconds(moment)


NOW_MS = at_ms(TRIGGER.timestamp)


class Lab:
    """An endpoint whose answers and clock the test sets."""

    def __init__(self, *, max_age_ms: int = DAY_MS, **rule: Any) -> None:
        self.now_ms = NOW_MS
        self.sent: list[str] = []
        self.answers: dict[str, list[HttpAnswer]] = {}
        self.answer = TAKEN
        self.held: dict[str, asyncio.Event] = {}
        self.aside: list[tuple[str, str]] = []
        self.metrics = WebhookMetrics()
        found = EndpointRule(
            name="crm", rate=10_000, retry_first=100, retry_longest=10_000, **rule
        )  # fmt: skip
        composer = Composer(Endpoint(found, "https://example.com/", ()))
        around = Surroundings(
            self._keep, self.metrics, SALT, max_age_ms, lambda: self.now_ms, lambda: 1.0
        )
        self.delivery = EndpointDelivery(found, composer, self, around)
        for partition in (PARTITION, OTHER):
            self.delivery.begin(partition, OpenPosition(0))
        self._next = {PARTITION: 0, OTHER: 0}

    async def post(self, request: Request, now_ms: int) -> HttpAnswer:
        name = request.headers["webhook-id"]
        self.sent.append(name)
        if name in self.held:
            await self.held[name].wait()
        rest = self.answers.get(name)
        return rest.pop(0) if rest else self.answer

    async def _keep(self, delivery: Delivery, reason: str) -> None:
        self.aside.append((delivery.message.id, reason))

    def read(
        self, *decisions: Decision | ErasureNotice | bytes, partition: Any = PARTITION
    ) -> None:
        for one in decisions:
            if isinstance(one, ErasureNotice):
                value = encode_notice(one)
            else:
                value = one if isinstance(one, bytes) else encode_decision(one)
            self.delivery.read(partition, self._next[partition], value, self.now_ms)
            self._next[partition] += 1

    async def settle(self, *, after_ms: int = 0) -> None:
        """Let everything happen that is due by then."""
        self.now_ms += after_ms
        self.delivery._wake.set()
        for _ in range(60):
            await asyncio.sleep(0)

    def fates(self) -> dict[str, int]:
        counts = {
            fate: self.metrics._messages.labels("crm", fate)._value.get()  # type: ignore[attr-defined]
            for fate in FATES
        }
        return {fate: int(count) for fate, count in counts.items() if count}

    def open_from(self, partition: Any = PARTITION) -> int:
        return self.delivery.positions()[partition].offset


def told(story: Callable[[Lab], Coroutine[Any, Any, None]], **rule: Any) -> Lab:
    """Run a story in a lab, with retries beside it."""

    async def run() -> Lab:
        lab = Lab(**rule)
        trying = asyncio.create_task(lab.delivery.run())
        try:
            await story(lab)
        finally:
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
        return lab

    return asyncio.run(run())


def trigger(name: str, customer: str = "ada", **changed: Any) -> Decision:
    return msgspec.structs.replace(TRIGGER, id=name, user_id=customer, **changed)


def action(name: str, customer: str = "ada", **changed: Any) -> Decision:
    return msgspec.structs.replace(ACTION, id=name, user_id=customer, **changed)


def test_what_is_taken_is_done_and_order_is_kept_a_customer() -> None:
    async def story(lab: Lab) -> None:
        lab.answers["a1"] = [DOWN, DOWN]
        lab.read(trigger("a1"), trigger("a2"), trigger("b1", "bob"))
        await lab.settle()
        assert ["a1", "b1"] == lab.sent
        assert 0 == lab.open_from()
        await lab.settle(after_ms=100)
        await lab.settle(after_ms=200)

    lab = told(story)
    assert ["a1", "b1", "a1", "a1", "a2"] == lab.sent
    assert ({"delivered": 3}, 3, 0) == (lab.fates(), lab.open_from(), lab.delivery.pending)


def test_a_refusal_is_kept_and_the_next_goes_on() -> None:
    async def story(lab: Lab) -> None:
        lab.answers["a1"] = [REFUSED]
        lab.read(trigger("a1"), trigger("a2"))
        await lab.settle()

    lab = told(story)
    assert [("a1", "422")] == lab.aside
    assert ({"delivered": 1, "undelivered": 1}, 2) == (lab.fates(), lab.open_from())


def test_one_that_fails_while_others_succeed_is_given_up_after_its_attempts() -> None:
    async def story(lab: Lab) -> None:
        lab.answers["a1"] = [DOWN] * 99
        lab.read(trigger("a1"))
        for number in range(10):
            lab.read(trigger(f"b{number}", "bob"))
            await lab.settle(after_ms=10_000)

    lab = told(story, attempts=3)
    assert 3 == lab.sent.count("a1")
    assert [("a1", "503")] == lab.aside


def test_an_endpoint_that_is_away_loses_nothing_and_is_only_probed() -> None:
    async def story(lab: Lab) -> None:
        lab.answer = DOWN
        lab.read(*(trigger(f"t{number}", f"c{number}") for number in range(50)))
        for _ in range(100):
            await lab.settle(after_ms=10_000)
        assert lab.delivery.is_open
        # Each probe is of another one: one that alone fails must not stand in for all.
        probes = lab.sent[FAILURES_MAX + 4 :]
        assert len(set(probes[:30])) > 25
        assert len(probes) <= 100
        lab.answer = TAKEN
        for _ in range(3):
            await lab.settle(after_ms=10_000)

    lab = told(story, attempts=3)
    assert ([], {"delivered": 50}) == (lab.aside, lab.fates())
    assert not lab.delivery.is_open


def test_what_fails_for_too_long_is_given_up_with_the_endpoint_away() -> None:
    async def story(lab: Lab) -> None:
        lab.answer = DOWN
        lab.read(WITHDRAWAL, partition=OTHER)
        for _ in range(80):
            await lab.settle(after_ms=HOUR_MS)

    lab = told(story, give_up=3 * DAY_MS)
    assert [(WITHDRAWAL.id, "503")] == lab.aside


def test_an_endpoint_that_asks_to_wait_is_left_alone_and_nothing_is_held_against_it() -> None:
    async def story(lab: Lab) -> None:
        lab.answers["a1"] = [HttpAnswer(HttpVerdict.RETRY, "429", 60_000)] * 4
        lab.read(trigger("a1"))
        await lab.settle()
        lab.read(trigger("b1", "bob"))
        await lab.settle(after_ms=59_000)
        assert ["a1"] == lab.sent
        for _ in range(5):
            await lab.settle(after_ms=60_001)

    lab = told(story, attempts=2)
    assert ({"delivered": 2}, []) == (lab.fates(), lab.aside)


def test_one_that_says_it_is_gone_gets_nothing_more_and_loses_nothing() -> None:
    async def story(lab: Lab) -> None:
        lab.answers["a1"] = [GONE]
        lab.read(trigger("a1"), trigger("b1", "bob"))
        await lab.settle()
        lab.read(trigger("b2", "bob"))
        await lab.settle(after_ms=HOUR_MS)

    lab = told(story, concurrency=1)
    assert (["a1"], True, 0) == (lab.sent, lab.delivery.is_disabled, lab.open_from())


def test_what_comes_too_late_is_not_sent_and_what_is_early_waits() -> None:
    async def story(lab: Lab) -> None:
        late = iso(NOW_MS - DAY_MS - 1)
        lab.read(trigger("old", timestamp=late), trigger("new", "bob"))
        lab.read(action("night"), action("over", due_at=iso(NOW_MS - 1)), partition=OTHER)
        lab.read(action("now", not_before=None), partition=OTHER)
        await lab.settle()
        assert ["new", "now"] == lab.sent
        # Done, though the first of them waits: a hole in what is committed.
        assert OpenPosition(0, frozenset({1, 2})) == lab.delivery.positions()[OTHER]
        assert ACTION.not_before is not None
        await lab.settle(after_ms=at_ms(ACTION.not_before) - NOW_MS)

    lab = told(story)
    assert (["new", "now", "night"], {"delivered": 3, "expired": 2}) == (lab.sent, lab.fates())


def test_nothing_expires_where_any_age_is_delivered() -> None:
    async def story(lab: Lab) -> None:
        lab.read(trigger("old", timestamp="2020-01-01T00:00:00.000Z"))
        await lab.settle()

    assert ["old"] == told(story, max_age_ms=0).sent


def test_what_is_withdrawn_before_it_was_sent_is_not_sent() -> None:
    async def story(lab: Lab) -> None:
        lab.read(ACTION, ACTION, partition=OTHER)
        await lab.settle()
        lab.read(WITHDRAWAL, partition=OTHER)
        await lab.settle(after_ms=12 * HOUR_MS)

    lab = told(story)
    assert ([WITHDRAWAL.id], {"withdrawn": 2, "delivered": 1}) == (lab.sent, lab.fates())
    assert 3 == lab.open_from(OTHER)


def notice(customer: str, timestamp_ms: int) -> ErasureNotice:
    return ErasureNotice(
        id="e",
        fingerprint=SALT.of(customer).hex(),
        timestamp=iso(timestamp_ms),
        mode="DELETE_ONLY",
        was_known=True,
    )


def test_of_who_was_erased_nothing_is_sent_any_more_and_the_news_is() -> None:
    async def story(lab: Lab) -> None:
        lab.answers["a1"] = [DOWN] * 9
        lab.read(trigger("a1"), trigger("a2"), trigger("b1", "bob"))
        lab.read(action("night"), partition=OTHER)
        await lab.settle()
        lab.read(notice("ada", NOW_MS))
        # Of the other topic, which is read more slowly, and of a new person with this id.
        lab.read(action("later", not_before=None), partition=OTHER)
        lab.read(action("new", not_before=None, timestamp=iso(NOW_MS + 1)), partition=OTHER)
        for _ in range(5):
            await lab.settle(after_ms=10_000)

    lab = told(story, erased=True)
    assert ["a1", "b1", "e-retention-triggers", "new"] == lab.sent
    assert {"erased": 4, "delivered": 3} == lab.fates()
    assert (4, 3) == (lab.open_from(), lab.open_from(OTHER))


def test_an_erasure_reaches_what_its_topic_had_before_whatever_times_they_say() -> None:
    async def story(lab: Lab) -> None:
        lab.answers["early"] = [DOWN] * 9
        lab.read(trigger("early", timestamp=iso(NOW_MS + 5_000)))
        await lab.settle()
        lab.read(notice("ada", NOW_MS), trigger("new", timestamp=iso(NOW_MS - 5_000)))
        for _ in range(5):
            await lab.settle(after_ms=10_000)

    lab = told(story, erased=True)
    assert {"erased": 1, "delivered": 2} == lab.fates()
    assert ["early", "e-retention-triggers", "new"] == lab.sent


def test_an_erasure_that_is_said_again_takes_nothing_of_who_came_after_it() -> None:
    async def story(lab: Lab) -> None:
        lab.read(notice("ada", NOW_MS))
        lab.answers["new"] = [DOWN]
        lab.read(trigger("new", timestamp=iso(NOW_MS + 1)))
        await lab.settle()
        lab.read(notice("ada", NOW_MS))
        for _ in range(5):
            await lab.settle(after_ms=10_000)

    lab = told(story)
    assert {"delivered": 1} == lab.fates()


def test_what_is_being_sent_of_who_is_erased_is_not_tried_again_and_the_news_comes_after_it() -> (
    None
):
    async def story(lab: Lab) -> None:
        lab.held["a1"] = asyncio.Event()
        lab.answers["a1"] = [REFUSED]
        lab.read(trigger("a1"))
        await lab.settle()
        lab.read(notice("ada", NOW_MS))
        await lab.settle()
        assert ["a1"] == lab.sent
        lab.held["a1"].set()
        await lab.settle()

    lab = told(story, erased=True)
    assert (["a1", "e-retention-triggers"], []) == (lab.sent, lab.aside)
    assert {"erased": 1, "delivered": 1} == lab.fates()


def test_a_partition_that_goes_to_another_process_is_let_go_of() -> None:
    async def story(lab: Lab) -> None:
        lab.held["a1"], lab.held["b1"] = asyncio.Event(), asyncio.Event()
        lab.answers["b1"] = [DOWN]
        lab.read(trigger("a1"), trigger("a2"), trigger("b1", "bob"))
        lab.read(action("n1", "eve", not_before=None), partition=OTHER)
        await lab.settle()
        releasing = asyncio.create_task(lab.delivery.release([PARTITION], 60))
        await lab.settle()
        lab.held["a1"].set()
        lab.held["b1"].set()
        await releasing
        # What was taken meanwhile is committed; what was not is for the other one.
        assert OpenPosition(1) == lab.delivery.positions()[PARTITION]
        lab.delivery.forget([PARTITION])
        await lab.settle(after_ms=HOUR_MS)

    lab = told(story)
    assert {"a1", "b1", "n1"} == set(lab.sent)
    assert ({"delivered": 2}, 0) == (lab.fates(), lab.delivery.pending)


def test_what_hangs_does_not_keep_a_partition_from_going() -> None:
    async def story(lab: Lab) -> None:
        lab.held["a1"] = asyncio.Event()
        lab.read(trigger("a1"))
        await lab.settle()
        await lab.delivery.release([PARTITION], 0.01)

    lab = told(story)
    assert (0, 0, {}) == (lab.open_from(), lab.delivery.pending, lab.fates())


def test_one_of_which_no_request_can_be_made_is_set_aside_and_others_go_on() -> None:
    async def story(lab: Lab) -> None:
        made = lab.delivery._composer.request

        def fail(message: Message, at_s: int) -> Request:
            if message.id == "a1":
                raise LookupError
            return made(message, at_s)

        lab.delivery._composer.request = fail  # type: ignore[method-assign]
        lab.read(trigger("a1"), trigger("a2"))
        await lab.settle()

    lab = told(story)
    assert ([("a1", "unsendable")], ["a2"]) == (lab.aside, lab.sent)


def test_what_is_no_decision_is_left_out_and_counted() -> None:
    async def story(lab: Lab) -> None:
        lab.read(b"nonsense", b"", trigger("a1"))
        lab.read(action("none", action=None, channel=None, due_at=None), partition=OTHER)
        await lab.settle()

    lab = told(story)
    assert (["a1"], 3, 1) == (lab.sent, lab.open_from(), lab.open_from(OTHER))
    assert 2 == lab.metrics._foreign.labels("crm")._value.get()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, {"t", "n", WITHDRAWAL.id}),
        ({"kinds": ("cart-abandoned",)}, {"t"}),
        ({"kinds": ("churn-risk",)}, set()),
        ({"kinds": ("next-best-action",)}, {"n", WITHDRAWAL.id}),
        ({"kinds": ("action-withdrawn",)}, {WITHDRAWAL.id}),
        ({"channels": ("email",)}, {"n", WITHDRAWAL.id}),
        ({"channels": ("sms",)}, set()),
        ({"groups": ("control",)}, {"c"}),
        ({"groups": ("treated", "control")}, {"t", "n", "c", WITHDRAWAL.id}),
        ({"erased": True, "kinds": ("churn-risk",)}, {"e-retention-triggers"}),
    ],
)
def test_an_endpoint_gets_what_it_asks_for(rule: dict[str, Any], expected: set[str]) -> None:
    async def story(lab: Lab) -> None:
        lab.read(trigger("t"), trigger("c", "eve", group="control"), trigger("x", group=None))
        lab.read(action("n", not_before=None), WITHDRAWAL, partition=OTHER)
        lab.read(notice("nobody", NOW_MS))
        await lab.settle()

    assert expected == set(told(story, **rule).sent)


def test_the_log_says_once_that_an_endpoint_fails_why_and_when_it_answers_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(lab: Lab) -> None:
        lab.answer = HttpAnswer(HttpVerdict.RETRY, "address")
        lab.read(*(trigger(f"t{number}", f"c{number}") for number in range(20)))
        for _ in range(20):
            await lab.settle(after_ms=10_000)
        lab.answer = TAKEN
        for _ in range(3):
            await lab.settle(after_ms=10_000)

    caplog.set_level("INFO")
    told(story)
    assert 2 == len(caplog.messages)
    assert "crm fails (the url leads to an address that is not public" in caplog.messages[0]
    assert "crm answers again" == caplog.messages[1]


def test_the_log_says_once_a_reason_that_something_is_set_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(lab: Lab) -> None:
        lab.answer = HttpAnswer(HttpVerdict.REFUSED, "401")
        lab.read(*(trigger(f"t{number}", f"c{number}") for number in range(20)))
        await lab.settle(after_ms=1_000)

    lab = told(story)
    assert 20 == len(lab.aside)
    [line] = caplog.messages
    assert line.startswith("crm: t")
    assert "is set aside (401), as others may be for that: see `keepstream undelivered" in line
    fields = caplog.records[0].__dict__["fields"]
    assert {"decisionId", "topic", "partition", "offset"} == fields.keys()
