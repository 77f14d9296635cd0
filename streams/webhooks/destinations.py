"""Composes requests: each destination's format of a message, according to its documentation.

docs/webhooks.md links the page of each format. No destination does I/O.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from config.endpoints import Endpoint
from streams.webhooks import vendors
from streams.webhooks.messages import Message, body_of, headline
from streams.webhooks.signatures import signed_headers
from streams.webhooks.templates import Template

GENERIC: Final = "generic"
JSON_TYPE: Final = {"Content-Type": "application/json"}


class Request(NamedTuple):
    """A request, always a POST; ``path``: what the destination adds to the endpoint's url."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    path: str = ""


class Destination(NamedTuple):
    """A format. ``content`` makes the values of a body, ``headers`` log in, ``path`` is appended to
    the endpoint's url. ``has_people``: whether it gets customers by their ids, so that a notice
    without an id means nothing to it. ``escape`` is applied to what a template puts into a text.
    """

    content: Callable[[Message, Endpoint], Any]
    headers: Callable[[Endpoint], Mapping[str, str]] = lambda _: {}
    path: Callable[[Message], str] = lambda _: ""
    has_people: bool = True
    escape: Callable[[str], str] = str


def _slack_text(text: str) -> str:
    """The text with mentions and links disabled for Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack(message: Message, _: Endpoint) -> Any:
    return {"text": _slack_text(headline(message.fields()))}


#: All formats except the generic one, whose body is signed.
DESTINATIONS: Mapping[str, Destination] = {
    "slack": Destination(_slack, has_people=False, escape=_slack_text),
    "customerio": Destination(vendors.customerio, vendors.basic, vendors.customerio_path),
    "braze": Destination(vendors.braze, vendors.key_after("Bearer"), lambda _: "/users/track"),
    "klaviyo": Destination(
        vendors.klaviyo,
        vendors.key_after(
            "Klaviyo-API-Key",
            **{"revision": vendors.KLAVIYO_REVISION, "Content-Type": "application/vnd.api+json"},
        ),
        lambda _: "/api/events",
    ),
    "hubspot": Destination(
        vendors.hubspot, vendors.key_after("Bearer"), lambda _: "/events/v3/send"
    ),
    "dittofeed": Destination(
        vendors.dittofeed, vendors.key_after("Basic"), lambda _: "/api/public/apps/track"
    ),
    "mautic": Destination(vendors.mautic, vendors.basic, lambda _: "/api/contacts/new"),
}


class Composer:
    """Makes one endpoint's requests."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises ``TemplateError``."""
        rule = endpoint.rule
        self._endpoint = endpoint
        self._destination = DESTINATIONS.get(rule.to)
        escape = self._destination.escape if self._destination else str
        self._template = Template(rule.template, escape, rule.facts) if rule.template else None
        self._keys = endpoint.signing_keys() if self._destination is None else ()

    @property
    def understands_erasures(self) -> bool:
        """Whether an erasure notice means anything to the destination."""
        return self._destination is None or not self._destination.has_people

    def request(self, message: Message, at_s: int) -> Request:
        """The request of a try at ``at_s``; every try has the same body."""
        body = self._body(message)
        if self._destination is None:
            headers = signed_headers(message.id, at_s, body, self._keys)
            return Request(self._endpoint.url, {**JSON_TYPE, **headers}, body)
        headers = {**JSON_TYPE, **self._destination.headers(self._endpoint)}
        path = self._destination.path(message)
        url = self._endpoint.url.rstrip("/") if path else self._endpoint.url
        return Request(url + path, headers, body, path)

    def _body(self, message: Message) -> bytes:
        if self._template is not None:
            fields = message.fields(self._endpoint.rule.facts)
            return self._template.render({"id": message.id, **fields})
        if self._destination is None:
            return body_of(message, self._endpoint.rule.facts)
        return msgspec.json.encode(self._destination.content(message, self._endpoint))
