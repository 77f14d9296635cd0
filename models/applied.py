"""What one record of the log did."""

from msgspec import Struct

from models import erasure
from models.customer.contacts import OUTCOMES
from models.customer.labels import LabelsDropped
from models.engine import Effect, Fate, Rehearsed
from models.events.erasure_record import Erased
from models.events.event import Event
from models.events.link_record import FORWARDED, LinkRecord
from models.events.rejection import Rejected
from models.learning.lessons import Taught


class Applied(Struct, frozen=True, gc=False):
    """What one record of the log did. ``fate`` and ``event`` are None for control records and for
    records that were applied before. ``rehearsed``: the rules that would have fired. ``refused``:
    why a part refused the event, which then has no fate. ``passed_on``: the event of an id that a
    record brought to its person. ``dropped``: labels that teach nothing.
    """

    effects: list[Effect]
    fate: Fate | None = None
    event: Event | None = None
    rehearsed: tuple[str, ...] = ()
    refused: Rejected | None = None
    passed_on: Event | None = None
    dropped: tuple[LabelsDropped, ...] = ()

    @property
    def outcome(self) -> Event | None:
        """The outcome of a decision that this record brought to the customer it may have been made
        for; not to one of their ids, which forwards it.
        """
        event = self.event if self.fate is Fate.APPLIED else self.passed_on
        if event is None or event.name not in OUTCOMES:
            # The usual case.
            return None
        is_theirs = any(isinstance(e, LinkRecord) and e.kind == FORWARDED for e in self.effects)
        return None if is_theirs else event


#: A record that was applied before: it changes nothing.
ALREADY_APPLIED = Applied([])


def placed(
    partition: int,
    offset: int,
    effects: list[Effect],
    fate: Fate | None = None,
    event: Event | None = None,
) -> Applied:
    """What the record at ``offset`` of a partition did. Lessons and records to other rows get their
    position in the log, by which repeats are dropped.
    """
    rehearsed: list[str] = []
    dropped: list[LabelsDropped] = []
    index = told = 0
    for effect in effects:
        if isinstance(effect, Taught):
            effect.partition, effect.offset, effect.index = partition, offset, index
        elif isinstance(effect, LabelsDropped):
            # They get no index, so that the indexes of lessons stay the same.
            dropped.append(effect)
            continue
        elif isinstance(effect, Erased):
            effect.partition, effect.offset = partition, offset
        elif isinstance(effect, LinkRecord):
            # Numbered separately: a clock that moves far has any number of other effects.
            effect.partition, effect.offset, effect.index = partition, offset, told
            told += 1
            # An expiry is missing when this is read again; the other indexes must not change.
            index -= erasure.is_expiry(effect)
        elif isinstance(effect, Rehearsed):
            rehearsed.append(effect.kind)
        index += 1
    if rehearsed:
        effects = [effect for effect in effects if not isinstance(effect, Rehearsed)]
    if dropped:
        effects = [effect for effect in effects if not isinstance(effect, LabelsDropped)]
    return Applied(effects, fate, event, tuple(rehearsed), dropped=tuple(dropped))
