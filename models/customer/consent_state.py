"""What a row keeps of a customer's consent, and which of their words wins."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct, field

from config.duration import DurationMs
from config.limits import PositiveInt, PositiveMs
from config.parameters import Parameters, Section
from models.customer.consent_events import SOFT_BOUNCED, folded_text
from models.customer.consent_purposes import Purpose
from models.customer.fingerprint import fingerprint
from models.customer.row import State
from models.events.event import Event

#: Words kept a customer. With so many, a list without a word counts as revoked: its word may be
#: among the dropped ones.
WORDS_MAX = 32
#: The source of a stamp. It has a blank, so no sender's code is the same.
STAMP: Final = "event context"
#: The source of what a profile refuses; no sender's code is the same, either.
PROFILE: Final = "profile traits"
#: Soft bounces kept: the latest, and the time at which there were enough of them.
_SOFT_MAX = 8


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


#: What senders write in a list's place when somebody leaves all lists.
_ALL_LISTS: Final = frozenset({"all", "all lists", "any", "global", "everything", "*"})


def list_key(list_id: str | None) -> int:
    """A list's fingerprint, however it is capitalised; 0 for none, and for all of them."""
    text = folded_text(list_id) if list_id is not None else ""
    return fingerprint(text) if text and text not in _ALL_LISTS else 0


def note_word(state: Consent, new: Word) -> None:
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


def note_bounce(state: Consent, event: Event, parameters: ConsentParameters) -> None:
    """Note an e-mail that came back, for good (hard) or for now (soft)."""
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


def winning_word(words: Iterable[Word], purpose: str, channel: str, list_: int) -> Word | None:
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


def united(states: Sequence[Consent], parameters: Parameters) -> Consent:
    """One person's consent: the latest word of all their ids."""
    one = Consent()
    softs: list[int] = []
    for state in states:
        for word in state.words:
            note_word(one, msgspec.structs.replace(word))
        one.hard_ms = max(one.hard_ms, state.hard_ms)
        one.softs_ms = max(one.softs_ms, state.softs_ms)
        one.reached_ms = max(one.reached_ms, state.reached_ms)
        one.analytics_revoked_ms = max(one.analytics_revoked_ms, state.analytics_revoked_ms)
        one.is_left_out |= state.is_left_out
        softs += state.softs
    _note_softs(one, softs, parameters.of(ConsentParameters))
    return one
