"""Checks that an amount is in the shop's currency, or in one with a rate."""

from typing import Any

from config.parameters import Money
from models.events.rejection import Reason, Rejected
from models.money import NO_CURRENCY, foreign, has_rate


def check_currency(properties: Any, at_ms: int, money: Money) -> None:
    """Refuse an amount in a currency that has no rate on its day. Raises ``Rejected``.

    A currency without an amount is ignored.
    """
    named = getattr(properties, "currency", None)
    if named is None or not getattr(properties, "has_amount", True):
        return
    code = foreign(named, money)
    if has_rate(code, at_ms, money):
        return
    path = "$.properties.currency"
    if code == NO_CURRENCY:
        # The value may be anything, so it is not quoted.
        raise Rejected(Reason.OUT_OF_RANGE, path, "no currency", "give it a code such as EUR")
    raise Rejected(
        Reason.OUT_OF_RANGE,
        path,
        f"not the shop's currency, which is {money.currency}, nor one with a rate on that day",
        f"--set money.currency={code} if that is the shop's, or give a rate: "
        f"--set money.rates.{code}=1.23 ({money.currency} for one {code})",
    )
