"""What a customer consented to, and by which channels they can be reached.

A *word* is a choice about a purpose, and may be about one channel or one list of it. The latest
word that covers a case wins; of words of one moment, a revocation does. `service` (what was bought)
needs no consent. Consent platforms also stamp the present choice on every event. Such a *stamp* is
a word about a purpose, but it grants nothing that the customer left by channel or list.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct, field

from config.duration import DurationMs
from config.limits import PositiveInt, PositiveMs
from config.parameters import Parameters, Section
from models.customer.consent_choices import Choice
from models.customer.consent_events import (
    BOUNCED,
    EMAIL,
    EVENTS,
    MEANINGS,
    REACHED,
    SOFT_BOUNCED,
    ConsentNews,
    Meaning,
    channel_code,
    folded_text,
)
from models.customer.consent_purposes import CONTACT, SERVICE, Purpose, purpose_called
from models.customer.consent_words import ConsentView, WordView, in_words
from models.customer.edges import first_after
from models.customer.fingerprint import fingerprint
from models.customer.motion import STILL, steps
from models.customer.part import Fact, Part, ProfileSection, Sum, Told
from models.customer.row import State
from models.customer.scene import Context, Scene
from models.events.codes import code
from models.events.event import Event
from models.events.times import iso, iso_or_none
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

CONSENT_CHANGED = "consent-changed"
#: Words kept a customer. With so many, a list without a word counts as revoked: its word may be
#: among the dropped ones.
WORDS_MAX = 32
#: The source of a stamp. It has a blank, so no sender's code is the same.
STAMP: Final = "event context"
#: The source of what a profile refuses; no sender's code is the same, either.
PROFILE: Final = "profile traits"
#: Soft bounces kept: the latest, and the time at which there were enough of them.
_SOFT_MAX = 8
#: A share is reported from this many customers on.
_TOLD_MIN = 20


class ConsentDefaults(Struct, frozen=True, forbid_unknown_fields=True):
    """What is allowed for customers without any choice."""

    analytics: Literal["granted", "denied"]
    personalisation: Literal["granted", "denied"]
    marketing: Literal["granted", "denied"]


class ConsentParameters(Section, frozen=True):
    """``expires``: a grant counts for so long, 0 for ever; ``soft_bounces`` within ``soft_within``
    make an address unreachable, as one hard bounce does.
    """

    section = "consent"
    default: ConsentDefaults
    expires: DurationMs
    soft_bounces: PositiveInt
    soft_within: PositiveMs

    def problems(self) -> Iterator[str]:
        """Not more soft bounces than are remembered."""
        if self.soft_bounces > _SOFT_MAX:
            yield f"consent.soft_bounces is {_SOFT_MAX} at most: no more are remembered"


class Word(State):
    """The latest choice about a purpose, a channel ("" for all) and a list (0 for all)."""

    purpose: str
    channel: str
    list: int
    granted: bool
    at_ms: int
    source: str = ""

    @property
    def key(self) -> tuple[str, str, int, bool]:
        """The latest word of each key is kept; a stamp does not replace a word that came in an
        event of its own.
        """
        return self.purpose, self.channel, self.list, self.is_stamp

    @property
    def is_stamp(self) -> bool:
        return self.source == STAMP

    @property
    def is_narrow(self) -> bool:
        """Whether it is about one channel or one list."""
        return bool(self.channel or self.list)

    @property
    def precedence(self) -> tuple[int, bool, str]:
        """The higher one wins: the later, then the revocation."""
        return self.at_ms, not self.granted, self.source

    def covers(self, purpose: str, channel: str, list_: int) -> bool:
        """Whether it is about this case."""
        return self.purpose == purpose and self.channel in ("", channel) and self.list in (0, list_)

    @property
    def text(self) -> str:
        """``marketing``, ``marketing:email``; a list has no name here."""
        return f"{self.purpose}:{self.channel}" if self.channel else self.purpose


class Consent(State):
    """``words`` by purpose, channel and list. An e-mail address is unreachable from a hard bounce
    (``hard_ms``) or enough soft ones (``softs_ms``) on, whichever is later, until ``reached_ms`` is
    later. ``analytics_revoked_ms``: the last time analytics was revoked, even if it was granted
    again. ``is_left_out``: the customer may not be learnt from, so sums over all customers do not
    count them.
    """

    words: list[Word] = field(default_factory=list)
    hard_ms: int = 0
    softs: list[int] = field(default_factory=list)
    softs_ms: int = 0
    reached_ms: int = 0
    analytics_revoked_ms: int = 0
    is_left_out: bool = False

    @property
    def unreachable_since_ms(self) -> int:
        """Since when the e-mail address has been unreachable; 0 if it can be reached."""
        since_ms = max(self.hard_ms, self.softs_ms)
        return since_ms if since_ms and since_ms >= self.reached_ms else 0


def _record(state: Consent, event: Event, scene: Scene) -> None:
    """Note a consent or a revocation, or an e-mail that came back or arrived."""
    if event.name in REACHED:
        _note_arrival(state, event, scene)
        return
    before = _standing(state)
    if event.name in (BOUNCED, SOFT_BOUNCED):
        _note_bounce(state, event, scene.parameters.of(ConsentParameters))
    elif not event.properties.machine:
        for word in _words(event):
            _note(state, word)
    _follow(before, _standing(state), scene)


def _note_arrival(state: Consent, event: Event, scene: Scene) -> None:
    # Most events of mailing tools are of this kind, and state no choice.
    was_unreachable = bool(state.unreachable_since_ms)
    state.reached_ms = max(state.reached_ms, event.occurred_at_ms)
    if was_unreachable and not state.unreachable_since_ms:
        scene.raise_moment(CONSENT_CHANGED)


def record_stamps(state: Consent, event: Event, scene: Scene) -> None:
    """Note the choices in the event's context, as of the event's time."""
    before = _standing(state)
    for name, granted in event.consent:
        what, _, channel = name.partition(":")
        if what == CONTACT:
            word = Word(Purpose.MARKETING, channel, 0, granted, event.occurred_at_ms, PROFILE)
        else:
            word = Word(what, "", 0, granted, event.occurred_at_ms, STAMP)
        _note(state, word)
    _follow(before, _standing(state), scene)


def _follow(before: "_Standing", after: "_Standing", scene: Scene) -> None:
    if after != before:
        scene.raise_moment(CONSENT_CHANGED)
        _tell(before.shares, after.shares, scene)


def _words(event: Event) -> Iterator[Word]:
    """The event's word on each of its purposes; a yes that is not confirmed gives none."""
    said: ConsentNews = event.properties
    meaning = MEANINGS[event.name]
    if meaning.granted is not False and said.granted == Choice.PENDING:
        return
    is_granted = meaning.granted is not False and said.granted != Choice.REVOKED
    purposes = [purpose_called(name) or "" for name in said.named] or [meaning.purpose or ""]
    channels = _channels(said, meaning, is_granted=is_granted)
    list_ = _list(said.list_id) if meaning.has_lists else 0
    source = said.source or code(event.name.replace(" ", "-").lower()) or ""
    for purpose in dict.fromkeys(purposes):
        for one in [purpose] if purpose else list(Purpose):
            for channel in channels:
                if one == Purpose.MARKETING:
                    yield Word(one, channel, list_, is_granted, event.occurred_at_ms, source)
                elif one != SERVICE and not channel and not list_:
                    # For one channel or list, only contact can be revoked.
                    yield Word(one, "", 0, is_granted, event.occurred_at_ms, source)


