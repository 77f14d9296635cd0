"""What a customer consented to, and by which channels they can be reached.

A *word* is a choice about a purpose, and may be about one channel or one list of it. The latest
word that covers a case wins; of words of one moment, a revocation does. `service` (what was bought)
needs no consent. Consent platforms also stamp the present choice on every event. Such a *stamp* is
a word about a purpose, but it grants nothing that the customer left by channel or list.
"""

from typing import NamedTuple

from models.customer.consent_events import BOUNCED, EMAIL, EVENTS, MEANINGS, REACHED, SOFT_BOUNCED
from models.customer.consent_measures import (
    MEASURES,
    ConsentStanding,
    keys,
    moved,
    samples,
    standing,
    sums_of,
)
from models.customer.consent_news import words_of
from models.customer.consent_purposes import CONTACT, Purpose
from models.customer.consent_state import (
    PROFILE,
    STAMP,
    WORDS_MAX,
    Consent,
    ConsentParameters,
    Word,
    list_key,
    note_bounce,
    note_word,
    united,
    winning_word,
)
from models.customer.consent_words import ConsentView, WordView, in_words
from models.customer.edges import first_after
from models.customer.motion import STILL, steps
from models.customer.part import Fact, Part, ProfileSection, Told
from models.customer.scene import Context, Scene
from models.events.event import Event
from models.events.times import iso, iso_or_none

CONSENT_CHANGED = "consent-changed"


def _record(state: Consent, event: Event, scene: Scene) -> None:
    """Note a consent or a revocation, or an e-mail that came back or arrived."""
    if event.name in REACHED:
        _note_arrival(state, event, scene)
        return
    before = standing(state)
    if event.name in (BOUNCED, SOFT_BOUNCED):
        note_bounce(state, event, scene.parameters.of(ConsentParameters))
    elif not event.properties.machine:
        for word in words_of(event):
            note_word(state, word)
    _follow(before, standing(state), scene)


def _note_arrival(state: Consent, event: Event, scene: Scene) -> None:
    # Most events of mailing tools are of this kind, and state no choice.
    was_unreachable = bool(state.unreachable_since_ms)
    state.reached_ms = max(state.reached_ms, event.occurred_at_ms)
    if was_unreachable and not state.unreachable_since_ms:
        scene.raise_moment(CONSENT_CHANGED)


def record_stamps(state: Consent, event: Event, scene: Scene) -> None:
    """Note the choices in the event's context, as of the event's time."""
    before = standing(state)
    for name, granted in event.consent:
        what, _, channel = name.partition(":")
        if what == CONTACT:
            word = Word(Purpose.MARKETING, channel, 0, granted, event.occurred_at_ms, PROFILE)
        else:
            word = Word(what, "", 0, granted, event.occurred_at_ms, STAMP)
        note_word(state, word)
    _follow(before, standing(state), scene)


def _follow(before: ConsentStanding, after: ConsentStanding, scene: Scene) -> None:
    if after != before:
        scene.raise_moment(CONSENT_CHANGED)
        if sums := moved(before.shares, after.shares):
            CONSENT.tell(scene, sums)


class Refusal(NamedTuple):
    """Why something must not be done: since when, and by which word."""

    since_ms: int
    what: str


def refusal(
    scene: Scene, purpose: str, channel: str = "", list_name: str | None = None
) -> Refusal | None:
    """The refusal that forbids this at this moment; None if it is allowed.

    The shop's default holds without a word, and once every grant has expired.
    """
    state = scene.row.read(CONSENT)
    if not state.words:
        # Nearly every customer; this runs for every lesson.
        return scene.context.settled(_by_default)[purpose]
    parameters = scene.parameters.of(ConsentParameters)
    list_ = list_key(list_name)
    holding = [
        word
        for word in state.words
        if not (word.granted and 0 < parameters.expires <= scene.at_ms - word.at_ms)
    ]
    if list_ and len(state.words) >= WORDS_MAX and all(w.list != list_ for w in state.words):
        return Refusal(0, f"{purpose}:{channel}:{list_name}")
    word = winning_word(holding, purpose, channel, list_)
    if word is None:
        return scene.context.settled(_by_default)[purpose]
    if word.granted:
        return None
    return Refusal(word.at_ms, f"{word.text}:{list_name}" if word.list else word.text)


def _by_default(context: Context) -> dict[str, Refusal | None]:
    """For each purpose, the refusal of customers without any choice."""
    default = context.parameters.of(ConsentParameters).default
    return {
        str(purpose): Refusal(0, purpose) if getattr(default, purpose) == "denied" else None
        for purpose in Purpose
    }


