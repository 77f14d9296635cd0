"""Customers: one found by id, or a list by a condition."""

from collections.abc import Sequence
from datetime import UTC, datetime

from aiohttp import web

from agents.console.console import Console
from agents.console.knowledge import CustomersAsked
from agents.console.ledger import look_in_ledger
from agents.console.pages.customer import customer_view
from agents.console.pages.customer_lists import EXAMPLES, Asked, list_as_csv, list_view
from models.customer.registry import FACTS
from models.customer_list import TOP, TOP_MAX
from models.events.ids import is_id
from streams.decision_ledger import Found, Question

#: Moments shown on a customer's page.
MOMENTS_MAX = 20
_TEXT_LENGTH_MAX = 4_000


def add_pages(application: web.Application, console: Console) -> None:
    pages = _CustomerPages(console)
    application.router.add_get("/customers", pages.search)
    application.router.add_get("/customers/list.csv", pages.download)
    application.router.add_post("/customers/find", pages.find)
    application.router.add_post("/customers/next", pages.go_on)
    application.router.add_get("/customers/{mark}", pages.show)


class _CustomerPages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._customers = CustomersAsked(console.settings)

    async def search(self, request: web.Request) -> web.Response:
        asked = _asked(dict(request.query))
        return await self._listed(request, asked, "")

    async def go_on(self, request: web.Request) -> web.Response:
        """The next page of a list. Its cursor names a customer, so it is sent in a form and not in
        the address.
        """
        form = {name: str(value) for name, value in (await request.post()).items()}
        return await self._listed(request, _asked(form), form.get("cursor", ""))

    async def _listed(self, request: web.Request, asked: Asked, cursor: str) -> web.Response:
        listed, problem = None, ""
        if asked.is_asked:
            answer = await self._customers.customers(asked.query(TOP, cursor))
            problem = answer.problem
            listed = list_view(answer.found, asked.by) if answer.found is not None else None
        return self._searched(request, asked, listed=listed, problem=problem)

    async def download(self, request: web.Request) -> web.Response:
        asked = _asked(dict(request.query))
        answer = await self._customers.customers(asked.query(TOP_MAX))
        if answer.found is None:
            raise web.HTTPNotFound
        name = f"customers-{datetime.now(UTC):%Y-%m-%d}.csv"
        return web.Response(
            text=list_as_csv(list_view(answer.found, asked.by)),
            content_type="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def find(self, request: web.Request) -> web.Response:
        customer = str((await request.post()).get("customer", "")).strip()
        problem = "That is no id of a customer." if not is_id(customer) else ""
        if not problem:
            answer = await self._customers.profile(customer)
            if answer.profile is not None:
                mark = self._console.marks.mark(answer.profile.user_id)
                raise web.HTTPSeeOther(f"/customers/{mark}")
            problem = answer.note
        return self._searched(request, Asked(), missed=problem, customer=customer)

    async def show(self, request: web.Request) -> web.Response:
        customer = self._console.marks.customer(request.match_info["mark"])
        if customer is None:
            raise web.HTTPNotFound
        answer = await self._customers.profile(customer)
        if answer.profile is None:
            return self._searched(request, Asked(), missed=answer.note, customer=customer)
        known = self._console.memory.of_customer(answer.profile.user_id)[:MOMENTS_MAX]
        is_searched = "older" in request.query
        older = await self._older(answer.profile.user_id, known) if is_searched else []
        moments = [*known, *(older or [])]
        return self._console.page(
            request,
            "customer.html",
            "customers",
            customer=customer_view(answer.profile, self._console.currency, moments),
            note=answer.note if older is not None else "The ledger could not be read in time.",
            is_searched=is_searched,
        )

    async def _older(self, customer: str, known: Sequence[Found]) -> list[Found] | None:
        """The customer's latest moments that are in the ledger but not in memory, newest first."""
        found = await look_in_ledger(self._console.settings, Question(customer=customer))
        if found is None:
            return None
        return [one for one in reversed(found) if one not in known]

    def _searched(
        self,
        request: web.Request,
        asked: Asked,
        *,
        listed: object = None,
        problem: str = "",
        missed: str = "",
        customer: str = "",
    ) -> web.Response:
        return self._console.page(
            request,
            "customers.html",
            "customers",
            asked=asked,
            listed=listed,
            problem=problem,
            missed=missed,
            customer=customer,
            examples=EXAMPLES,
            facts=sorted(FACTS),
        )


def _asked(given: dict[str, str]) -> Asked:
    wanted = {name: given.get(name, "").strip()[:_TEXT_LENGTH_MAX] for name in Asked._fields}
    return Asked(**wanted)
