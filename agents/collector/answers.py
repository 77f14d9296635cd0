"""The collector's answers, in the form that clients understand.

Clients read the ``code`` and ``message`` of an error; without them, some retry requests that can
never succeed. Two clients treat every status but 200 as a failure.
"""

import json
from collections.abc import Mapping

import msgspec
from aiohttp import web
from msgspec import Struct

from agents.collector.operations import NotTaken

#: Any page may send events: the write key, not the origin, says whose they are.
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}


class Refused(Exception):
    """A refused request: the ``status`` and ``code`` of the answer, a ``message``, and the number
    of whole seconds after which to retry, if a retry is useful.
    """

    def __init__(self, status: int, code: str, message: str, retry_s: int | None = None) -> None:
        super().__init__(status, code, message, retry_s)
        self.status = status
        self.code = code
        self.message = message
        self.retry_s = retry_s


def json_answer(content: Mapping[str, object] | Struct, status: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(msgspec.to_builtins(content)).encode(),
        status=status,
        content_type="application/json",
        headers=ANY_ORIGIN,
    )


def error_answer(refused: Refused) -> web.Response:
    response = json_answer(NotTaken(False, refused.code, refused.message), refused.status)
    if refused.retry_s is not None:
        response.headers["Retry-After"] = str(refused.retry_s)
    return response