def _channels(said: ConsentNews, meaning: Meaning, *, is_granted: bool) -> list[str]:
    """The channels that are meant, "" for all: those that are named, else the one that the event's
    name implies. A yes to all of them grants no other one by itself.
    """
    named = {channel_code(name) for name in said.by_channels}
    if not named or (is_granted and "" in named):
        return sorted((named - {""}) | {meaning.channel})
    return sorted(named)


#: What senders write in a list's place when somebody leaves all lists.
_ALL_LISTS: Final = frozenset({"all", "all lists", "any", "global", "everything", "*"})


def _list(list_id: str | None) -> int:
    """A list's fingerprint, however it is capitalised; 0 for none, and for all of them."""
    text = folded_text(list_id) if list_id is not None else ""
    return fingerprint(text) if text and text not in _ALL_LISTS else 0


def _note(state: Consent, new: Word) -> None:
    """Keep the latest word of each key; beyond the bound the oldest go, but never one about a whole
    purpose.
    """
    if new.purpose == Purpose.ANALYTICS and not new.granted:
        state.analytics_revoked_ms = max(state.analytics_revoked_ms, new.at_ms)
    for place, word in enumerate(state.words):
        if word.key == new.key:
            state.words[place] = max(word, new, key=lambda one: one.precedence)
            return
    state.words.append(new)
    if len(state.words) > WORDS_MAX:
        state.words.remove(min(state.words, key=_worth_keeping))
    state.words.sort(key=lambda word: word.key)


def _worth_keeping(word: Word) -> tuple[bool, int, tuple[str, str, int, bool]]:
    return not word.is_narrow, word.at_ms, word.key


def _note_bounce(state: Consent, event: Event, parameters: ConsentParameters) -> None:
    at_ms = event.occurred_at_ms
    if event.properties.is_soft or event.name == SOFT_BOUNCED:
        _note_softs(state, [*state.softs, at_ms], parameters)
    else:
        state.hard_ms = max(state.hard_ms, at_ms)


def _note_softs(state: Consent, softs: Iterable[int], parameters: ConsentParameters) -> None:
    """Keep the latest soft bounces, and the last time at which there were enough of them."""
    times, enough = sorted(softs), parameters.soft_bounces
    for first_ms, last_ms in zip(times, times[enough - 1 :], strict=False):
        if last_ms - first_ms < parameters.soft_within:
            state.softs_ms = max(state.softs_ms, last_ms)
    state.softs = times[-_SOFT_MAX:]


