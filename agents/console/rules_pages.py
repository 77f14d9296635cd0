"""The rules in words, and trials of a rule on the log."""

from aiohttp import web

from agents.console.console import Console
from agents.console.pages.rules import rules_view
from agents.console.trial import rule_text
from config.rules import RuleError, TriggerRule
from models.decisions.policy import compile_policy


def add_pages(application: web.Application, console: Console) -> None:
    pages = _RulesPages(console)
    application.router.add_get("/rules", pages.show)
    application.router.add_get("/rules/try", pages.ask)
    application.router.add_post("/rules/try", pages.begin)


class _RulesPages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._view = rules_view(compile_policy(console.parameters), console.parameters)
        self._rules = {rule.name: rule for rule in console.parameters.triggers.triggers}

    async def show(self, request: web.Request) -> web.Response:
        return self._console.page(request, "rules.html", "rules", rules=self._view)

    async def ask(self, request: web.Request) -> web.Response:
        """The editor of a rule, with the result of its latest trial."""
        rule = self._named(request.query.get("rule", ""))
        trial = self._console.trials.latest
        is_of_rule = trial is not None and trial.rule == rule.name
        text = trial.text if trial is not None and is_of_rule else rule_text(rule)
        return self._asked(request, rule, text, "")

    async def begin(self, request: web.Request) -> web.Response:
        form = await request.post()
        rule = self._named(str(form.get("rule", "")))
        text = str(form.get("text", "")).replace("\r\n", "\n")
        if self._console.trials.is_running:
            return self._asked(request, rule, text, "Another rule is being tried: wait for it.")
        try:
            self._console.trials.start(rule.name, text, tuple(self._rules.values()))
        except RuleError as error:
            return self._asked(request, rule, text, str(error))
        raise web.HTTPSeeOther(f"/rules/try?rule={rule.name}")

    def _asked(
        self, request: web.Request, rule: TriggerRule, text: str, problem: str
    ) -> web.Response:
        trials = self._console.trials
        latest = trials.latest
        return self._console.page(
            request,
            "trial.html",
            "rules",
            rule=rule.name,
            text=text,
            problem=problem,
            is_running=trials.is_running,
            trial=latest if latest is not None and latest.rule == rule.name else None,
        )

    def _named(self, name: str) -> TriggerRule:
        if (rule := self._rules.get(name)) is None:
            raise web.HTTPNotFound
        return rule
