"""`GET /segments`: the declared segments, and `GET /segments/NAME`: the members of one."""

from difflib import get_close_matches

import msgspec
from aiohttp import web

from agents.customer_lists import CustomerLists
from agents.web import lists
from agents.web.operations import SEGMENT, SegmentInfo, SegmentList, WhyNot
from config.segments import SegmentRule
from models.customer_list import counts_by_segment, question
from models.plan import Plan
from models.segment_counts import SegmentCount, SegmentCounts

_NAMES = {parameter.name for parameter in SEGMENT.parameters if parameter.place == "query"}


class SegmentAnswers:
    """Answers questions about segments with lists over all partitions."""

    def __init__(self, listed: CustomerLists, plan: Plan) -> None:
        self._lists = listed
        self._parameters = plan.parameters
        #: The segments that customers enter and leave to the millisecond.
        self._exact = {one.name for one in plan.watch.segments if not one.timing.inexact}

    async def all_of_them(self, _request: web.Request) -> web.Response:
        """Every segment with the number of its members, over all partitions."""
        asked = question(self._parameters, top=1, by_segment=True)
        found = await self._lists.over_all(asked, None, {"top": "1", "by_segment": "true"})
        if found.unanswered:
            missing = ", ".join(str(one.partition) for one in found.unanswered)
            return _told(f"partition {missing} is missing: {found.unanswered[0].why}", 503)
        counts = counts_by_segment(found.partitions)
        told = SegmentList(
            [self._told_of(one, counts) for one in self._parameters.segments.segments],
            self._parameters.churn.check_in_days,
            found.partitions,
        )
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")

    def _told_of(self, rule: SegmentRule, counts: SegmentCounts) -> SegmentInfo:
        count = counts.get(rule.name, SegmentCount())
        return SegmentInfo(
            rule.name,
            rule.version,
            rule.when,
            rule.about,
            rule.announce,
            rule.name in self._exact,
            count.members,
            count.entered_day,
            count.entered_week,
            count.entered_four_weeks,
        )

    async def members_of(self, request: web.Request) -> web.Response:
        """A segment's members, in the form in which `GET /customers` answers."""
        name, query = request.match_info["name"], request.query
        known = [segment.name for segment in self._parameters.segments.segments]
        if name not in known:
            close = get_close_matches(name, known, n=1)
            fix = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            return _told(f"there is no segment {name!r}; {fix}", 404)
        if len(query) != len(set(query)):
            return _told("a name is asked twice", 400)
        for asked in query:
            if asked not in _NAMES:
                return _told(
                    f"{asked!r} is nothing to ask of a segment, only {', '.join(sorted(_NAMES))}: "
                    f'ask /customers with where="{name}" in segments and more',
                    400,
                )
        whole = {**query, "where": f'"{name}" in segments'}
        return await lists.answer(whole, self._lists, self._parameters)


def _told(message: str, status: int) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(WhyNot(message)),
        status=status,
        content_type="application/json",
        headers=lists.RETRY if status == lists.INCOMPLETE else None,
    )
