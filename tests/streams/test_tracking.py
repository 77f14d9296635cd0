"""A program sends events by calls: valid ones are in their topic, others are refused at once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from config.settings import Settings, load_settings
from config.topics import CLICKSTREAM, FEEDBACK, SUPPORT, TRANSACTIONS
from models.events.wire import decode_line
from streams.embedded.kafka import EmbeddedKafka
from streams.publisher import RejectedEventError
from streams.topics import TopicsError, create_topics
from streams.tracking import Tracker
from tests.streams.records import read_back

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def settings(kafka: EmbeddedKafka) -> Settings:
    return load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix="tracking.")


@pytest.fixture(scope="module")
def shop(settings: Settings) -> Iterator[Tracker]:
    create_topics(settings)
    with Tracker(settings) as shop:
        yield shop


def test_without_topics_it_says_at_once_how_to_make_them(kafka: EmbeddedKafka) -> None:
    none = load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix="nowhere.")
    with pytest.raises(TopicsError, match="keepstream topics create"):
        Tracker(none)


def test_each_call_is_one_record_in_its_topic_keyed_by_customer(
    settings: Settings, shop: Tracker
) -> None:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    order = {"order_id": "o-1", "revenue": 80.0}
    ids = [
        shop.track("Order Completed", order, user_id="ada", timestamp=at, message_id="m-1"),
        shop.page({"path": "/"}, anonymous_id="v-1"),
        shop.screen(user_id=7),
        shop.identify({"email": "ada@example.com"}, user_id="ada"),
        shop.alias("v-1", user_id="ada"),
        shop.group("acme", {"employees": 40}, user_id="ada"),
        shop.track("Ticket Opened", {"ticket_id": "t-1"}, user_id="ada"),
        shop.track("Email Opened", user_id="ada", context={"channel": "email"}),
    ]
    shop.flush()
    records = read_back(settings)
    lines = {decode_line(record.value).message_id: record for record in records}

    assert ids[0] == "m-1"
    assert len(set(ids)) == len(ids)
    assert [lines[one].topic for one in ids] == [
        TRANSACTIONS,
        *[CLICKSTREAM] * 5,
        SUPPORT,
        FEEDBACK,
    ]
    assert [lines[one].key for one in ids] == [b"ada", b"v-1", b"7", *[b"ada"] * 5]
    assert lines["m-1"].value.startswith(b'{"type":"track","event":"Order Completed",')
    assert b'"2026-03-01T10:00:00+00:00"' in lines["m-1"].value


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda shop: shop.track("Order Completed", {}, user_id="ada"), "required_missing at"),
        (lambda shop: shop.track("Product Viewed"), "no_identity at"),
        (lambda shop: shop.page(user_id="null"), "no_identity at"),
        (lambda shop: shop.page(user_id="ada", timestamp="2026-03-01T10:00:00"), "its offset"),
        (lambda shop: shop.page({"what": object()}, user_id="ada"), "can't be written as JSON"),
        (lambda shop: shop.page(user_id="ada", timestamp="2999-01-01T00:00:00Z"), "out_of_range"),
    ],
)
def test_what_a_worker_would_refuse_is_refused_at_once(
    shop: Tracker, call: Callable[[Tracker], str], reason: str
) -> None:
    with pytest.raises(RejectedEventError, match=reason):
        call(shop)
