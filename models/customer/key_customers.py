"""Key customers, whom a shop must not lose: by how satisfied and loyal they are, what they can
spend, and whether they pay in time.

A side that is not known counts neither as nothing nor as the best: the mean is over the known ones,
and is shown with how many these are. It is computed when scores are made for good: at the end of a
purchase day and at check-ins.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import nan
from typing import Annotated, Final

from msgspec import Struct, field

from config.duration import DAY_MS
from config.limits import ASCENDING, NOT_NEGATIVE, NotNegative, PositiveInt, PositiveMs
from config.parameters import Parameters, Section
from models.customer.decay import decayed
from models.customer.edges import of_timer
from models.customer.invoices import (
    EVENTS,
    Solvency,
    credit_percent,
    note,
    united_credit,
)
from models.customer.life_stages import CustomerClass, is_last_look
from models.customer.lifecycle import customer_class
from models.customer.motion import FOUND
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Told, is_joined
from models.customer.prices import full_price_share
from models.customer.purchase_state import Purchases
from models.customer.purchase_windows import first_purchase_ms
from models.customer.purchases import history, purchases, window_365d
from models.customer.row import State
from models.customer.scene import Context, Scene
from models.customer.scores import expected_spend_90d
from models.customer.support import support
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso_or_none
from models.learning.tallies import NO_DAY, Tallies
from models.measures import Measure, Sample
from models.money import minor_per_unit

KEY_CHANGED: Final = "key-customer-changed"
_YEAR_DAYS: Final = 365
#: The purchase days of a year, and the years, that give full loyalty.
_DAYS_MOST, _YEARS_MOST = 12, 3.0
#: The weights of loyalty: purchase days, years, and purchases at full price.
_LOYALTY_WEIGHTS: Final = (0.5, 0.3, 0.2)
#: The upper ends of bins of purchasing power in typical orders; there is one more above them.
_ENDS: Final = tuple(2.0 ** (step / 2) for step in range(-4, 17))
_BIN_KEYS: Final = tuple(f"power:{place}" for place in range(len(_ENDS) + 1))
_UNKNOWN: Final = -1


class KeyParameters(Section, frozen=True):
    section = "key_customers"
    enabled: bool
    key: NotNegative
    key_until: NotNegative
    least_known: PositiveInt
    credit: NotNegative
    weights: Annotated[tuple[float, float, float, float], NOT_NEGATIVE]
    half_life: PositiveMs
    credit_half_life: PositiveMs
    power: Annotated[tuple[float, ...], ASCENDING, NOT_NEGATIVE]

    def problems(self) -> Iterator[str]:
        """Limits that are not in order, or that nobody can reach."""
        if not self.key_until <= self.key <= 100:
            yield "key_customers: key is 100 at most, and key_until no more than key"
        if self.least_known > len(self.weights):
            yield f"key_customers.least_known is {len(self.weights)} at most: there are no more"
        if not any(self.weights):
            yield "key_customers.weights: one of them must be more than 0"


class KeyCustomer(State):
    """``credit``: invoices and assessments; ``percents``: satisfaction, loyalty, power and credit
    at the last look, -1 for what is not known; ``is_key`` since ``since_ms``; ``bin``: of their
    power in the sums over all customers.
    """

    credit: Solvency = field(default_factory=Solvency)
    percents: list[int] = field(default_factory=list)
    is_key: bool = False
    since_ms: int = 0
    bin: int = _UNKNOWN


def _record(state: KeyCustomer, event: Event, scene: Scene) -> None:
    note(state.credit, event, scene.parameters.money)


def _look(scene: Scene) -> None:
    """Compute the four sides, and whether they make a key customer."""
    bought, state = scene.of(purchases), scene.row.read(KEY_CUSTOMERS)
    if is_last_look(bought, scene.at_ms, scene.context.check_in_ms):
        # A customer without a purchase in a year, or who gave everything back, is not ranked.
        _find(state, [], scene)
        return
    section, power = scene.parameters.of(KeyParameters), _power(scene)
    percents = [
        _satisfaction(scene),
        _loyalty(bought, scene),
        _UNKNOWN if power is None else round(power.percent),
        _credit(state.credit, section, scene),
    ]
    # Lost customers cannot be kept: `customer-lost` is for them.
    is_lost = scene.of(customer_class) == CustomerClass.LOST
    is_key = not is_lost and _is_key(percents, section, was_key=state.is_key)
    _find(state, percents, scene, place=_UNKNOWN if power is None else power.bin, is_key=is_key)


def _find(
    state: KeyCustomer,
    percents: list[int],
    scene: Scene,
    *,
    place: int = _UNKNOWN,
    is_key: bool = False,
) -> None:
    """Keep the result of a look, and report what changed."""
    if percents == state.percents and is_key is state.is_key and place == state.bin:
        return
    before, state = _sums(state), scene.row.edit(KEY_CUSTOMERS)
    if is_key != state.is_key:
        scene.raise_moment(KEY_CHANGED)
        state.is_key, state.since_ms = is_key, scene.at_ms
    state.percents, state.bin = percents, place
    KEY_CUSTOMERS.tell_changes(scene, before, _sums(state))


def _is_key(percents: Sequence[int], section: KeyParameters, *, was_key: bool) -> bool:
    if 0 <= percents[-1] < section.credit:
        # A customer who does not pay is no key customer, whatever they order.
        return False
    if _known(percents) < section.least_known:
        # Nearly every customer: few answer surveys, or get an invoice.
        return False
    score = mean_of(percents, section)
    return score is not None and score >= (section.key_until if was_key else section.key)


def mean_of(percents: Sequence[int], section: KeyParameters) -> float | None:
    """The weighted mean of the known sides; None if no side with a weight is known."""
    weights = total = 0.0
    for percent, weight in zip(percents, section.weights, strict=True):
        if percent != _UNKNOWN:
            weights += weight
            total += weight * percent
    # Rounded, so that 75 is 75 whichever sides it comes from.
    return round(total / weights, 6) if weights else None


def _known(percents: Sequence[int]) -> int:
    return len(percents) - percents.count(_UNKNOWN)


def _satisfaction(scene: Scene) -> int:
    """The mean of the last answers of each kind, with decaying weights."""
    answers = scene.of(support).answers
    if not answers:
        return _UNKNOWN
    half_life_ms = scene.parameters.of(KeyParameters).half_life
    weights = total = 0.0
    for _, answer in sorted(answers.items()):
        weight = decayed(1.0, scene.at_ms - answer.at_ms, half_life_ms)
        weights += weight
        total += weight * answer.share
    return round(100.0 * total / weights) if weights else _UNKNOWN


def _loyalty(bought: Purchases, scene: Scene) -> int:
    """How often and for how long the customer has bought, and how much at full price; not known
    without a purchase.
    """
    if not bought.last_at_ms:
        return _UNKNOWN
    days = len(bought.days) - bisect_right(bought.days, scene.at_ms // DAY_MS - _YEAR_DAYS)
    years = max(scene.at_ms - first_purchase_ms(bought), 0) / (_YEAR_DAYS * DAY_MS)
    of_days, of_years, of_price = _LOYALTY_WEIGHTS
    total = of_days * min(days / _DAYS_MOST, 1.0) + of_years * min(years / _YEARS_MOST, 1.0)
    share = scene.of(full_price_share)
    if share is None:
        return round(100.0 * total / (of_days + of_years))
    return round(100.0 * (total + of_price * share))


class _Power(Struct, frozen=True, gc=False):
    """The bin of what the customer bought in a year and is expected to buy, and its rank."""

    bin: int
    percent: float


def _power(scene: Scene) -> _Power | None:
    """None without a purchase in a year."""
    orders, net_minor = scene.of(window_365d)
    if not orders:
        return None
    parameters = scene.parameters
    section, typical = parameters.of(KeyParameters), parameters.value.typical_order
    amount_minor = net_minor + (scene.of(expected_spend_90d) or 0.0)
    amount = amount_minor / minor_per_unit(parameters.money.currency)
    place, up_to = bisect_left(_ENDS, amount / typical), scene.context.of(_customers_up_to)
    all_of_them = up_to[-1]
    if all_of_them and all_of_them >= parameters.learning.minimum_examples:
        return _Power(place, 100.0 * up_to[place] / all_of_them)
    return _Power(
        place, 100.0 * (1 + bisect_left(section.power, amount)) / (len(section.power) + 1)
    )


def _customers_up_to(context: Context) -> list[int]:
    """How many customers there are up to the end of each bin."""
    sums = context.snapshot.of(Tallies).parts.get(KEY_CUSTOMERS.name, {})
    return [*accumulate(sums.get(key, 0) for key in _BIN_KEYS)]


def _credit(known: Solvency, section: KeyParameters, scene: Scene) -> int:
    if not known.invoices and not known.assessed_ms:
        return _UNKNOWN
    typical, money = scene.parameters.value.typical_order, scene.parameters.money
    percent = credit_percent(known, scene.at_ms, section.credit_half_life, typical, money)
    if percent is None:
        return _UNKNOWN
    # Sums of floats may differ a little from the exact value.
    exact, whole = round(percent, 6), round(percent)
    # Credit below the limit is not rounded up to it.
    return whole - 1 if exact < section.credit <= whole else whole


def _sums(state: KeyCustomer) -> list[Sum]:
    """One customer's share of the sums."""
    sums: list[Sum] = [("key", NO_DAY, 1)] if state.is_key else []
    if state.bin != _UNKNOWN:
        sums.append((_BIN_KEYS[state.bin], NO_DAY, 1))
    return sums


