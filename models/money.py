"""Money as integers: amounts in a currency's smallest unit."""

#: The largest single amount, in minor units: sums of amounts must fit in 64 bits.
AMOUNT_MINOR_MAX = 10**15
#: Currencies without a smaller unit, and those with a thousand of them (ISO 4217); all others: 100.
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDS = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_PER_UNIT = {
    **dict.fromkeys(_WHOLE.split(), 1),
    **dict.fromkeys(_THOUSANDS.split(), 1_000),
}


def minor_per_unit(currency: str) -> int:
    """How many minor units make one unit of the currency."""
    return _MINOR_PER_UNIT.get(currency, 100)


def minor_units(amount: float, currency: str) -> int:
    """``amount`` in the currency's smallest unit, rounded, at most `AMOUNT_MINOR_MAX`."""
    return min(round(amount * minor_per_unit(currency)), AMOUNT_MINOR_MAX)


def in_words(amount_minor: int, currency: str) -> str:
    """An amount of minor units as people write it: ``1,234.50 EUR``, ``1,235 JPY``."""
    return f"{digits(amount_minor / minor_per_unit(currency), currency)} {currency}"


def digits(amount: float, currency: str) -> str:
    """An amount of the currency with as many decimals as it has, and without its name."""
    decimals = len(str(minor_per_unit(currency))) - 1
    return f"{amount:,.{decimals}f}"
