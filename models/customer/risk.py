"""The band of churn risk that a customer is in, and whether those who left complained before.

A band tells readers of a score what it means. It has two limits, one to enter and a lower one to
leave, so that a score that wavers about a limit does not move the customer. It is computed when
scores are made for good: at the end of a purchase day and at check-ins.

Silence of `episode` after a purchase is an episode of churn: one for each time a customer left,
however often they were scored meanwhile. It is silent churn if there was no complaint from
`heard_within` before that purchase on, in whatever order the events came.

Whether price-sensitive customers leave more than others is asked of all customers alike: after a
purchase, did they buy again within `episode`? The next question follows the next purchase after the
answer, so that frequent buyers do not count for more.
"""

from collections.abc import Iterator, Sequence
from math import nan
from typing import Final

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.churn_episodes import (
    hear_complaint,
    leave_after_all,
    leave_before,
    note_left,
    reconsider,
    take_back,
    take_back_unbegun,
)
from models.customer.consent import next_expiry, personalisation_refused
from models.customer.edges import of_timer
from models.customer.evidence import Review
from models.customer.evidence_words import REVIEWED, EvidenceParameters
from models.customer.motion import ending, since, steps
from models.customer.order_news import CANCELLED, COMPLETED, REFUNDED, UPDATED
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Timer, Told, is_joined
from models.customer.prices import sensitivity
from models.customer.purchase_windows import begun_within, first_from, last_until
from models.customer.purchases import purchases
from models.customer.risk_measures import (
    MEASURES,
    YEAR_BEFORE,
    band_key,
    keys,
    samples,
    stay_key,
    sums_of,
)
from models.customer.risk_state import Risk, RiskBand, RiskParameters, unpack_earlier
from models.customer.scene import Scene
from models.customer.scores import churn
from models.customer.support import is_poor
from models.customer.surveys import RESPONDED, Survey
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso
from models.learning.tallies import NO_DAY

BAND_CHANGED: Final = "band-changed"
_LAPSE: Final = "lapse"
_ORDERS = frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED})
#: Events that are complaints whatever they say.
_COMPLAINTS = frozenset({"Ticket Opened", "Ticket Reopened", "Ticket Escalated", "Complaint Filed"})


def _record(state: Risk, event: Event, scene: Scene) -> None:
    if event.name in _ORDERS:
        _wait(scene)
        _correct(state, scene, event.occurred_at_ms)
    elif _is_complaint(event, scene.parameters):
        hear_complaint(state, event.occurred_at_ms)
        if state.was_silent:
            before = sums_of(state)
            reconsider(state, scene.parameters.of(RiskParameters))
            RISK.tell_changes(scene, before, sums_of(state))


def _is_complaint(event: Event, parameters: Parameters) -> bool:
    said = event.properties
    if isinstance(said, Survey):
        return is_poor(said.kind, said.band, said.share, parameters.of(EvidenceParameters))
    if isinstance(said, Review):
        share = said.share
        return share is not None and share <= parameters.of(EvidenceParameters).poor
    return event.name in _COMPLAINTS


def _wait(scene: Scene) -> None:
    last_ms = scene.of(purchases).last_at_ms
    episode_ms = scene.parameters.of(RiskParameters).episode
    scene.row.set_due(_LAPSE, last_ms + episode_ms if last_ms else 0)


def _correct(state: Risk, scene: Scene, news_ms: int) -> None:
    """Correct the latest episode by what is known now, after an event of an order at that time."""
    row, reached_ms = scene.row, scene.row.latest_ms
    full_ms = max(row.due(_LAPSE).handled_ms, state.left_ms)
    if not full_ms and news_ms == reached_ms:
        return
    section, bought = scene.parameters.of(RiskParameters), scene.of(purchases)
    before = sums_of(state)
    take_back(state, bought, section)
    if news_ms <= state.left_ms:
        take_back_unbegun(state, bought, section, scene.parameters.money)
    _tell_left(scene, sums_of(state), before, -1)
    before, is_late = sums_of(state), news_ms < reached_ms
    is_new = is_late and leave_before(state, bought, news_ms, reached_ms, scene)
    if is_new or leave_after_all(state, bought, news_ms, full_ms, section):
        _tell_left(scene, before, sums_of(state), 1)


def _leave(scene: Scene) -> None:
    """The silence after the last purchase has become an episode of churn."""
    if not scene.of(purchases).last_at_ms:
        return
    state, before = scene.row.edit(RISK), sums_of(scene.row.read(RISK))
    note_left(state, scene.at_ms, scene.parameters.of(RiskParameters))
    _tell_left(scene, before, sums_of(state), 1)


def _tell_left(scene: Scene, fewer: Sequence[Sum], more: Sequence[Sum], sign: int) -> None:
    """Add what is new to the sums. An episode before the latest stays counted, as another time at
    which the customer left.
    """
    told = [
        (key, day, sign * amount) for key, day, amount in more if (key, day, amount) not in fewer
    ]
    if told:
        RISK.tell(scene, told)