def next_expiry(scene: Scene) -> int:
    """When the next grant expires."""
    expires = scene.parameters.of(ConsentParameters).expires
    granted = [word.at_ms for word in scene.row.read(CONSENT).words if word.granted]
    return first_after(scene.at_ms, (at_ms + expires for at_ms in granted)) if expires else 0


def email_unreachable_since_ms(scene: Scene) -> int:
    """Since when the customer's e-mail address has been unreachable; 0 if it can be reached."""
    return scene.row.read(CONSENT).unreachable_since_ms


def may_be_learnt_from(scene: Scene) -> bool:
    """Whether models may learn from the customer, and sums over all customers count them."""
    return refusal(scene, Purpose.ANALYTICS) is None


def learnt_from_since_ms(scene: Scene) -> int:
    """The time up to which the customer's data must teach nothing, because they revoked that."""
    return scene.row.read(CONSENT).analytics_revoked_ms


def personalisation_refused(scene: Scene) -> Refusal | None:
    """The customer's refusal of personalisation; None if they allow it."""
    return refusal(scene, Purpose.PERSONALISATION)


def _reunited(scene: Scene, before: Consent, other: Consent, sign: int) -> None:
    if standing(scene.row.read(CONSENT)) != standing(before):
        # A decision for one id may be refused under another.
        scene.raise_moment(CONSENT_CHANGED)
    CONSENT.tell_anew(scene, before, other, sign, sums_of)


def _fact(purpose: str, channel: str, about: str) -> Fact:
    what = f"{purpose} by {channel}" if channel else purpose
    return Fact(
        lambda scene: float(refusal(scene, purpose, channel) is None),
        f"{what}: {{}}",
        about,
        least=0.0,
        most=1.0,
        answers=("refused", "allowed"),
        moves=steps(next_expiry),
    )


FACTS = {
    "consent_analytics": _fact(
        Purpose.ANALYTICS, "", "1 if the customer may be counted and learnt from, else 0"
    ),
    "consent_personalisation": _fact(
        Purpose.PERSONALISATION, "", "1 if decisions may go by who the customer is, else 0"
    ),
    "consent_marketing": _fact(
        Purpose.MARKETING, "", "1 if marketing is not refused as such, else 0"
    ),
    **{
        f"consent_marketing_{channel}": _fact(
            Purpose.MARKETING, channel, f"1 if marketing by {channel} is allowed, else 0"
        )
        for channel in (EMAIL, "sms", "push", "phone", "post")
    },
    "email_reachable": Fact(
        lambda scene: float(not email_unreachable_since_ms(scene)),
        "e-mail: {}",
        "0 after e-mail came back, until one arrives; else 1",
        least=0.0,
        most=1.0,
        answers=("comes back", "arrives"),
        moves=STILL,
    ),
}


def _view(scene: Scene) -> ConsentView | None:
    """None without any word or bounce."""
    state = scene.row.read(CONSENT)
    since_ms = state.unreachable_since_ms
    if not state.words and not since_ms:
        return None
    names = {
        list_key(rule.list): rule.list for rule in scene.parameters.actions.actions if rule.list
    }
    words = tuple(
        WordView(
            word.purpose,
            word.channel or None,
            names.get(word.list, "other") if word.list else None,
            "granted" if word.granted else "revoked",
            iso(word.at_ms),
            word.source,
        )
        for word in state.words
    )
    allowed = {str(purpose): refusal(scene, purpose) is None for purpose in Purpose}
    return ConsentView(**allowed, words=words, email_unreachable_since=iso_or_none(since_ms))


CONSENT: Part[Consent] = Part(
    name="consent",
    code="cs",
    is_apart=True,
    about="What the customer agreed to, by purpose, channel and list, and whether e-mail arrives.",
    state=Consent,
    united=united,
    reunited=_reunited,
    parameters=ConsentParameters,
    has_own_file=True,
    events=EVENTS,
    listens=frozenset({*MEANINGS, BOUNCED, SOFT_BOUNCED, *REACHED}),
    record=_record,
    offers=(
        email_unreachable_since_ms,
        learnt_from_since_ms,
        may_be_learnt_from,
        next_expiry,
        personalisation_refused,
    ),
    moments={CONSENT_CHANGED: "the customer agreed to something, or wants no more of it"},
    facts=FACTS,
    sections=(
        ProfileSection("consent", ConsentView | None, _view, in_words, place=150, edge=next_expiry),
    ),
    population=Told(
        keys=keys,
        window_days=lambda _: 0,
        measures=MEASURES,
        samples=samples,
    ),
)
