"""`GET /customers`: strict parsing of the query of a list, and its answer."""

from collections.abc import Mapping
from difflib import get_close_matches

import msgspec
from aiohttp import web
from msgspec import structs

from agents.customer_lists import CustomerLists
from agents.web.operations import CUSTOMERS, IncompleteList, WhyNot
from config.parameters import Parameters
from models.customer_list import TOP, CustomerList, QuestionError, question
from models.events.times import LATEST_MS, iso, milliseconds, moment_of

NAMES = tuple(parameter.name for parameter in CUSTOMERS.parameters)
#: For an answer that is likely to change soon.
RETRY = {"Retry-After": "1"}
INCOMPLETE = 503
_YES, _NO = ("true", "1"), ("false", "0")


async def answer(
    query: Mapping[str, str], lists: CustomerLists, parameters: Parameters
) -> web.Response:
    """The list as JSON; 400 for an invalid query; 503 if partitions are missing, unless ``partial``
    accepts that.
    """
    try:
        asked = question(
            parameters,
            where=query.get("where", ""),
            by=query.get("by", ""),
            shown=query.get("show", "").split(","),
            top=_whole(query.get("top", str(TOP)), "top"),
            cursor=query.get("cursor", ""),
            by_segment=_flag(query.get("by_segment", "false"), "by_segment"),
            count=query.get("count", ""),
        )
        _require_known(query)
        as_of_ms = _moment(query["as_of"]) if query.get("as_of") else None
        is_partial = _flag(query.get("partial", "false"), "partial")
        only = query.get("partitions")
        numbers = None if only is None else _numbers(only, lists.partitions)
        if as_of_ms is not None and not is_partial:
            _require_to_come(as_of_ms, lists)
    except QuestionError as error:
        told = msgspec.json.encode(WhyNot(str(error)))
        return web.Response(body=told, status=400, content_type="application/json")
    if numbers is None:
        found = await lists.over_all(asked, as_of_ms, query)
    else:
        found = await lists.over(numbers, asked, as_of_ms)
    is_whole = is_partial or not found.unanswered
    return web.Response(
        body=_with_message(found) if not is_whole else msgspec.json.encode(found),
        status=200 if is_whole else INCOMPLETE,
        content_type="application/json",
        headers=None if is_whole else RETRY,
    )


def _with_message(found: CustomerList) -> bytes:
    missing = ", ".join(str(one.partition) for one in found.unanswered)
    message = (
        f"the customers of partition {missing} are missing: `unanswered` says why; ask again, or "
        f"with partial=true for the others alone"
    )
    return msgspec.json.encode(IncompleteList(message=message, **structs.asdict(found)))


def _require_known(query: Mapping[str, str]) -> None:
    for name in query:
        if name not in NAMES:
            close = get_close_matches(name, NAMES, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(NAMES)}"
            raise QuestionError(f"{name!r} is nothing to ask a list: {meant}")


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise QuestionError(f"{name} is a whole number, not {text!r}")
    return int(text)


def _numbers(text: str, partitions: int) -> list[int]:
    found = sorted({_whole(number, "partitions") for number in text.split(",")})
    if found[-1] >= partitions:
        raise QuestionError(f"partitions are from 0 to {partitions - 1}, not {found[-1]}")
    return found


def _require_to_come(as_of_ms: int, lists: CustomerLists) -> None:
    """Refuse a moment that has already passed here, because retrying would not help. Other workers
    report for their own partitions what they have passed.
    """
    if (reached_ms := lists.reached_ms()) > as_of_ms:
        raise QuestionError(
            f"as_of is a moment that is still to come, and {iso(reached_ms)} is reached: rows do "
            f"not know what was before (with partial=true partitions that are not there yet answer)"
        )


def _flag(text: str, name: str) -> bool:
    if text not in _YES + _NO:
        raise QuestionError(f"{name} is true or false, not {text!r}")
    return text in _YES


def _moment(text: str) -> int:
    # In a query that was not escaped, + is a blank.
    moment = moment_of(text)
    if moment is None or not 0 < milliseconds(moment) < LATEST_MS:
        raise QuestionError(f"as_of is a moment such as 2026-03-01T10:00:00Z, not {text!r}")
    return milliseconds(moment)
