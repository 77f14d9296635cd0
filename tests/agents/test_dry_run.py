"""A dry run shows exactly what the event would do, and touches nothing else."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from models.admission import admit
from models.applied import Applied
from models.customer.profile import profile
from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger
from models.decisions.verdicts import RuleVerdict
from models.dry_run import Copied, DryRun, dry_run
from models.events.event import Event
from models.events.link_record import LinkRecord, encode_link_record
from models.events.rejection import Rejected
from models.events.wire import decode_log_line, encode_log_event
from models.links import is_told
from models.partition import Partition
from models.partition_state import encode_state, rehearsing_state
from models.plan import plan_for
from streams.customers_table import CustomerRows
from tests.agents.console.conftest import PARAMETERS_EAGER
from tests.models.lines import PRIOR, START_MS, at, happened

SHOP = ShopConfig(seed=11, customers=25, start_ms=START_MS, days=45, late=0.02, duplicates=0.05)
PLAN = plan_for(PARAMETERS_EAGER)
TOPIC = "clickstream"


class Shop:
    """A partition that folds events as a worker's does."""

    def __init__(self, **how: Any) -> None:
        self.rows = CustomerRows()
        self.fold = Partition(0, self.rows, PRIOR, PLAN, lambda *_: PRIOR, **how)

    def tried(self, event: Event) -> DryRun:
        row = self.rows.packed(event.customer)
        return dry_run(event, TOPIC, Copied.of(self.fold, row, None), PLAN)

    def applied(self, event: Event) -> Applied:
        applied = self._record(encode_log_event(event))
        for effect in applied.effects:
            if isinstance(effect, LinkRecord):
                self._record(encode_link_record(effect))
        list(self.rows.drain())
        return applied

    def _record(self, content: bytes) -> Applied:
        return self.fold.apply(self.fold.state.applied + 1, decode_log_line(content))

    def stored(self) -> tuple[bytes, dict[str, bytes]]:
        return encode_state(self.fold.state), dict(self.rows.all_packed())

    def profile(self, customer: str, at_ms: int) -> Any:
        row = self.rows.peek(customer)
        if row is None or not is_told(row):
            return None
        return msgspec.to_builtins(profile(customer, row, at_ms, self.fold.context))


def events() -> Iterator[Event]:
    for number, record in enumerate(simulate(SHOP)):
        try:
            yield admit(record.value, PARAMETERS_EAGER, message_id=str(number), topic=record.topic)
        except Rejected:
            continue


@pytest.fixture(scope="module")
def tries() -> list[tuple[DryRun, Applied, Any]]:
    """Dry runs of some of a shop's events, the real results of these events, and the customer's
    profile afterwards, as of the dry run's time. Checks in between that no bytes have changed.
    """
    shop, found = Shop(), []
    for number, event in enumerate(events()):
        if number % 3 == 1:
            shop.applied(event)
            continue
        before = shop.stored()
        run = shop.tried(event)
        assert before == shop.stored()
        applied = shop.applied(event)
        at_ms = max(shop.fold.as_of_ms, event.occurred_at_ms)
        found.append((run, applied, shop.profile(event.customer, at_ms)))
    return found


def test_it_decides_what_the_fold_decides(
    tries: list[tuple[DryRun, Applied, Any]],
) -> None:
    for run, applied, *_ in tries:
        mine = {run.event.user_id} if run.event is not None else set()
        told = [e for e in applied.effects if getattr(e, "user_id", None) in mine]
        assert [one for one in told if isinstance(one, Trigger)] == list(run.triggers)
        assert [one for one in told if isinstance(one, NextBestAction)] == list(run.actions)
        assert [one for one in told if isinstance(one, ActionWithdrawn)] == list(run.withdrawals)
        assert str(applied.fate) == run.fate
    assert any(run.actions for run, *_ in tries)
    assert {"applied", "duplicate", "late"} <= {run.fate for run, *_ in tries}


def test_the_customer_is_afterwards_what_it_says(
    tries: list[tuple[DryRun, Applied, Any]],
) -> None:
    assert [] == [run for run, _, after in tries if after != run.after]
    assert any(run.before is None is not run.after for run, *_ in tries)
    unchanged = [run for run, *_ in tries if run.fate in ("late", "duplicate")]
    assert unchanged


def test_a_rule_fires_if_and_only_if_its_verdict_is_that(
    tries: list[tuple[DryRun, Applied, Any]],
) -> None:
    seen = set()
    for run, *_ in tries:
        fired = [(one.rule, one.at) for one in run.looks if one.verdict is RuleVerdict.FIRES]
        assert fired == [(one.kind, one.timestamp) for one in run.triggers]
        for one in run.looks:
            seen.add(one.verdict)
            assert (one.verdict is RuleVerdict.CONDITION) == bool(one.unmet)
            assert (one.verdict is RuleVerdict.COOLDOWN) == (one.until is not None)
    assert {RuleVerdict.FIRES, RuleVerdict.CONDITION, RuleVerdict.BELOW} <= seen


def test_the_deadlines_that_it_sets_are_told() -> None:
    added = happened("Product Added", at(), product_id="p", price=30.0, quantity=2)
    run = Shop().tried(added)

    [cart] = [one for one in run.deadlines if one.part == "cart"]
    assert (None, "2026-01-01T01:00:00.000Z") == (cart.before, cart.after)
    assert run.before is None
    assert 1 == (run.after or {})["cart"]["items"]


def test_while_a_partition_rehearses_it_says_so_and_decides_nothing() -> None:
    shop = Shop(state=rehearsing_state())
    for event in islice(events(), 400):
        run = shop.tried(event)
        assert run.is_rehearsing
        assert () == run.triggers == run.actions
        shop.applied(event)


def test_somebody_without_a_row_has_none_afterwards() -> None:
    shop = Shop()
    shop.tried(happened("page", at()))

    assert {} == shop.rows.all_packed()
