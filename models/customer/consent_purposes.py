"""The purposes of consent under the names that platforms use, and the choices in an event's
context.

Consent platforms stamp the customer's present choice on every event. A stamp that cannot be read is
ignored and reported; its event is accepted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from config.names import folded
from models.customer.consent_choices import Choice, choice_of
from models.events.codes import CODE
from models.events.leniency import is_nothing


class Purpose(StrEnum):
    """What consent is for. Contact about what was bought, ``service``, cannot be revoked."""

    ANALYTICS = "analytics"
    PERSONALISATION = "personalisation"
    MARKETING = "marketing"


SERVICE: Final = "service"
#: The stamp of a profile that refuses contact, or with ``:CHANNEL`` contact by one channel
#: (`models.customer.consent_profiles`). It is about contact as such, not about cookies, so no other
#: stamp takes it back.
CONTACT: Final = "contact"
_contact_by: Final = re.compile(rf"{CONTACT}(:{CODE})?").fullmatch
#: What consent platforms call a purpose.
PURPOSES: Mapping[str, str] = {
    **{str(purpose): str(purpose) for purpose in Purpose},
    SERVICE: SERVICE,
    "statistics": Purpose.ANALYTICS,
    "performance": Purpose.ANALYTICS,
    "measurement": Purpose.ANALYTICS,
    "personalization": Purpose.PERSONALISATION,
    "profiling": Purpose.PERSONALISATION,
    "advertising": Purpose.MARKETING,
    "promotional": Purpose.MARKETING,
    "promotions": Purpose.MARKETING,
    "newsletter": Purpose.MARKETING,
    "newsletters": Purpose.MARKETING,
    "transactional": SERVICE,
    "functional": SERVICE,
    "necessary": SERVICE,
    "essential": SERVICE,
    # Other names, and those of Google's consent mode and OneTrust.
    **dict.fromkeys(
        (
            *("emailmarketing", "marketingemail", "marketingemails", "directmarketing", "ads"),
            *("smsmarketing", "targeting", "targetedadvertising", "socialmedia", "adstorage"),
            *("aduserdata", "c0004", "c0005"),
        ),
        Purpose.MARKETING,
    ),
    **dict.fromkeys(
        ("adpersonalization", "personalizationstorage"),
        Purpose.PERSONALISATION,
    ),
    **dict.fromkeys(("statistic", "analyticsstorage", "c0002"), Purpose.ANALYTICS),
    **dict.fromkeys(
        ("functionalitystorage", "securitystorage", "strictlynecessary", "c0001", "c0003"), SERVICE
    ),
}
#: Where an event's context has the choices by purpose, unless it has them directly.
_HOLDERS: Final = ("categoryPreferences", "purposes", "categories")
#: RudderStack's lists of the purposes that were allowed, and of those that were denied.
_ALLOWED, _DENIED = "allowedConsentIds", "deniedConsentIds"


def purpose_called(name: str) -> str | None:
    """The purpose that platforms call ``name``, or `SERVICE`; None for an unknown name."""
    return PURPOSES.get(folded(name))


class Stamps(NamedTuple):
    """Whether each purpose that an event's context names is granted, and what a profile refuses.
    ``is_understood``: whether everything there could be read; an unknown name may be a no.
    """

    granted: tuple[tuple[str, bool], ...] = ()
    is_understood: bool = True

    def refusing(self, names: Iterable[str]) -> "Stamps":
        """A copy with a no to each of the names, whatever these stamps say of it."""
        granted = {**dict(self.granted), **dict.fromkeys(map(str, names), False)}
        return self._replace(granted=tuple(sorted(granted.items())))


NO_STAMPS: Final = Stamps()


def stamps_in(consent: Any) -> Stamps:
    """Read ``context.consent``: choices by purpose, under ``categoryPreferences`` or ``purposes``,
    or directly; or lists of the purposes that were allowed and denied.

    A purpose that is not named is neither granted nor revoked. Of two names for one purpose, a no
    wins.
    """
    if is_nothing(consent):
        return NO_STAMPS
    if not isinstance(consent, dict):
        return Stamps(is_understood=False)
    if _ALLOWED in consent or _DENIED in consent:
        return _listed(consent)
    holder = next((name for name in _HOLDERS if name in consent), None)
    choices = consent if holder is None else consent[holder]
    if is_nothing(choices):
        return NO_STAMPS
    if not isinstance(choices, dict):
        return Stamps(is_understood=False)
    return _read(choices)


def _listed(consent: Mapping[str, Any]) -> Stamps:
    choices: dict[str, bool] = {}
    is_understood = True
    for name, is_granted in ((_ALLOWED, True), (_DENIED, False)):
        ids = consent.get(name)
        if is_nothing(ids):
            continue
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            is_understood = False
            continue
        # An id that is in both lists was denied.
        choices.update(dict.fromkeys(ids, is_granted))
    found = _read(choices)
    return found if is_understood else found._replace(is_understood=False)


def _read(choices: Mapping[str, Any]) -> Stamps:
    granted: dict[str, bool] = {}
    is_understood = True
    for purpose, is_granted in _named(choices):
        if purpose is None or is_granted is None:
            is_understood = False
        elif purpose != SERVICE:
            granted[purpose] = granted.get(purpose, True) and is_granted
    return Stamps(tuple(sorted(granted.items())), is_understood)


def _named(choices: Mapping[str, Any]) -> Iterator[tuple[str | None, bool | None]]:
    """The purpose and the choice of each name that has one; None for what cannot be read."""
    for name, value in choices.items():
        if is_nothing(value):
            continue
        choice = _choice(value)
        if choice is False and _contact_by(name) is not None:
            # As the log has it.
            yield name, choice
        else:
            yield purpose_called(name), choice


_AS_TRUTH: Final = {Choice.GRANTED: True, Choice.REVOKED: False}


def _choice(value: Any) -> bool | None:
    return _AS_TRUTH.get(choice_of(value))