def _take_up(scene: Scene) -> None:
    """Find the latest episode of churn by the purchases, and the band as the next look would."""
    row, section = scene.row, scene.parameters.of(RiskParameters)
    if row.read(RISK).left_ms:
        state, before = row.edit(RISK), sums_of(row.read(RISK))
        take_back(state, scene.of(purchases), section)
        _tell_left(scene, sums_of(state), before, -1)
    _wait(scene)
    after_ms = _latest_episode_after(scene)
    left_ms = after_ms + section.episode
    if after_ms and left_ms > row.read(RISK).left_ms:
        state, before = row.edit(RISK), sums_of(row.read(RISK))
        note_left(state, left_ms, section)
        _tell_left(scene, before, sums_of(state), 1)
    _look(scene)


def _latest_episode_after(scene: Scene) -> int:
    """The latest purchase after which silence was an episode of churn by now; 0 for none."""
    bought, episode_ms = scene.of(purchases), scene.parameters.of(RiskParameters).episode
    last_ms = bought.last_at_ms
    if not last_ms or last_ms + episode_ms <= scene.at_ms:
        return last_ms
    for day, next_day in zip(reversed(bought.days[:-1]), reversed(bought.days), strict=False):
        if (next_day - day + 1) * DAY_MS <= episode_ms:
            continue
        came_ms = first_from(bought, next_day * DAY_MS)
        before_ms = last_until(bought, came_ms - 1)
        if before_ms and before_ms + episode_ms <= min(came_ms - 1, scene.at_ms):
            return before_ms
    return 0


def _look(scene: Scene) -> None:
    """Find the band of the present score, and whether the customer stayed."""
    found, state = scene.of(churn), scene.row.read(RISK)
    if found is None or scene.of(personalisation_refused) is not None:
        _forget_band(scene)
        return
    last_ms = scene.of(purchases).last_at_ms
    if state.asked_ms or last_ms // DAY_MS == scene.at_ms // DAY_MS:
        _ask(state, last_ms, scene)
    band = band_of(found.probability, state.band, scene.parameters.of(RiskParameters))
    if band == state.band:
        return
    state = scene.row.edit(RISK)
    moved = [(band_key(band), NO_DAY, 1)]
    if state.band:
        moved.append((band_key(state.band), NO_DAY, -1))
        scene.raise_moment(BAND_CHANGED)
    state.before, state.band, state.since_ms = state.band, str(band), scene.at_ms
    RISK.tell(scene, sorted(moved))


def _forget_band(scene: Scene) -> None:
    """A customer who gave everything back, or refuses to be profiled, is in no band; no moment is
    raised for that.
    """
    if scene.row.read(RISK).band:
        state = scene.row.edit(RISK)
        RISK.tell(scene, [(band_key(state.band), NO_DAY, -1)])
        state.band, state.since_ms, state.before = "", 0, ""


def _ask(state: Risk, last_ms: int, scene: Scene) -> None:
    """Report whether the customer bought again in time, and ask anew after a purchase of today."""
    episode_ms = scene.parameters.of(RiskParameters).episode
    if state.asked_ms:
        if scene.at_ms < state.asked_ms + episode_ms:
            return
        _answer(scene.row.edit(RISK), state.asked_ms + episode_ms, scene)
    if last_ms // DAY_MS == scene.at_ms // DAY_MS:
        found, state = scene.of(sensitivity), scene.row.edit(RISK)
        limit = scene.parameters.of(RiskParameters).price_sensitive
        state.asked_ms = scene.at_ms
        state.price_sensitive = found is not None and found.total >= limit


def _answer(state: Risk, until_ms: int, scene: Scene) -> None:
    asked_ms, state.asked_ms = state.asked_ms, 0
    bought = scene.of(purchases)
    if not bought.count:
        # Everything was given back, so there is nothing to buy again after.
        return
    stayed = begun_within(bought, asked_ms, until_ms)
    day, key = until_ms // DAY_MS, stay_key(stayed=stayed, sensitive=state.price_sensitive)
    # Once more as the value of a year before, which counts in a year.
    RISK.tell(scene, [(key, day, 1), (f"{key}:{YEAR_BEFORE}", day + 365, 1)])


def band_of(probability: float, before: str, section: RiskParameters) -> RiskBand:
    """The band of a probability, for a customer who was in the band ``before``."""
    was_high, was_low = before == RiskBand.HIGH, before in ("", RiskBand.LOW)
    if probability >= (section.high_until if was_high else section.high):
        return RiskBand.HIGH
    if probability >= (section.medium if was_low else section.medium_until):
        return RiskBand.MEDIUM
    return RiskBand.LOW


