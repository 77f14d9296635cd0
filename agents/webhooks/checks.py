"""Checks of endpoints before anything is sent: whether they fit the rules, and what each would
receive.
"""

import difflib
from collections.abc import Collection, Iterator, Sequence
from time import time
from urllib.parse import urlsplit

from agents.webhooks.examples import as_asked_for
from config.endpoints import Endpoint
from config.parameters import Parameters
from config.rules import RuleError
from models.customer.registry import FACTS
from models.decisions.trigger import ACTION_WITHDRAWN, NEXT_BEST_ACTION, decode_decision
from streams.graves import Fingerprints
from streams.webhooks.addresses import NOT_PUBLIC, is_inner_literal
from streams.webhooks.destinations import Composer, Request
from streams.webhooks.messages import SEGMENT, SEGMENTS, message_of, wants
from streams.webhooks.templates import TemplateError

#: Headers that contain credentials.
_SECRET_HEADERS = ("authorization",)


def require_usable(endpoints: Sequence[Endpoint], parameters: Parameters) -> None:
    """Raise `RuleError` for an endpoint that asks for decisions or facts that do not exist, has an
    invalid template, or has the url of a forbidden address.
    """
    kinds = {rule.name for rule in parameters.triggers.triggers}
    kinds |= {NEXT_BEST_ACTION, ACTION_WITHDRAWN}
    channels = {action.channel for action in parameters.actions.actions}
    for endpoint in endpoints:
        for what, named, known in (
            ("kind", endpoint.rule.kinds, kinds),
            ("channel", endpoint.rule.channels, channels),
            ("segment", endpoint.rule.segments, segments_of(parameters)),
            ("fact", endpoint.rule.facts, FACTS),
        ):
            for name in named:
                if name not in known:
                    raise _refused(endpoint, _unknown(what, name, known))
        _require_told(endpoint, parameters)
        if not endpoint.rule.allow_private and is_inner_literal(urlsplit(endpoint.url).hostname):
            raise _refused(endpoint, NOT_PUBLIC)
        try:
            composer = Composer(endpoint)
        except TemplateError as error:
            raise _refused(endpoint, str(error)) from None
        if endpoint.rule.erased and not composer.understands_erasures:
            raise _refused(
                endpoint,
                f"erased: {endpoint.rule.to} knows customers by their ids, and that somebody was "
                f"erased is told without one: leave it out, and delete them there yourself",
            )


def segments_of(parameters: Parameters) -> dict[str, str]:
    """The segments that a customer may be in, each with the fact that has it."""
    named = FACTS[SEGMENT].values
    assert named is not None
    declared = [segment.name for segment in parameters.segments.segments]
    return {
        **dict.fromkeys(declared, SEGMENTS),
        **{str(name): SEGMENT for name in named(parameters)},
    }


def _require_told(endpoint: Endpoint, parameters: Parameters) -> None:
    rule, told = endpoint.rule, parameters.rules.facts
    known = segments_of(parameters)
    wanted = (*rule.facts, *dict.fromkeys(known[name] for name in rule.segments))
    for name in wanted:
        if name not in told:
            whole = ", ".join(f'"{one}"' for one in dict.fromkeys((*told, *wanted)))
            raise _refused(
                endpoint,
                f"no decision says {name}: set `facts = [{whole}]` in [rules] of the parameters, "
                "for workers, too, which tell it from then on",
            )


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"
    return f"there is no {what} {name!r}; {fix}"


def _refused(endpoint: Endpoint, problem: str) -> RuleError:
    return RuleError(f"{endpoint.rule.where}: {endpoint.name}: {problem}")


def told(endpoints: Sequence[Endpoint], decisions: Sequence[bytes]) -> Iterator[str]:
    """The HTTP requests that each endpoint would be sent for these decisions, as lines."""
    at_s = int(time())
    for endpoint in endpoints:
        composer = Composer(endpoint)
        yield f"{endpoint.name} ({endpoint.rule.to})"
        for content in decisions:
            decided = as_asked_for(decode_decision(content), endpoint.rule)
            message = message_of(decided, Fingerprints(), 0)
            if not wants(endpoint.rule, message):
                yield f"  {message.kind} of group {message.group}: not for it"
                continue
            yield from _as_http(endpoint, composer.request(message, at_s))
        yield ""


def _as_http(endpoint: Endpoint, request: Request) -> Iterator[str]:
    # An address from a file or a variable is a secret itself.
    where = request.url if endpoint.rule.url else f"(the address) {request.path}"
    yield f"  POST {where}"
    for name, value in request.headers.items():
        yield f"  {name}: {'***' if name.lower() in _SECRET_HEADERS else value}"
    yield f"  {request.body.decode()}"