def _reunited(scene: Scene, before: KeyCustomer, other: KeyCustomer, sign: int) -> None:
    if is_joined(scene, sign) and (known := before if before.percents else other).percents:
        state = scene.row.edit(KEY_CUSTOMERS)
        state.is_key, state.since_ms, state.bin = known.is_key, known.since_ms, known.bin
        state.percents = list(known.percents)
    KEY_CUSTOMERS.tell_anew(scene, before, other, sign, _sums)


def _united(states: Sequence[KeyCustomer], _parameters: Parameters) -> KeyCustomer:
    """One person's invoices. Until the person is looked at, whether they are a key customer is the
    result of the id that changed last.
    """
    latest = max(states, key=_came, default=KeyCustomer())
    return KeyCustomer(
        united_credit(state.credit for state in states),
        list(latest.percents),
        latest.is_key,
        latest.since_ms,
        latest.bin,
    )


def _came(state: KeyCustomer) -> tuple[int, int, list[int]]:
    return state.since_ms, state.bin, state.percents


def _percent_fact(place: int, words: str, about: str) -> Fact:
    def percent(scene: Scene) -> float:
        percents = scene.row.read(KEY_CUSTOMERS).percents
        known = percents[place] if percents else _UNKNOWN
        return float(known) if known != _UNKNOWN else nan

    return Fact(
        percent,
        words,
        f"0 to 100, when last looked at: {about}",
        least=0.0,
        most=100.0,
        moves=FOUND,
    )


