"""A profile in words, for whoever asks about one customer."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from models.customer.anomaly import Anomaly
from models.customer.contacts import CONTROL, Outcome
from models.customer.profile import AnswerView, ChurnView, DecisionView, Profile, RfmView
from models.customer.scores import Segment
from models.learning.churn import Source
from models.learning.value import ValueView, Worth

_SEGMENTS = {
    Segment.CHAMPIONS: "buys often and much, and did so lately",
    Segment.LOYAL: "buys regularly, and still does",
    Segment.POTENTIAL: "bought lately, and could become loyal",
    Segment.NEW: "bought once, lately",
    Segment.AT_RISK: "used to buy more, and has been away",
    Segment.CANT_LOSE: "was among the best, and has been away for long",
    Segment.HIBERNATING: "bought little, and has been away",
    Segment.LOST: "has been away for long, and was not among the best",
}


_SOURCES = {
    Source.CHAMPION: "says the model that learnt from this shop",
    Source.CHALLENGER: "says a model on trial",
    Source.BASELINE: "says the formula over the rhythm of purchases",
    Source.PRIOR: "assumed, as nothing was learnt yet",
}
_WORTHS = {
    Worth.FORMULA: "says the formula over rhythm and amounts (formula)",
    Worth.CHALLENGER: "says the model that learnt from this shop (challenger)",
}
_OUTCOMES = {
    Outcome.NONE: "nothing heard of it yet",
    Outcome.FAILED: "could not be delivered",
}
#: Older decisions are in --json.
_DECISIONS_SHOWN = 5


def profile_in_words(view: Profile, currency: str) -> Group:
    """The customer as of the profile's moment, a line for each thing that is known."""
    title = Text.assemble((view.user_id, "bold"), f" as of {_moment(view.as_of)}")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in _lines(view, currency):
        table.add_row(Text(name), Text(words))
    return Group(title, table)


def _lines(view: Profile, currency: str) -> Iterator[tuple[str, str]]:
    yield from _rfm(view.rfm, currency)
    for churn in view.churn:
        yield "churn", _churn(churn)
    yield from _why(view)
    if view.silent_churn is not None:
        yield "silent churn", _silent(view.silent_churn)
    if view.value is not None:
        yield from _value(view.value, currency)
    engagement = view.engagement
    channel = f", last by {engagement.last_channel}" if engagement.last_channel else ""
    counts = (
        _counted(engagement.interactions, "interaction"),
        _counted(engagement.views, "view"),
        _counted(engagement.sessions, "session"),
    )
    yield "engagement", f"intensity {engagement.intensity:.1f}: {', '.join(counts)}"
    for name, found in (("activity", view.activity_anomaly), ("buying", view.purchase_anomaly)):
        if found is not None:
            yield name, _anomaly(found)
    seen = _ago(engagement.last_seen_at, view.as_of)
    yield "last seen", f"{seen}{channel}" if seen else "never"
    yield "cart", _cart(view, currency)
    yield from _support(view)
    fired = sorted(view.last_triggers.items(), key=lambda kind_and_time: kind_and_time[1])
    for kind, at in reversed(fired):
        yield "trigger", f"{kind}, {_ago(at, view.as_of)}"
    # The latest first, as with triggers.
    for decided in view.decisions[: -_DECISIONS_SHOWN - 1 : -1]:
        yield "action", _decision(decided, view)
    if view.next_deadline_at:
        yield "looked at again", _moment(view.next_deadline_at)
    model = (
        f"version {view.model_version}" if view.model_version else "none yet: the shipped priors"
    )
    yield "shared model", model


def _rfm(rfm: RfmView, currency: str) -> Iterator[tuple[str, str]]:
    if rfm.recency_days is None:
        yield "purchases", "none"
        return
    if rfm.segment is not None:
        yield "segment", f"{rfm.segment}: {_SEGMENTS[rfm.segment]}"
        scores = (rfm.recency_score, rfm.frequency_score, rfm.monetary_score)
        yield "scores", "recency {}, frequency {}, monetary {}, of 5".format(*scores)
    yield "last purchase", f"{rfm.recency_days:.1f} days before ({_moment(rfm.last_order_at)})"
    bought = f"{_counted(rfm.orders, 'order')}, {_money(rfm.net_minor, currency)} net"
    yield "purchases", f"{bought}, since {_moment(rfm.first_order_at)}"
    for window in rfm.windows:
        yield (
            f"last {window.days} days",
            f"{_counted(window.orders, 'order')}, {_money(window.net_minor, currency)}",
        )


