"""Examines webhook endpoints for `streams.diagnosis`: consumer groups, and undelivered messages."""

import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer
from kafka import KafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from config import topics
from config.settings import Settings
from streams.recent_offsets import RecentOffsets
from streams.vitals import EndpointFact
from streams.webhooks.undelivered import unsettled_within
from streams.worker_group import committed_offsets, described

#: How long to wait for a deliverer's answer.
DELIVERER_S = 2.0
#: The facts that a deliverer reports about its endpoints, by metric.
_TOLD = {
    "keepstream_webhook_breaker_open": "is_open",
    "keepstream_webhook_disabled": "is_disabled",
}


async def undelivered_counts(
    reader: AIOKafkaConsumer, settings: Settings, log: RecentOffsets
) -> Mapping[str, int]:
    """How many messages of each endpoint are set aside and not settled; empty without the topic."""
    spans = [log.span(tp, 0) for tp in log.of(settings.topic(topics.UNDELIVERED))]
    found = await unsettled_within(reader, spans, settings)
    return Counter(refused.endpoint for refused in found)


def examine_endpoints(
    admin: KafkaAdminClient,
    settings: Settings,
    log: RecentOffsets,
    undelivered: Mapping[str, int],
    standing: Mapping[str, Mapping[str, bool]],
) -> tuple[EndpointFact, ...]:
    """Every endpoint that has a group or set-aside messages. ``standing``: the deliverer's
    report.
    """
    prefix = settings.endpoint_group("")
    groups = {str(found["group_id"]) for found in admin.list_groups()}
    grouped = {group.removeprefix(prefix) for group in groups if group.startswith(prefix)}
    return tuple(
        _endpoint(admin, settings, log, name, undelivered.get(name, 0), standing.get(name, {}))
        if name in grouped
        else EndpointFact(name, 0, 0, undelivered.get(name, 0), **standing.get(name, {}))
        for name in sorted({*grouped, *undelivered, *standing})
    )


def _endpoint(
    admin: KafkaAdminClient,
    settings: Settings,
    log: RecentOffsets,
    name: str,
    undelivered: int,
    standing: Mapping[str, bool],
) -> EndpointFact:
    group = settings.endpoint_group(name)
    committed = committed_offsets(admin, group, tries=1)
    waiting = 0
    for topic in topics.DELIVERED_TOPICS:
        for tp in log.of(settings.topic(topic)):
            at = committed[tp].offset if tp in committed else log.begins[tp]
            waiting += max(log.ends[tp] - at, 0)
    members = described(admin, group, tries=1)["members"] or ()
    return EndpointFact(name, waiting, len(members), undelivered, **standing)


def deliverer_standing(url: str) -> dict[str, dict[str, bool]]:
    """What the deliverer at ``url`` reports of its endpoints. Raises ``OSError`` or
    ``ValueError``.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address of a web server")
    # The scheme was checked, and the address comes from whoever runs the command.
    asked = urllib.request.urlopen(f"{url.rstrip('/')}/metrics", timeout=DELIVERER_S)  # noqa: S310
    with asked as answer:
        text = answer.read().decode("utf-8", "replace")
    found: dict[str, dict[str, bool]] = {}
    for name, endpoint, value in _samples(text):
        if (fact := _TOLD.get(name)) is not None:
            found.setdefault(endpoint, {})[fact] = bool(value)
    return found


def _samples(text: str) -> Iterable[tuple[str, str, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels.get("endpoint", ""), sample.value
