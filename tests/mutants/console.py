"""Protections of the console: who may see it, what it may change, and what its URLs may contain."""

from tests.mutants.mutant import Mutant

SITE = "tests/agents/console/test_site.py::test_{}"

CONSOLE = (
    Mutant(
        "no page of the console before a login",
        "agents/console/site.py",
        '        if session is None:\n            raise web.HTTPSeeOther("/login")\n',
        "",
        SITE.format("nobody_sees_a_page_before_they_log_in"),
    ),
    Mutant(
        "a form of the console has its session's token",
        "agents/console/site.py",
        '        if request.method == "POST":\n            given',
        "        if False:\n            given",
        SITE.format("a_form_that_is_not_of_the_session_changes_nothing"),
    ),
    Mutant(
        "a form of the console comes from its own pages",
        "agents/console/site.py",
        "return origin is None or urlsplit(origin).netloc == request.host",
        "return True",
        SITE.format("a_form_that_is_not_of_the_session_changes_nothing"),
    ),
    Mutant(
        "a viewer puts no dead letters back",
        "agents/console/pipeline_pages.py",
        "        if not session.is_operator:\n            raise web.HTTPForbidden\n",
        "",
        SITE.format("a_viewer_puts_nothing_back"),
    ),
    Mutant(
        "a session of the console is over when somebody logs out",
        "agents/console/login_pages.py",
        '        self._console.sessions.close(request.cookies.get(cookie_name(request), ""))\n',
        "",
        SITE.format("whoever_logs_out_is_out"),
    ),
    Mutant(
        "a session of the console ends by itself",
        "agents/console/sessions.py",
        "self._now_s() < session.until_s",
        "True",
        SITE.format("a_session_ends_by_itself_and_the_oldest_gives_way"),
    ),
    Mutant(
        "what pages are given is escaped",
        "agents/console/rendering.py",
        "autoescape=True",
        "autoescape=False",
        SITE.format("a_customer_who_is_called_like_a_script_is_shown_and_not_run"),
    ),
    Mutant(
        "ids are sealed in addresses of pages",
        "agents/console/marks.py",
        "sealed = self._cipher.encrypt(customer.encode(), None)",
        "return customer",
        SITE.format("no_address_on_the_live_page_names_a_customer"),
    ),
    Mutant(
        "a spreadsheet runs nothing of a list",
        "agents/console/pages/customer_lists.py",
        'return f"\'{cell}" if cell.startswith(_FORMULA_SIGNS) and not _is_number(cell) else cell',
        "return cell",
        "tests/agents/console/test_pages.py::test_a_spreadsheet_runs_nothing_of_a_list",
    ),
)