def _churn(churn: ChurnView) -> str:
    """The probability of silence, and whose word it is."""
    words = f"{churn.probability:.0%} likely to buy nothing within {churn.horizon_days:g} days"
    who = f"{churn.source} {churn.scorer}" if churn.source == Source.CHAMPION else churn.source
    version = f", version {churn.model_version}" if churn.model_version else ""
    return f"{words}: {_SOURCES[Source(churn.source)]} ({who}{version})"


def _why(view: Profile) -> Iterator[tuple[str, str]]:
    """The reason to leave, and what the first score is the sum of."""
    if view.churn_reason is not None:
        reason = view.churn_reason
        shares = [f"{kind} {share:.0%}" for kind, share in reason.shares.items() if share]
        heard = f" ({', '.join(shares)} of what was heard)" if shares else ""
        yield "reason to leave", f"{reason.kind}{heard}"
        for words in reason.evidence:
            yield "evidence", words
    for told in view.explanations[:1]:
        for part in told.groups:
            yield str(part.direction), f"{part.contribution:+.2f} {part.group}: {part.words}"
        yield "log odds", f"{told.log_odds:+.2f}, of which everybody has {told.base:+.2f}"


def _silent(silent_churn: float) -> str:
    """In words by the thresholds of the shipped rule, which fires at 0.8 and rearms at 0.6."""
    words = "keeps to their own rhythm"
    if silent_churn >= 0.6:
        words = "buys less than by their own rhythm"
    if silent_churn >= 0.8:
        words = "is thinning out, by their own rhythm"
    return f"{silent_churn:.2f} of 1: {words}"


def _anomaly(found: Anomaly) -> str:
    """As people say it; within two standard deviations it is no news."""
    times = found.ratio
    if abs(found.deviations) < 2.0:
        words = "as usual for this customer"
    elif not times:
        return f"nothing in the last 14 days, unlike usual ({found.deviations:+.1f} deviations)"
    elif times < 1.0:
        words = "half as often" if 0.4 < times < 0.6 else f"{times:.0%} as often"
        words += " as usual for this customer"
    else:
        words = f"{times:.1f} times as often as usual for this customer"
    return f"last 14 days {words} ({found.deviations:+.1f} deviations)"


def _value(value: ValueView, currency: str) -> Iterator[tuple[str, str]]:
    """The lifetime value with each of its terms, and what is expected soon."""
    terms = (
        f"{value.annual_revenue:,.2f} a year x {value.gross_margin:.0%} margin x "
        f"{value.lifetime_years:.2f} years - {value.acquisition_cost:,.2f} to win them"
    )
    yield "lifetime value", f"{value.clv:,.2f} {currency} = {terms}"
    for expected in value.horizons:
        words = f"{expected.purchases:.2f} purchases, {expected.spend:,.2f} {currency}"
        yield (
            "expected",
            f"{words} within {expected.horizon_days:g} days: {_WORTHS[expected.source]}",
        )


def _decision(decided: DecisionView, view: Profile) -> str:
    words = f"{decided.action} by {decided.channel}, {_ago(decided.at, view.as_of)}"
    if decided.group == CONTROL:
        return f"{words}: not taken, for the customer is in the control group"
    outcome = Outcome(decided.outcome)
    return f"{words}: {_OUTCOMES.get(outcome, str(outcome))}"


def _cart(view: Profile, currency: str) -> str:
    cart = view.cart
    if not cart.items:
        return "empty"
    touched = _ago(cart.touched_at, view.as_of)
    contents = f"{_counted(cart.items, 'product')}, {_money(cart.value_minor, currency)}"
    return f"{contents}, touched {touched}"


def _support(view: Profile) -> Iterator[tuple[str, str]]:
    support = view.support
    due = f", answer due {_moment(support.answer_due_at)}" if support.answer_due_at else ""
    yield "support", f"{_counted(support.open_tickets, 'open ticket')} of {support.tickets}{due}"
    answers = {"NPS": support.nps, "CSAT": support.csat, "CES": support.ces}
    if words := [_answer(name, answer, view) for name, answer in answers.items() if answer]:
        yield "surveys", ", ".join(words)


def _answer(name: str, answer: AnswerView, view: Profile) -> str:
    return f"{name} {answer.score:g} ({_ago(answer.at, view.as_of)})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _money(minor: int, currency: str) -> str:
    return f"{minor / 100:,.2f} {currency}"


def _moment(iso: str | None) -> str:
    return f"{iso[:10]} {iso[11:16]} UTC" if iso else "an unknown time"


def _ago(iso: str | None, as_of: str) -> str:
    """How long before ``as_of``: event time, so that a backfill reads as it was."""
    if iso is None:
        return ""
    seconds = (datetime.fromisoformat(as_of) - datetime.fromisoformat(iso)).total_seconds()
    if seconds < 0:
        return f"at {_moment(iso)}, after that"
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{_counted(int(seconds // size), noun)} before"
    return "just before"
