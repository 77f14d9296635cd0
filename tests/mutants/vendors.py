"""Protections of vendors' webhooks: who sent them, and that none of their content is lost."""

from tests.mutants.mutant import Mutant

COLLECTOR = "tests/agents/test_collector_webhooks.py"
SIGNATURES = "tests/models/test_signatures.py"

VENDORS = (
    Mutant(
        "a webhook is signed with a secret of its source",
        "agents/collector/taking.py",
        "        if not is_signed(rule, webhook.secrets, headers, content, now_ms):",
        "        if False:",
        COLLECTOR + "::test_what_is_not_signed_is_turned_away",
    ),
    Mutant(
        "a signature that has a time is not good for ever",
        "models/collecting/signatures.py",
        "    return rule.tolerance is None or abs(now_ms - at_ms) <= rule.tolerance\n",
        "    return True\n",
        SIGNATURES + "::test_a_signature_of_stripes_is_good_for_five_minutes",
    ),
    Mutant(
        "a time that is signed is a time, and no beginning of a body",
        "models/collecting/signatures.py",
        "        return False\n    at_ms = milliseconds(moment)\n",
        "        return True\n    at_ms = milliseconds(moment)\n",
        SIGNATURES + "::test_the_beginning_of_a_body_can_not_pass_for_a_time",
    ),
    Mutant(
        "a webhook that can't be used is kept as it came",
        "streams/collector/intake.py",
        "            rejected, webhook.body, step=WEBHOOK, sender=self._source, headers=headers\n",
        '            rejected, b"{}", step=WEBHOOK, sender=self._source, headers=headers\n',
        COLLECTOR + "::test_what_can_not_be_used_is_kept_as_it_came",
    ),
)
