"""A retry's handling of the log and of an endpoint's answers; without Kafka or HTTP."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agents.webhooks.examples import ACTION, TRIGGER, WITHDRAWAL
from config.endpoints import Endpoint, EndpointRule
from config.settings import Settings
from models.decisions.trigger import encode_decision
from models.events.erasure_record import ErasureNotice, encode_notice
from streams.graves import Fingerprints
from streams.webhooks.destinations import Request
from streams.webhooks.queue import LogPlace
from streams.webhooks.retrying import AWAY, LOST, REFUSED, _Found, _Reading, _Turn
from streams.webhooks.sender import HttpAnswer, HttpVerdict
from streams.webhooks.undelivered import UndeliveredMessage

TOPIC = "next-best-actions"
SETTINGS = Settings(deliver_max_age="0")
AT_ANY_TIME = msgspec.structs.replace(ACTION, due_at=None)


def notice(timestamp: str) -> bytes:
    return encode_notice(
        ErasureNotice(
            id="e",
            fingerprint=Fingerprints().of("ada").hex(),
            timestamp=timestamp,
            mode="DELETE_ONLY",
            was_known=True,
        )
    )


def read(*values: bytes, wanted: int = 0) -> _Reading:
    """The log of one partition, of which one record is wanted."""
    reading = _Reading(SETTINGS, {LogPlace(TOPIC, 0, wanted)})
    for offset, value in enumerate(values):
        reading.read(TOPIC, SimpleNamespace(value=value, partition=0, offset=offset))  # type: ignore[arg-type]
    return reading


@pytest.mark.parametrize(
    ("later", "fate"),
    [
        ([], None),
        ([encode_decision(WITHDRAWAL)], "withdrawn"),
        ([notice(ACTION.timestamp)], "erased"),
        # A request may be of before what it erases: the log has it after that.
        ([notice("2026-03-04T18:59:59.999Z")], "erased"),
        ([b"nonsense", encode_decision(TRIGGER)], None),
    ],
)
def test_what_the_log_says_later_holds(later: list[bytes], fate: str | None) -> None:
    reading = read(encode_decision(ACTION), *later)

    [(place, message)] = reading.messages.items()
    assert (ACTION.id, fate) == (message.id, reading.over.get(place))


def test_an_erasure_that_is_said_again_is_not_of_who_came_after_it() -> None:
    reading = read(
        notice(ACTION.timestamp), encode_decision(ACTION), notice(ACTION.timestamp), wanted=1
    )

    assert {} == reading.over


def refused(offset: int) -> UndeliveredMessage:
    return UndeliveredMessage(
        "crm", f"m{offset}", "t", TOPIC, 0, offset, "422", 1, ACTION.timestamp
    )


class Log:
    """What was settled."""

    def __init__(self) -> None:
        self.settled: list[int] = []

    async def settle(self, one: UndeliveredMessage) -> None:
        self.settled.append(one.offset)


def taken(answers: list[str], *, dry_run: bool = False) -> tuple[list[str], list[int], int]:
    """The fates of three records that are there and one that is lost, what was settled, how many
    posts.
    """
    values = [encode_decision(msgspec.structs.replace(AT_ANY_TIME, id=f"m{n}")) for n in range(3)]
    reading = _Reading(SETTINGS, {LogPlace(TOPIC, 0, n) for n in range(4)})
    for offset, value in enumerate(values):
        reading.read(TOPIC, SimpleNamespace(value=value, partition=0, offset=offset))  # type: ignore[arg-type]
    log, posts = Log(), 0

    class Posts:
        async def post(self, request: Request, now_ms: int) -> HttpAnswer:
            nonlocal posts
            posts += 1
            return HttpAnswer(HttpVerdict(answers.pop(0)), "x")

    rule = EndpointRule(name="crm", rate=10_000)
    settled: Any = None if dry_run else log
    turn = _Turn(
        Endpoint(rule, "https://x/", ()),
        Posts(),  # type: ignore[arg-type]
        _Found(reading.messages, reading.over),
        settled,
    )
    fates = asyncio.run(turn.take([refused(n) for n in range(4)]))
    return fates, log.settled, posts


def test_what_is_taken_is_settled_what_is_refused_stays_and_what_is_lost_is_told() -> None:
    assert (["delivered", REFUSED, "delivered", LOST], [0, 2, 3], 3) == taken(
        ["taken", "refused", "taken"]
    )


def test_an_endpoint_that_is_away_is_asked_once() -> None:
    assert ([AWAY] * 4, [], 1) == taken(["retry"])


def test_a_dry_run_sends_and_settles_nothing() -> None:
    assert (["delivered"] * 3 + [LOST], [], 0) == taken([], dry_run=True)