def _score(scene: Scene) -> float:
    percents = scene.row.read(KEY_CUSTOMERS).percents
    found = mean_of(percents, scene.parameters.of(KeyParameters)) if percents else None
    return nan if found is None else found


def _is_key_now(scene: Scene) -> float:
    state = scene.row.read(KEY_CUSTOMERS)
    return float(state.is_key) if state.percents else nan


FACTS = {
    "key_customer": Fact(
        _is_key_now,
        "{}",
        "1 for a key customer, 0 for other customers",
        least=0.0,
        most=1.0,
        answers=("no key customer", "a key customer"),
        whole=True,
        moves=FOUND,
    ),
    "key_score": Fact(
        _score,
        "{:.0f} of 100 as a key customer",
        "0 to 100: the mean of satisfaction, loyalty, power and credit, of those that are known",
        least=0.0,
        most=100.0,
        moves=FOUND,
    ),
    "key_known": Fact(
        lambda s: float(_known(s.row.read(KEY_CUSTOMERS).percents)),
        "by {:.0f} of 4",
        "how many of these four are known",
        least=0.0,
        most=4.0,
        whole=True,
        moves=FOUND,
    ),
    "key_satisfaction": _percent_fact(
        0, "satisfaction {:.0f} of 100", "the last answers to surveys, which fade"
    ),
    "key_loyalty": _percent_fact(
        1,
        "loyalty {:.0f} of 100",
        "purchase days of a year, years, and what was bought at full price",
    ),
    "key_power": _percent_fact(
        2,
        "power: as much as {:.0f} of 100 customers, or more",
        "rank by what they bought in a year and will buy in 90 days",
    ),
    "credit": _percent_fact(
        3, "credit {:.0f} of 100", "as assessed, else the share of invoices paid in time, by amount"
    ),
}


