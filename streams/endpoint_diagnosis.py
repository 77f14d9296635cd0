"""Finds out whether endpoints get their decisions over HTTP: facts in, findings out."""

from collections.abc import Iterator

from streams.findings import Finding, counted, notice, ok, problem, unseen
from streams.vitals import DeploymentFacts, EndpointFact

#: It is normal that fewer decisions than this wait for an endpoint.
WAITING_MANY = 1_000


def endpoint_findings(facts: DeploymentFacts) -> Iterator[Finding]:
    """What is wrong with each endpoint; empty if there is none."""
    if facts.deliverer_error is not None:
        yield unseen(
            "endpoints",
            f"the deliverer does not say how its endpoints stand ({facts.deliverer_error})",
            "start `keepstream deliver`, or give --deliverer the address of its health and metrics",
        )
    told = [finding for endpoint in facts.endpoints for finding in _of(endpoint)]
    yield from told
    if facts.endpoints and not told:
        names = ", ".join(endpoint.name for endpoint in facts.endpoints)
        yield ok("endpoints", f"{names}: nothing was set aside, and what is decided is read")


def _of(endpoint: EndpointFact) -> Iterator[Finding]:
    name = endpoint.name
    waiting = f"{counted(endpoint.waiting, 'record')} of decisions wait"
    if endpoint.is_disabled:
        yield problem(
            "endpoints",
            f"{name} answered that it is gone (410), and gets nothing: {waiting}",
            "take it out of the file of endpoints, mend its url there, or start the deliverer anew",
        )
    elif endpoint.is_open:
        yield problem(
            "endpoints",
            f"{name} fails, and is only probed: {waiting}",
            "keepstream_webhook_failures_total has the reason; it goes on by itself",
        )
    elif not endpoint.deliverers:
        yield problem(
            "endpoints",
            f"nobody delivers to {name}: {waiting}",
            "start `keepstream deliver`; an endpoint that was taken out is forgotten after 7 days",
        )
    elif endpoint.waiting >= WAITING_MANY:
        yield notice(
            "endpoints",
            f"{waiting} for {name}",
            "raise its concurrency in the file of endpoints, if it does not shrink",
        )
    if endpoint.undelivered:
        yield notice(
            "endpoints",
            f"{counted(endpoint.undelivered, 'message')} for {name} were set aside",
            "`keepstream undelivered list` shows the reasons, `retry` sends them once more",
        )
