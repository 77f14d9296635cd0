"""Money as integers: amounts in the shop's currency, in its smallest unit."""

from functools import lru_cache
from typing import Final

from config.duration import DAY_MS
from config.parameters import Money

#: The largest single amount, in minor units: sums of amounts must fit in 64 bits.
AMOUNT_MINOR_MAX = 10**15
#: Currencies without a smaller unit, and those with a thousand of them (ISO 4217); all others: 100.
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDS = "BHD IQD JOD KWD LYD OMR TND"
WITHOUT_DECIMALS: Final = frozenset(_WHOLE.split())
_MINOR_PER_UNIT = {
    **dict.fromkeys(WITHOUT_DECIMALS, 1),
    **dict.fromkeys(_THOUSANDS.split(), 1_000),
}


#: ISO 4217's code for amounts in no currency; it never has a rate.
NO_CURRENCY = "XXX"
_CODE_LENGTH = 3
#: Signs that mean one currency. Signs of several, such as those of the dollar and the yen, are not
#: here.
SIGNS: Final = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₩": "KRW",
    "₺": "TRY",
    "ZŁ": "PLN",
    "KČ": "CZK",
    "US$": "USD",
    "A$": "AUD",
    "AU$": "AUD",
    "CA$": "CAD",
    "NZ$": "NZD",
    "HK$": "HKD",
    "S$": "SGD",
    "NT$": "TWD",
    "R$": "BRL",
    "MX$": "MXN",
    "₫": "VND",
    "₪": "ILS",
    "₴": "UAH",
}
#: The cache is small: few currencies are named, again and again.
_CODES_MAX = 256


def minor_per_unit(currency: str) -> int:
    """How many minor units make one unit of the currency."""
    return _MINOR_PER_UNIT.get(currency, 100)


def minor_units(amount: float, currency: str) -> int:
    """``amount`` in the currency's smallest unit, rounded, at most `AMOUNT_MINOR_MAX`."""
    minor = round(amount * minor_per_unit(currency))
    return minor if minor < AMOUNT_MINOR_MAX else AMOUNT_MINOR_MAX


def foreign(named: str | None, money: Money) -> str:
    """The code of the currency that an event names; empty for the shop's own, or if none is
    named.
    """
    code = code_of(named)
    return "" if code == money.currency else code


@lru_cache(_CODES_MAX)
def code_of(named: str | None) -> str:
    """The code of a currency given by code or by a sign of its own; empty if none is named, and
    `NO_CURRENCY` for a text that is no currency.
    """
    text = (named or "").strip().upper()
    text = SIGNS.get(text, text)
    return text if not text or (len(text) == _CODE_LENGTH and text.isalpha()) else NO_CURRENCY


def has_rate(currency: str, at_ms: int, money: Money) -> bool:
    """Whether an amount of that day can be converted; ``currency`` is as `foreign` returns it."""
    return not currency or money.rate(currency, at_ms // DAY_MS) is not None


def rate_of(currency: str, at_ms: int, money: Money) -> float:
    """The rate on the day of ``at_ms``. Admission refuses amounts without one. For a day before the
    first rate, which only the day of another event can lead to, the first rate.
    """
    rate = money.rate(currency, at_ms // DAY_MS)
    return money.first_rate(currency) if rate is None else rate


def shop_minor(amount: float, currency: str, at_ms: int, money: Money) -> int:
    """``amount`` in minor units of the shop's currency, at the rate on the day of ``at_ms``;
    ``currency`` is as `foreign` returns it.
    """
    if currency:
        amount *= rate_of(currency, at_ms, money)
    return minor_units(amount, money.currency)


def in_words(amount_minor: int, currency: str) -> str:
    """An amount of minor units as people write it: ``1,234.50 EUR``, ``1,235 JPY``."""
    return f"{digits(amount_minor / minor_per_unit(currency), currency)} {currency}"


def digits(amount: float, currency: str, form: str = ",") -> str:
    """An amount with as many decimals as its currency has, without the currency's name. ``form``:
    what else a format says of a number, such as ``+,`` to show its sign.
    """
    decimals = len(str(minor_per_unit(currency))) - 1
    return f"{amount:{form}.{decimals}f}"