class _Standing(NamedTuple):
    """What an event may change: all words, reachability, and the customer's share of the sums."""

    words: tuple[tuple[tuple[str, str, int, bool], bool], ...]
    is_reachable: bool
    shares: dict[str, bool]


def _standing(state: Consent) -> _Standing:
    shares = {}
    for share, (purpose, channel) in _SHARES.items():
        word = _latest(state.words, purpose, channel, 0)
        if word is not None:
            shares[share] = word.granted
    words = tuple((word.key, word.granted) for word in state.words)
    return _Standing(words, not state.unreachable_since_ms, shares)


def _latest(words: Iterable[Word], purpose: str, channel: str, list_: int) -> Word | None:
    """The word that wins in this case."""
    covering = [word for word in words if word.covers(purpose, channel, list_)]
    stamp = next((word for word in covering if word.is_stamp and word.granted), None)
    if stamp is None:
        return max(covering, key=lambda word: word.precedence, default=None)
    # It takes back an earlier no to the purpose, and nothing else: a customer who left a channel or
    # a list, or whose profile wants no contact, has not changed their mind because the next page
    # has the same stamp.
    standing = [
        word
        for word in covering
        if not word.is_stamp
        and (
            word.granted
            or word.is_narrow
            or word.source == PROFILE
            or word.precedence > stamp.precedence
        )
    ]
    return max(standing, key=lambda word: word.precedence, default=stamp)


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
    list_ = _list(list_name)
    holding = [
        word
        for word in state.words
        if not (word.granted and 0 < parameters.expires <= scene.at_ms - word.at_ms)
    ]
    if list_ and len(state.words) >= WORDS_MAX and all(w.list != list_ for w in state.words):
        return Refusal(0, f"{purpose}:{channel}:{list_name}")
    word = _latest(holding, purpose, channel, list_)
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


def _united(states: Sequence[Consent], parameters: Parameters) -> Consent:
    """One person's consent: the latest word of all their ids."""
    one = Consent()
    softs: list[int] = []
    for state in states:
        for word in state.words:
            _note(one, msgspec.structs.replace(word))
        one.hard_ms = max(one.hard_ms, state.hard_ms)
        one.softs_ms = max(one.softs_ms, state.softs_ms)
        one.reached_ms = max(one.reached_ms, state.reached_ms)
        one.analytics_revoked_ms = max(one.analytics_revoked_ms, state.analytics_revoked_ms)
        one.is_left_out |= state.is_left_out
        softs += state.softs
    _note_softs(one, softs, parameters.of(ConsentParameters))
    return one


#: The sums over all customers: their keys, with the purpose and channel of each.
_SHARES: Mapping[str, tuple[str, str]] = {
    **{str(purpose): (str(purpose), "") for purpose in Purpose},
    "marketing_email": (Purpose.MARKETING, EMAIL),
}


def _tell(before: Mapping[str, bool], after: Mapping[str, bool], scene: Scene) -> None:
    """Correct the sums by the difference between the two."""
    sums = [
        (f"{share}:{word}", NO_DAY, amount)
        for share in _SHARES
        if before.get(share) != after.get(share)
        for word, amount in _moves(before.get(share), after.get(share))
    ]
    if sums:
        CONSENT.tell(scene, sums)


def sums_of(state: Consent) -> list[Sum]:
    """One customer's share of the sums."""
    shares = _standing(state).shares.items()
    return [(f"{share}:{'granted' if word else 'revoked'}", NO_DAY, 1) for share, word in shares]


def _reunited(scene: Scene, before: Consent, other: Consent, sign: int) -> None:
    if _standing(scene.row.read(CONSENT)) != _standing(before):
        # A decision for one id may be refused under another.
        scene.raise_moment(CONSENT_CHANGED)
    CONSENT.tell_anew(scene, before, other, sign, sums_of)


def _moves(before: bool | None, after: bool | None) -> Iterator[tuple[str, int]]:
    for word, amount in ((before, -1), (after, 1)):
        if word is not None:
            yield ("granted" if word else "revoked"), amount


_SHARE = Measure(
    "keepstream_consent_share",
    f"Share of those who said so that granted it, by purpose, from {_TOLD_MIN} customers on",
    ("purpose",),
)
_SAID = Measure(
    "keepstream_consent_customers",
    f"Customers who granted or revoked it, by purpose, from {_TOLD_MIN} on",
    ("purpose",),
)


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    for share in _SHARES:
        granted, revoked = (sums.get(f"{share}:{word}", 0) for word in ("granted", "revoked"))
        said = granted + revoked
        if said >= _TOLD_MIN:
            yield Sample(_SAID, (share,), float(said))
            yield Sample(_SHARE, (share,), granted / said)


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
    names = {_list(rule.list): rule.list for rule in scene.parameters.actions.actions if rule.list}
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
    united=_united,
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
        keys=lambda _: [f"{share}:{word}" for share in _SHARES for word in ("granted", "revoked")],
        window_days=lambda _: 0,
        measures=(_SHARE, _SAID),
        samples=_samples,
    ),
)
