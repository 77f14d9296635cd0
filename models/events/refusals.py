"""Counts refused and misnamed events by cause, and reports each cause in one line.

If much of a file or of a period is refused for one cause, then a setting is wrong or a sender is
broken, and the user must be told.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

from msgspec import Struct

#: A cause is loud if it accounts for more than this share of the events.
LOUD_SHARE: Final = 0.2
#: With fewer lines a share is meaningless.
LOUD_LINES_MIN: Final = 50
#: Causes and names that are counted one by one. Schemas have fewer causes, but senders may use any
#: name.
CAUSES_MAX: Final = 500
NAMES_MAX: Final = 200
#: Causes and names that are reported, most frequent first.
TOLD_MAX: Final = 20
_NAME_LETTERS_MAX: Final = 60


_Key = TypeVar("_Key", str, tuple[str, str])


class _Refused(Protocol):
    """A refusal or its dead letter."""

    @property
    def reason(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def fix(self) -> str: ...


class RefusalCause(Struct, frozen=True):
    """How many events were refused for this reason at this path, and the first one's fix."""

    reason: str
    path: str
    detail: str
    fix: str
    count: int


class Misnamed(Struct, frozen=True, rename="camel"):
    """How many events had a name that is nearly a known one, and the line of the first (or 0)."""

    name: str
    meant: str
    count: int
    first_line: int = 0


class UnreadConsents(Struct, frozen=True, rename="camel"):
    """Events in which ``context.consent``, or a refusal of consent in an unknown event's
    properties, can't be read. The events count, but the unreadable part changes no consent.
    ``first_line``: 0 if lines are not numbered.
    """

    count: int
    first_line: int = 0


class Refusals:
    """Bounded counts of refusals by reason and path, and of misnamed events by probable name."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._firsts: dict[tuple[str, str], tuple[str, str]] = {}
        self._names: Counter[tuple[str, str]] = Counter()
        self._first_lines: dict[tuple[str, str], int] = {}
        self._unread_consents = 0
        self._first_unread_consent = 0

    def add(self, refused: _Refused, count: int = 1) -> None:
        """Count a refusal, or a letter that stands for ``count`` of them."""
        key = (str(refused.reason), refused.path)
        if key not in self._firsts:
            if len(self._firsts) >= CAUSES_MAX:
                key = (key[0], "$")
            self._firsts.setdefault(key, (refused.detail, refused.fix))
        self._counts[key] += count

    def add_name(self, name: str, meant: str, line: int = 0) -> None:
        """Count an event whose ``name`` is nearly the known name ``meant``."""
        key = (name, meant)
        if key not in self._names and len(self._names) >= NAMES_MAX:
            key = ("other names", meant)
        self._first_lines.setdefault(key, line)
        self._names[key] += 1

    def add_unread_consent(self, line: int = 0) -> None:
        """Count an accepted event whose consent can't be read completely."""
        self._first_unread_consent = self._first_unread_consent or line
        self._unread_consents += 1

    @property
    def unread_consents(self) -> UnreadConsents | None:
        """The events whose consent can't be read; None if there are none."""
        if not self._unread_consents:
            return None
        return UnreadConsents(self._unread_consents, self._first_unread_consent)

    @property
    def total(self) -> int:
        """How many were refused."""
        return self._counts.total()

    def causes(self) -> tuple[RefusalCause, ...]:
        """The most frequent causes."""
        return tuple(self._cause(key, n) for key, n in _ranked(self._counts)[:TOLD_MAX])

    def misnamed(self) -> tuple[Misnamed, ...]:
        """The most frequent misspelt names."""
        return tuple(
            Misnamed(name, meant, count, self._first_lines[name, meant])
            for (name, meant), count in _ranked(self._names)[:TOLD_MAX]
        )

    def loud(self, events: int, lines: int | None = None) -> list[RefusalCause]:
        """The causes for which more than a fifth of ``events`` were refused.

        None if there are fewer than 50 ``lines`` (by default ``events``). A reason that is this
        frequent only over all its paths together is reported once, with its most frequent path.
        """
        if (events if lines is None else lines) < LOUD_LINES_MIN:
            return []
        found = []
        by_reason: Counter[str] = Counter()
        for (reason, _), count in self._counts.items():
            by_reason[reason] += count
        for reason, total in _ranked(by_reason):
            if total <= LOUD_SHARE * events:
                continue
            ranked = _ranked(Counter({k: n for k, n in self._counts.items() if k[0] == reason}))
            alone = [self._cause(k, n) for k, n in ranked if n > LOUD_SHARE * events]
            found += alone or [self._cause(ranked[0][0], total)]
        return found

    def _cause(self, key: tuple[str, str], count: int) -> RefusalCause:
        return RefusalCause(*key, *self._firsts[key], count)


def _ranked(counts: Counter[_Key]) -> list[tuple[_Key, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def refusal_in_words(refused: _Refused) -> str:
    """A refusal on one line: reason, path, detail and fix."""
    detail = f": {refused.detail}" if refused.detail else ""
    fix = f" → {refused.fix}" if refused.fix else ""
    return f"{refused.reason} at {refused.path}{detail}{fix}"


def loud_in_words(cause: RefusalCause, events: int) -> str:
    """A loud cause in one line: the count, the reason and the fix."""
    share = f" ({cause.count / events:.0%})" if events >= cause.count else ""
    return f"{cause.count:,} of {events:,} events{share} are refused: {refusal_in_words(cause)}"


def misnamed_in_words(found: Misnamed) -> str:
    """A name and what it probably means on one line, without control characters."""
    letters = found.name[:_NAME_LETTERS_MAX] + ("…" if len(found.name) > _NAME_LETTERS_MAX else "")
    name = "".join(c if c.isprintable() else "�" for c in letters)
    first = f" (first in line {found.first_line:,})" if found.first_line else ""
    noun = "event" if found.count == 1 else "events"
    return f"{found.count:,} {noun} named '{name}': did you mean {found.meant}?{first}"


def unread_consents_in_words(found: UnreadConsents) -> str:
    """Their number, and the fix, in one line."""
    first = f" (first in line {found.first_line:,})" if found.first_line else ""
    noun = "event says" if found.count == 1 else "events say"
    return (
        f"{found.count:,} {noun} of consent what is not understood{first} → in context.consent, "
        "give each of analytics, personalisation and marketing true or false; a no of its own is "
        "a Consent Revoked, or Consent Changed with granted: false"
    )


def told(refusals: Refusals, events: int, lines: int | None = None) -> Iterator[str]:
    """All reports on what was read, one line each."""
    yield from (loud_in_words(cause, events) for cause in refusals.loud(events, lines))
    yield from (misnamed_in_words(found) for found in refusals.misnamed())
    if refusals.unread_consents is not None:
        yield unread_consents_in_words(refusals.unread_consents)
