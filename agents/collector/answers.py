"""The collector's answers, as clients understand them.

Clients read ``code`` and ``message`` of an error; without them some try again what will never do.
Two take anything but a 200 for a failure.
"""

import json
from collections.abc import Mapping

import msgspec
from aiohttp import web
from msgspec import Struct

from agents.collector.operations import NotTaken

#: Write keys say whose events they are, whichever page sends them.
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}


class Refused(Exception):
    """A request that is not taken: the ``status`` and ``code`` of the answer, a ``message``, and
    after how many whole seconds to try again, if that is of use.
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
