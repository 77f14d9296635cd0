"""Protections of webhooks to endpoints: none lost, in order, and none to a forbidden address."""

from tests.mutants.mutant import Mutant

UNIT = "tests/streams/webhooks/test_{}.py::test_{}"

WEBHOOKS = (
    Mutant(
        "a commit stays before what is open",
        "streams/webhooks/window.py",
        "return next(iter(self._open), self._next)",
        "return self._next",
        UNIT.format("window", "who_goes_on_from_a_commit_takes_what_was_open_and_nothing_else"),
    ),
    Mutant(
        "what is done beyond a hole is not sent again",
        "streams/webhooks/window.py",
        "        if offset in self._done:\n            return False\n",
        "",
        UNIT.format("window", "who_goes_on_from_a_commit_takes_what_was_open_and_nothing_else"),
    ),
    Mutant(
        "a position is of one topic",
        "streams/webhooks/window.py",
        'if topic_id and parts[1] not in (topic_id, "-"):',
        "if not parts[1]:",
        UNIT.format(
            "window", "what_was_committed_of_another_topic_of_this_name_counts_for_nothing"
        ),
    ),
    Mutant(
        "one message of a customer is tried at a time",
        "streams/webhooks/queue.py",
        "            if not lane or whose in self._busy:\n",
        "            if not lane:\n",
        UNIT.format("queue", "the_time_of_one_that_was_taken_out_is_nobody_elses"),
    ),
    Mutant(
        "what failed is tried before what came later",
        "streams/webhooks/queue.py",
        "deque()).appendleft(delivery)",
        "deque()).append(delivery)",
        UNIT.format("queue", "a_customers_next_waits_for_the_one_before_and_others_do_not"),
    ),
    Mutant(
        "a refusal is kept before its place counts as done",
        "streams/webhooks/delivery.py",
        "        await self._around.set_aside(delivery, reason)\n",
        "",
        UNIT.format("delivery", "a_refusal_is_kept_and_the_next_goes_on"),
    ),
    Mutant(
        "no attempt counts while the endpoint is away",
        "streams/webhooks/delivery.py",
        "delivery.failures += not was_open",
        "delivery.failures += 1",
        UNIT.format("delivery", "an_endpoint_that_is_away_loses_nothing_and_is_only_probed"),
    ),
    Mutant(
        "of who was erased nothing that waits is sent",
        "streams/webhooks/delivery.py",
        "            if self._by_customer[whose]:\n",
        "            if False:\n",
        UNIT.format("delivery", "of_who_was_erased_nothing_is_sent_any_more_and_the_news_is"),
    ),
    Mutant(
        "what is withdrawn while it waits is not sent",
        "streams/webhooks/delivery.py",
        "elif message.withdraws in self._by_id:",
        "elif False:",
        UNIT.format("delivery", "what_is_withdrawn_before_it_was_sent_is_not_sent"),
    ),
    Mutant(
        "what is too late is not sent",
        "streams/webhooks/messages.py",
        "return self.until_ms is not None and at_ms > self.until_ms",
        "return False",
        UNIT.format("delivery", "what_comes_too_late_is_not_sent_and_what_is_early_waits"),
    ),
    Mutant(
        "the address of a connection is looked at",
        "streams/webhooks/addresses.py",
        "if not allow_private and not is_public(address[0]):",
        "if False:",
        UNIT.format("sender", "this_machine_is_not_reached_by_any_name_unless_that_is_meant"),
    ),
    Mutant(
        "an IPv4 address within another one is seen",
        "streams/webhooks/addresses.py",
        "        if inner is not None:\n",
        "        if False:\n",
        UNIT.format("addresses", "an_inner_address_is_not_connected_to"),
    ),
    Mutant(
        "a redirect is not followed",
        "streams/webhooks/sender.py",
        "allow_redirects=False",
        "allow_redirects=True",
        UNIT.format("sender", "a_redirect_is_not_followed"),
    ),
    Mutant(
        "the id is signed, too",
        "streams/webhooks/signatures.py",
        'f"{message_id}.{at_s}."',
        'f"{at_s}."',
        UNIT.format("signatures", "the_official_library_verifies_it"),
    ),
    Mutant(
        "an id is one part of a path",
        "streams/webhooks/vendors.py",
        '.replace(".", "%2E")',
        "",
        UNIT.format("vendors", "an_id_is_one_part_of_a_path_whatever_is_in_it"),
    ),
    Mutant(
        "an endpoint gets the facts that it chose, and no others",
        "streams/webhooks/messages.py",
        '        data.pop("facts", None)\n',
        "",
        UNIT.format("messages", "a_body_has_the_facts_that_the_endpoint_chooses_and_no_others"),
    ),
    Mutant(
        "nothing is told of who refuses that who they are decides",
        "models/decisions/decide.py",
        "return Receipts(churn=None, churn_reason=None, value_at_stake=0.0)",
        "return Receipts(None, None, 0.0, _facts_told(scene))",
        "tests/models/test_facts_told.py::"
        "test_nothing_is_told_of_who_refuses_that_who_they_are_decides",
    ),
    Mutant(
        "no file is read that is half written",
        "agents/watched_files.py",
        "if self._seen != seen or (seen == self._known and not self._told):",
        "if seen == self._known and not self._told:",
        "tests/agents/test_watched_files.py::test_a_file_is_read_when_it_has_changed_and_rests",
    ),
    Mutant(
        "a key that was taken out is nobody's",
        "agents/collector/taking.py",
        "        self._known = KnownSources(senders, self._known)\n",
        "",
        "tests/agents/test_collector_sources.py::test_a_key_is_taken_and_revoked_without_a_restart",
    ),
)