def _reunited(scene: Scene, before: Risk, other: Risk, sign: int) -> None:
    _wait(scene)
    if is_joined(scene, sign) and (known := before if before.band else other).band:
        state = scene.row.edit(RISK)
        state.band, state.since_ms, state.before = known.band, known.since_ms, known.before
    if left_ms := scene.row.read(RISK).left_ms:
        # A purchase or refund of one id may be in the time in which another one is counted as
        # having left.
        section, bought = scene.parameters.of(RiskParameters), scene.of(purchases)
        state, money = scene.row.edit(RISK), scene.parameters.money
        take_back(state, bought, section)
        take_back_unbegun(state, bought, section, money)
        leave_after_all(state, bought, scene.at_ms, left_ms, section)
    RISK.tell_anew(scene, before, other, sign, sums_of)


def _united(states: Sequence[Risk], parameters: Parameters) -> Risk:
    """One person: all their complaints, and the band and episode of the id with the latest look."""
    one = Risk()
    for state in states:
        for at_ms in state.complaints:
            hear_complaint(one, at_ms)
        one.since_ms, one.band, one.before = max(
            (one.since_ms, one.band, one.before), (state.since_ms, state.band, state.before)
        )
        one.left_ms, one.was_silent, one.left_before_ms = max(
            (one.left_ms, one.was_silent, one.left_before_ms),
            (state.left_ms, state.was_silent, state.left_before_ms),
        )
        one.asked_ms, one.price_sensitive = max(
            (one.asked_ms, one.price_sensitive), (state.asked_ms, state.price_sensitive)
        )
    reconsider(one, parameters.of(RiskParameters))
    return one


def _of(scene: Scene) -> Risk:
    """The state; an empty one if the customer refuses personalisation."""
    refused = scene.of(personalisation_refused) is not None
    return Risk() if refused else scene.row.read(RISK)


def _band_days(scene: Scene) -> float:
    since_ms = _of(scene).since_ms
    return max(scene.at_ms - since_ms, 0) / DAY_MS if since_ms else nan


def _complaint_days(scene: Scene) -> float:
    complained_ms = scene.row.read(RISK).complained_ms
    return max(scene.at_ms - complained_ms, 0) / DAY_MS if complained_ms else nan


#: A band is computed at looks; whether it is shown depends on consent.
_BAND_MOVES = steps(next_expiry, found=(personalisation_refused,))
_CLOCK = since(lambda s: _of(s).since_ms, DAY_MS, found=(personalisation_refused,))

FACTS = {
    "churn_band": Fact(
        lambda s: _of(s).band,
        "{} risk of leaving",
        "low, medium or high, by the score of the last check-in or purchase day",
        str,
        values=lambda _: tuple(RiskBand),
        moves=_BAND_MOVES,
        is_personal=True,
    ),
    "churn_band_before": Fact(
        lambda s: _of(s).before,
        "{} risk before",
        "the band before that one",
        str,
        values=lambda _: tuple(RiskBand),
        moves=_BAND_MOVES,
        is_personal=True,
    ),
    "churn_band_days": Fact(
        _band_days,
        "for {:.0f} days",
        "days since the band last changed",
        least=0.0,
        moves=ending(_CLOCK, next_expiry),
        is_personal=True,
    ),
    "complaint_days": Fact(
        _complaint_days,
        "complained {:.0f} days ago",
        "days since the last ticket, complaint, poor answer or poor rating",
        least=0.0,
        moves=since(lambda s: s.row.read(RISK).complained_ms, DAY_MS),
    ),
}


class RiskView(Struct, frozen=True, rename="camel"):
    band: RiskBand
    since: str
    before: RiskBand | None


def _view(scene: Scene) -> RiskView | None:
    """None before the first look, and if the part is switched off."""
    state = _of(scene)
    if not state.band or not RISK.is_on(scene.parameters):
        return None
    before = RiskBand(state.before) if state.before else None
    return RiskView(RiskBand(state.band), iso(state.since_ms), before)


def _in_words(view: RiskView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is not None:
        before = f", {view.before} before" if view.before else ""
        since = how_long_before(view.since, as_of)
        yield Line("risk of leaving", f"{view.band}, since {since}{before}")


RISK: Part[Risk] = Part(
    name="risk",
    code="rk",
    version=3,
    older={1: unpack_earlier, 2: unpack_earlier},
    about="In which band of churn risk customers are, and who left without a word before.",
    state=Risk,
    united=_united,
    reunited=_reunited,
    parameters=RiskParameters,
    has_own_file=True,
    listens=frozenset({*_ORDERS, *_COMPLAINTS, RESPONDED, REVIEWED}),
    record=_record,
    timers=(Timer(_LAPSE, _leave),),
    look=_look,
    unprofiled=_forget_band,
    take_up=_take_up,
    moments={BAND_CHANGED: "the customer is in another band of churn risk than before"},
    reads=(purchases, churn, next_expiry, personalisation_refused, sensitivity),
    facts=FACTS,
    sections=(
        ProfileSection(
            "risk",
            RiskView | None,
            _view,
            _in_words,
            place=205,
            edge=of_timer("decision"),
        ),
    ),
    population=Told(
        keys=keys,
        window_days=lambda parameters: round(parameters.of(RiskParameters).episode / DAY_MS),
        measures=MEASURES,
        samples=samples,
    ),
)
