"""What an event says about consent: a word on each of its purposes."""

from collections.abc import Iterator

from models.customer.consent_choices import Choice
from models.customer.consent_events import MEANINGS, ConsentNews, Meaning, channel_code
from models.customer.consent_purposes import SERVICE, Purpose, purpose_called
from models.customer.consent_state import Word, list_key
from models.events.codes import code
from models.events.event import Event


def words_of(event: Event) -> Iterator[Word]:
    """The event's word on each of its purposes; a yes that is not confirmed gives none."""
    said: ConsentNews = event.properties
    meaning = MEANINGS[event.name]
    if meaning.granted is not False and said.granted == Choice.PENDING:
        return
    is_granted = meaning.granted is not False and said.granted != Choice.REVOKED
    purposes = [purpose_called(name) or "" for name in said.named] or [meaning.purpose or ""]
    channels = _channels(said, meaning, is_granted=is_granted)
    list_ = list_key(said.list_id) if meaning.has_lists else 0
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
