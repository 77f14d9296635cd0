"""Makes a try at an endpoint a step of its event's trace, which the receiver can continue."""

from typing import TYPE_CHECKING

from streams.webhooks.destinations import Request
from streams.webhooks.queue import Delivery
from streams.webhooks.sender import HttpAnswer, HttpVerdict, Posts

if TYPE_CHECKING:
    # OpenTelemetry is optional.
    from streams.tracing import Traces


async def post_traced(
    traces: "Traces", sender: Posts, delivery: Delivery, request: Request, now_ms: int
) -> HttpAnswer:
    """Send the request, with the header `traceparent` if its event is traced."""
    about: dict[str, str | int] = {"decision": delivery.message.id, "try": delivery.tries}
    step = traces.follow("post", delivery.headers, about, is_client=True)
    if step is None:
        return await sender.post(request, now_ms)
    told = {**request.headers, "traceparent": step.traceparent}
    answer = await sender.post(request._replace(headers=told), now_ms)
    step.note({"answer": answer.reason})
    step.end("" if answer.verdict == HttpVerdict.TAKEN else answer.reason)
    return answer
