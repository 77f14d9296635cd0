"""A customer's latest events: their names, times, amounts and channels, and nothing else of them.

Every event adds nine bytes at the end: its time, a code of its name, and the place of its channel
in the list of the customer's channels. The few amounts are kept beside them.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct, field

from config.names import folded
from config.parameters import Parameters, Section
from models.customer.engagement import CHANNEL_LENGTH_MAX
from models.customer.fingerprint import fingerprint_bytes
from models.customer.named_events import amount_minor
from models.customer.part import EVERYTHING, Line, Part, ProfileSection
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso
from models.money import in_words as money_in_words

#: The latest events of a customer.
EVENTS_MAX: Final = 20
#: Events in a profile in words; older ones are only in its JSON.
_EVENTS_TOLD_MAX = 5
_TIME_BYTES, _CODE_BYTES = 6, 2
_CHANNEL_AT: Final = _TIME_BYTES + _CODE_BYTES
_EVENT_BYTES: Final = _CHANNEL_AT + 1
_FULL_BYTES: Final = EVENTS_MAX * _EVENT_BYTES
#: The bytes that stay when one more event comes.
_KEPT_BYTES: Final = _FULL_BYTES - _EVENT_BYTES
#: The last event's time.
_LAST_TIME: Final = slice(-_EVENT_BYTES, _TIME_BYTES - _EVENT_BYTES)
#: Set in the place of the channel of an event that has an amount.
_HAS_AMOUNT: Final = 0x80
_NO_AMOUNT: Final = -1
#: The code of undeclared names, which may contain anything.
_UNNAMED: Final = bytes(_CODE_BYTES)
_NAMES_MAX: Final = 4_096
#: Each place as the byte that it is.
_PLACES: Final = tuple(bytes((place,)) for place in range(256))


class TimelineParameters(Section, frozen=True):
    section = "timeline"
    enabled: bool


class Moment(NamedTuple):
    """An event as it is kept: the code of its name, its channel or "", its amount or -1."""

    at_ms: int
    code: bytes
    channel: str = ""
    amount_minor: int = _NO_AMOUNT

    def packed(self, place: int) -> bytes:
        """Its nine bytes, given the ``place`` of its channel."""
        has_amount = _HAS_AMOUNT if self.amount_minor != _NO_AMOUNT else 0
        return b"%b%b%c" % (self.at_ms.to_bytes(_TIME_BYTES), self.code, place | has_amount)


class Timeline(State):
    """The latest events, oldest first, each ``packed``. ``channels``: their channels, sorted by
    name; ``amounts_minor``: the amounts of those that have one.
    """

    packed: bytes = b""
    channels: list[str] = field(default_factory=list)
    amounts_minor: list[int] = field(default_factory=list)

    def moments(self) -> Iterator[Moment]:
        """All that are kept, oldest first."""
        amounts = iter(self.amounts_minor)
        for start in range(0, len(self.packed), _EVENT_BYTES):
            event = self.packed[start : start + _EVENT_BYTES]
            place = event[_CHANNEL_AT]
            yield Moment(
                int.from_bytes(event[:_TIME_BYTES]),
                event[_TIME_BYTES:_CHANNEL_AT],
                self.channels[place & ~_HAS_AMOUNT],
                next(amounts) if place & _HAS_AMOUNT else _NO_AMOUNT,
            )

    def add(self, at_ms: int, code: bytes, channel: str, amount_minor: int) -> None:
        """Add one more, and drop the oldest beyond the bound."""
        at, packed, channels = at_ms.to_bytes(_TIME_BYTES), self.packed, self.channels
        # Nearly every event is later than all others.
        if packed and at <= packed[_LAST_TIME]:
            self.keep([*self.moments(), Moment(at_ms, code, channel, amount_minor)])
            return
        if channel not in channels:
            self._number(sorted([*channels, channel]))
            packed, channels = self.packed, self.channels
        place = channels.index(channel)
        if amount_minor != _NO_AMOUNT:
            self.amounts_minor.append(amount_minor)
            place |= _HAS_AMOUNT
        self.packed = packed[-_KEPT_BYTES:] + at + code + _PLACES[place]
        if len(packed) == _FULL_BYTES:
            self._let_go(packed[_CHANNEL_AT])

    def keep(self, moments: Sequence[Moment]) -> None:
        """Keep only the latest of these; the bytes do not depend on the order in which they are
        given.
        """
        latest = sorted(moments)[-EVENTS_MAX:]
        self.channels = sorted({one.channel for one in latest})
        places = {channel: place for place, channel in enumerate(self.channels)}
        self.packed = b"".join(one.packed(places[one.channel]) for one in latest)
        self.amounts_minor = [one.amount_minor for one in latest if one.amount_minor != _NO_AMOUNT]

    def _let_go(self, place: int) -> None:
        """Forget the amount of the oldest event, and its channel if no other came by it."""
        if place & _HAS_AMOUNT:
            del self.amounts_minor[0]
        left = place & ~_HAS_AMOUNT
        # A single channel is that of the event just added.
        if len(self.channels) > 1 and not _has_channel(self.packed, left):
            self._number(self.channels[:left] + self.channels[left + 1 :])

    def _number(self, channels: list[str]) -> None:
        """Replace the list of channels, and give every event its channel's new place."""
        places = bytearray(256)
        for place, channel in enumerate(self.channels):
            if channel in channels:
                places[place] = channels.index(channel)
                places[place | _HAS_AMOUNT] = places[place] | _HAS_AMOUNT
        packed = bytearray(self.packed)
        of_channels = slice(_CHANNEL_AT, None, _EVENT_BYTES)
        packed[of_channels] = packed[of_channels].translate(places)
        self.packed, self.channels = bytes(packed), channels