class KeyView(Struct, frozen=True, rename="camel"):
    """``score`` is the mean of the other known values, each from 0 to 100, at the last look;
    ``since``: since when they have been a key customer, or none.
    """

    is_key: bool
    since: str | None
    score: float | None
    satisfaction: int | None
    loyalty: int | None
    power: int | None
    credit: int | None


def _view(scene: Scene) -> KeyView | None:
    """None before the first look, and if the part is switched off."""
    state, parameters = scene.row.read(KEY_CUSTOMERS), scene.parameters
    if not state.percents or not KEY_CUSTOMERS.is_on(parameters):
        return None
    known = [None if percent == _UNKNOWN else percent for percent in state.percents]
    score = mean_of(state.percents, parameters.of(KeyParameters))
    return KeyView(state.is_key, iso_or_none(state.since_ms), score, *known)


def _in_words(view: KeyView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None or view.score is None:
        return
    sides = {name: getattr(view, name) for name in ("satisfaction", "loyalty", "power", "credit")}
    told = ", ".join(f"{name} {value}" for name, value in sides.items() if value is not None)
    since = f", since {how_long_before(view.since, as_of)}" if view.is_key else ""
    yield Line(
        "key customer", f"{'yes' if view.is_key else 'no'}{since}: {view.score:.0f} ({told})"
    )


_KEYS = Measure("keepstream_key_customers", "Customers whom the shop must not lose")


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    yield Sample(_KEYS, (), sums.get("key", 0))


KEY_CUSTOMERS: Part[KeyCustomer] = Part(
    name="key_customers",
    code="kc",
    about="Key customers, by satisfaction, loyalty, purchasing power and credit.",
    state=KeyCustomer,
    united=_united,
    reunited=_reunited,
    parameters=KeyParameters,
    has_own_file=True,
    events=EVENTS,
    listens=frozenset(EVENTS),
    record=_record,
    look=_look,
    take_up=_look,
    moments={KEY_CHANGED: "the customer has become a key customer, or is one no more"},
    reads=(
        customer_class,
        expected_spend_90d,
        full_price_share,
        history,
        purchases,
        support,
        window_365d,
    ),
    facts=FACTS,
    sections=(
        ProfileSection(
            "key_customer", KeyView | None, _view, _in_words, place=127, edge=of_timer("decision")
        ),
    ),
    population=Told(
        keys=lambda _parameters: ["key", *_BIN_KEYS],
        window_days=lambda _parameters: 0,
        measures=(_KEYS,),
        samples=_samples,
    ),
)
