"""Sends events as a shop does: with a client library, from a process of its own.

``python -m tests.kafka.client_libraries NAME URL KEY COUNT`` sends ``COUNT`` orders, each of
another customer with an id that begins with ``NAME``, and an identify of the first one.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any


def _failed(error: object, _: object) -> None:
    raise SystemExit(f"not sent: {error}")


def segment(url: str, key: str, count: int) -> None:
    from segment.analytics import Client  # noqa: PLC0415 - one library a process

    _send("segment", Client(key, host=url, gzip=True, on_error=_failed), count)


def rudderstack(url: str, key: str, count: int) -> None:
    from rudderstack.analytics.client import Client  # noqa: PLC0415 - one library a process

    _send("rudderstack", Client(key, host=url, on_error=_failed), count)


def _send(name: str, client: Any, count: int) -> None:
    for number in range(count):
        order = {"order_id": f"o-{number}", "revenue": 5.0}
        client.track(f"{name}-{number}", "Order Completed", order)
    client.identify(f"{name}-0", {"plan": "gold"})
    client.flush()
    client.shutdown()


def posthog(url: str, key: str, count: int) -> None:
    from posthog import Posthog  # noqa: PLC0415 - one library a process

    client = Posthog(key, host=url, on_error=_failed)
    for number in range(count):
        order = {"order_id": f"o-{number}", "revenue": 5.0}
        client.capture("Order Completed", distinct_id=f"posthog-{number}", properties=order)
    client.set(distinct_id="posthog-0", properties={"plan": "gold"})
    client.flush()
    client.shutdown()


LIBRARIES: Mapping[str, Callable[[str, str, int], None]] = {
    "segment": segment,
    "rudderstack": rudderstack,
    "posthog": posthog,
}

if __name__ == "__main__":
    name, url, key, count = sys.argv[1:]
    LIBRARIES[name](url, key, int(count))