def _has_channel(packed: bytes, place: int) -> bool:
    places = packed[_CHANNEL_AT::_EVENT_BYTES]
    return place in places or place | _HAS_AMOUNT in places


@lru_cache(_NAMES_MAX)
def code_of(name: str) -> bytes:
    """Two bytes for a name; `models.catalogue` checks that no two known names share them."""
    return fingerprint_bytes(name)[:_CODE_BYTES]


def _own_code(event: Event, scene: Scene) -> bytes:
    # Of the shop's own names only those that rules name: all others may be personal.
    key = folded(event.name)
    name, code = scene.context.named.get(key), code_of(key)
    return code if name is not None and scene.context.names.get(code) == name else _UNNAMED


def _record(state: Timeline, event: Event, scene: Scene) -> None:
    kind, amount = event.kind, None
    if kind.declared.value is not None:
        # Most events are not about money, and are spared this call.
        amount = amount_minor(event, scene.parameters.money)
    state.add(
        event.occurred_at_ms,
        code_of(event.name) if kind.is_known else _own_code(event, scene),
        (event.channel or "")[:CHANNEL_LENGTH_MAX],
        _NO_AMOUNT if amount is None else amount,
    )


def _united(states: Sequence[Timeline], _parameters: Parameters) -> Timeline:
    """The latest events of all the person's ids."""
    one = Timeline()
    one.keep([moment for state in states for moment in state.moments()])
    return one


class EventView(Struct, frozen=True, rename="camel"):
    """An event; it has no name if its name is not declared."""

    name: str | None
    at: str
    amount_minor: int | None
    channel: str | None


def _view(scene: Scene) -> tuple[EventView, ...] | None:
    """None if the part is switched off."""
    if not TIMELINE.is_on(scene.parameters):
        return None
    names = scene.context.names
    return tuple(
        EventView(
            names.get(moment.code),
            iso(moment.at_ms),
            moment.amount_minor if moment.amount_minor != _NO_AMOUNT else None,
            moment.channel or None,
        )
        for moment in scene.row.read(TIMELINE).moments()
    )


def _in_words(events: tuple[EventView, ...] | None, as_of: str, currency: str) -> Iterator[Line]:
    for event in (events or ())[: -_EVENTS_TOLD_MAX - 1 : -1]:
        words = event.name or "an event of the shop's own"
        if event.amount_minor is not None:
            words += f" of {money_in_words(event.amount_minor, currency)}"
        if event.channel is not None:
            words += f" by {event.channel}"
        yield Line("happened", f"{words}, {how_long_before(event.at, as_of)}")


TIMELINE: Part[Timeline] = Part(
    name="timeline",
    code="tl",
    is_apart=True,
    about="What happened last: the names, times, amounts and channels of the latest 20 events.",
    state=Timeline,
    united=_united,
    parameters=TimelineParameters,
    has_own_file=True,
    listens=EVERYTHING,
    record=_record,
    sections=(
        ProfileSection("timeline", tuple[EventView, ...] | None, _view, _in_words, place=640),
    ),
)
