"""The protections that Keepstream's promises rest on, each with its test.

A mutant removes one protection. Its test must fail then: if it passes, it tests nothing.
"""

from tests.mutants.console import CONSOLE
from tests.mutants.delivery import DELIVERY
from tests.mutants.erasure import ERASURE
from tests.mutants.trust import TRUST
from tests.mutants.vendors import VENDORS
from tests.mutants.webhooks import WEBHOOKS

MUTANTS = (*CONSOLE, *DELIVERY, *ERASURE, *TRUST, *VENDORS, *WEBHOOKS)
