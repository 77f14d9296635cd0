"""The counts of a replay, and the summary at its end."""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from models.customer.contacts import CONTACTS, Outcome, decided_contact
from models.customer.labels import LabelsDropped
from models.customer.row import Row
from models.decisions.trigger import Decision, does_nothing
from models.engine import Fate
from models.events.event import Event
from models.events.refusals import Misnamed, RefusalCause, Refusals, UnreadConsents
from models.events.rejection import Rejected
from models.events.times import iso
from models.learning.churn_models import ChurnScoring, Quality
from models.learning.drift import DriftAlarm
from models.learning.population import Population
from models.learning.snapshot import Snapshot
from models.learning.spend_models import SpendQuality, SpendScoring
from models.partition_state import PartitionState


class Summary(Struct, frozen=True, rename="camel"):
    """Events by fate (``read`` = the sum of the others), triggers and actions by kind, and how
    often ``nothing`` was done about the triggers of a moment. Then the final state, the quality of
    the scores, the latest drift alarms, and the share of a year's net revenue that the best fifth
    of customers brought. ``rehearsed``: the triggers held back before the log went live, by kind;
    ``live``: since when it is live; null if it never is, and the epoch if it always was.
    ``measures``: the metrics over all customers by their names on /metrics: those of parts, and
    those of the newest snapshot. ``control_treated``: outcomes of decisions for the control group,
    by channel; ``unknown_outcomes``: of decisions that were not made for the customer. ``refusals``
    and ``misnamed``: why events were refused, and names that are nearly known ones, the most
    frequent first. What one row refused from another is among the refusals, but is no event.
    ``unread_consents``: events with a consent in their context that is not understood.
    ``labels_dropped``: waiting labels that were dropped and teach nothing, by reason.
    """

    events: dict[str, int]
    triggers: dict[str, int]
    scores: int
    customers: int
    model_version: int
    clock: str | None
    quality: tuple[Quality, ...] = ()
    drift: tuple[DriftAlarm, ...] = ()
    spend_quality: tuple[SpendQuality, ...] = ()
    revenue_share_top_fifth: float | None = None
    measures: dict[str, float] = {}
    control_treated: dict[str, int] = {}
    unknown_outcomes: int = 0
    nothing: int = 0
    rehearsed: dict[str, int] = {}
    live: str | None = iso(0)
    refusals: tuple[RefusalCause, ...] = ()
    misnamed: tuple[Misnamed, ...] = ()
    unread_consents: UnreadConsents | None = None
    labels_dropped: dict[str, int] = {}


class ReplayCounts:
    """Counts events and what they led to, over all partitions of a log."""

    def __init__(self) -> None:
        self.refusals = Refusals()
        self._fates: Counter[str] = Counter()
        self._triggers: Counter[str] = Counter()
        self._nothing = 0
        self._rehearsed: Counter[str] = Counter()
        self._scores = 0
        self._control_treated: Counter[str] = Counter()
        self._unknown_outcomes = 0
        self._labels_dropped: Counter[str] = Counter()

    def add_fate(self, fate: Fate) -> None:
        self._fates[fate] += 1

    def add_refused(self, rejected: Rejected) -> None:
        """Count an event that only becomes a dead letter."""
        self._fates["deadLettered"] += 1
        self.refusals.add(rejected)

    def add_refused_record(self, rejected: Rejected) -> None:
        """Count why a row refused a record from another; the event behind it has its own fate."""
        self.refusals.add(rejected)

    def add_score(self) -> None:
        self._scores += 1

    def add_rehearsed(self, kinds: Iterable[str]) -> None:
        """Count triggers that were held back."""
        self._rehearsed.update(kinds)

    def add_dropped(self, dropped: Iterable[LabelsDropped]) -> None:
        for why, count in dropped:
            self._labels_dropped[why] += count

    def add_decision(self, decided: Decision) -> None:
        if does_nothing(decided):
            self._nothing += 1
        else:
            self._triggers[decided.kind] += 1

    def add_outcome(self, event: Event, row: Row, *, is_history: bool) -> None:
        """Count an outcome of no decision for this customer, or of one for the control group. The
        former do not count in history, which names decisions of other systems.
        """
        contact = decided_contact(row.read(CONTACTS), event)
        if contact is None:
            self._unknown_outcomes += not is_history
        elif contact.outcome == Outcome.CONTAMINATED:
            self._control_treated[contact.channel] += 1

    def summary(
        self,
        states: Sequence[PartitionState],
        snapshot: Snapshot,
        *,
        customers: int,
        clock_ms: int,
        alarms: Iterable[DriftAlarm],
        measures: dict[str, float],
    ) -> Summary:
        """``states`` of the partitions, the latest of their clocks, and the newest ``snapshot``."""
        fates = {fate: self._fates[fate] for fate in (*Fate, "deadLettered")}
        lived = [s.live_at_ms for s in states or [PartitionState()] if s.live_at_ms is not None]
        return Summary(
            events={"read": sum(fates.values()), **fates},
            triggers=dict(sorted(self._triggers.items())),
            scores=self._scores,
            customers=customers,
            model_version=max((state.model_version for state in states), default=0),
            clock=iso(clock_ms) if clock_ms else None,
            quality=snapshot.of(ChurnScoring).quality,
            drift=tuple(alarms),
            spend_quality=snapshot.of(SpendScoring).quality,
            revenue_share_top_fifth=snapshot.of(Population).revenue_share_top_fifth,
            measures=measures,
            control_treated=dict(sorted(self._control_treated.items())),
            unknown_outcomes=self._unknown_outcomes,
            nothing=self._nothing,
            rehearsed=dict(sorted(self._rehearsed.items())),
            live=iso(max(lived)) if lived else None,
            refusals=self.refusals.causes(),
            misnamed=self.refusals.misnamed(),
            unread_consents=self.refusals.unread_consents,
            labels_dropped=dict(sorted(self._labels_dropped.items())),
        )
