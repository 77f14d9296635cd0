"""The collector's answers, as clients understand them.

Clients read ``code`` and ``message`` of an error; without them some try again what will never do.
Two take anything but a 200 for a failure.
"""

import json
from collections.abc import Mapping

from aiohttp import web

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


def json_answer(content: Mapping[str, object], status: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(content).encode(),
        status=status,
        content_type="application/json",
        headers=ANY_ORIGIN,
    )


def error_answer(refused: Refused) -> web.Response:
    content = {"success": False, "code": refused.code, "message": refused.message}
    response = json_answer(content, refused.status)
    if refused.retry_s is not None:
        response.headers["Retry-After"] = str(refused.retry_s)
    return response
