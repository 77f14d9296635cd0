"""Decisions for a customer: when the risk rises, what is done about it, and how often."""

from itertools import pairwise, permutations
from typing import Any

import msgspec
import orjson
import pytest
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS, DurationMs
from config.parameters import Parameters
from config.rules import Cap
from models.admission import decode_event
from models.comparison import has_content
from models.customer.contacts import (
    CONTACTS,
    DECISIONS_MAX,
    REJECTED_MAX,
    SUPPRESSIONS_MAX,
    Contact,
    Contacts,
    Decided,
    Outcome,
    RejectedAction,
)
from models.customer.fingerprint import fingerprint
from models.customer.holdout import is_control
from models.customer.row import Row, encode_row
from models.decisions.trigger import (
    NextBestAction,
    Priority,
    Trigger,
    decode_decision,
    does_nothing,
    encode_decision,
)
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from tests.models.lines import (
    PARAMETERS,
    at,
    context,
    copied,
    happened,
    line,
    lived,
    of,
    step,
    waited,
)

CUSTOMER = "ada"


def ordered(days: float, revenue: float = 100.0) -> Event:
    return happened("Order Completed", at(days=days), order_id=f"O-{days}", revenue=revenue)


def said_to_leave(probability: float, parameters: Parameters = PARAMETERS) -> Parameters:
    """Nothing is learnt yet, so the operator's prior is every customer's score."""
    churn = replace(parameters.churn, prior=probability, check_in_days=365.0)
    return replace(parameters, churn=churn)


def triggered(effects: list[Effect], kind: str = "churn-risk") -> list[Trigger]:
    return [e for e in effects if isinstance(e, Trigger) and e.kind == kind]


def chosen(effects: list[Effect]) -> list[NextBestAction]:
    """The decisions that choose an action."""
    return [e for e in effects if isinstance(e, NextBestAction) and e.action is not None]


def left_alone(effects: list[Effect]) -> list[NextBestAction]:
    """The decisions to do nothing."""
    return [e for e in effects if isinstance(e, NextBestAction) and e.action is None]


def looked_at(row: Row, days: float, probability: float) -> tuple[Row, list[Effect]]:
    """A session begins, while the customer's score is this high."""
    within = context(parameters=said_to_leave(probability))
    after, _, effects = step(row, happened("page", at(days=days)), within)
    return after, effects


def risen(moments: list[tuple[float, float]], row: Row | None = None) -> list[float]:
    """The days on which churn-risk fires along (day, probability)."""
    calm = context(parameters=said_to_leave(0.1))
    row = row or lived([ordered(0), ordered(0.1)], within=calm)
    row, days = waited(row, at(days=1, ms=-1), within=calm)[0], []
    for day, probability in moments:
        row, effects = looked_at(row, day, probability)
        if triggered(effects):
            days.append(day)
    return days


def test_churn_risk_is_of_customers_who_bought_twice() -> None:
    assert [] == risen([(1, 0.9)], row=lived([happened("page", at())]))
    assert [] == risen([(1, 0.9)], row=lived([ordered(0)]))


def test_a_risk_that_rises_in_silence_is_told_at_the_decision_point() -> None:
    calm = context(parameters=replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.1)))
    gloomy = context(parameters=replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.95)))
    row = lived([ordered(0), ordered(0.1)], within=calm)
    row, before = waited(row, at(days=6), within=calm)
    _, after = waited(row, at(days=50), within=gloomy)

    assert [] == triggered(before)
    # The first check-in after the thirty days in which a purchase is expected.
    [told] = triggered(after)
    assert (iso(at(days=36, ms=-1_000)), f"score:{at(days=36, ms=-1_000)}") == (
        told.timestamp,
        told.cause.deadline,
    )


@pytest.mark.parametrize("gap", [7, 30, 365, 400])
def test_a_purchase_is_never_a_sign_of_leaving(gap: int) -> None:
    """However certain the score is that nothing is bought within its horizon."""
    sure = context(parameters=replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.99)))
    row, told = Row(), []
    for day in range(0, 6 * gap, gap):
        row, _ = waited(row, at(days=day), within=sure)
        row, _, effects = step(row, ordered(day), sure)
        _, soon = waited(row, at(days=day + gap // 2), within=sure)
        told += [triggered(effects), triggered(soon)]

    assert [[]] * 12 == told


def test_a_page_within_a_session_asks_for_no_score() -> None:
    row = lived([ordered(0), ordered(0.1), happened("page", at(days=1))])
    within = context(parameters=said_to_leave(0.9))
    _, _, effects = step(row, happened("page", at(days=1, minutes=5)), within)

    assert [] == triggered(effects)


def eager(**changes: Any) -> Parameters:
    """Every trigger fires each time, and no action has a cooldown; ``changes`` of the catalogue."""
    rules = PARAMETERS.triggers
    triggers = tuple(replace(rule, cooldown=0) for rule in rules.triggers)
    actions = tuple(
        replace(a, cooldown=0, propensity=1.0, cost=0.01) for a in PARAMETERS.actions.actions
    )
    return replace(
        PARAMETERS,
        triggers=replace(rules, triggers=triggers),
        actions=replace(PARAMETERS.actions, actions=actions, **changes),
    )


def carts(hours: list[float], parameters: Parameters, row: Row | None = None) -> list[Effect]:
    """A cart that is abandoned at each of these hours."""
    within = context(parameters=parameters)
    row, found = row or Row(), []
    for hour in hours:
        put = happened("Product Added", at(hours=hour), product_id=f"P-{hour}", price=60.0)
        row, _, effects = step(row, put, within)
        found += effects
        row, more = waited(row, at(hours=hour + 1), within=within)
        found += more
    return found


def test_nobody_is_contacted_more_often_than_the_caps_allow() -> None:
    found = carts([2.0 * n for n in range(12 * 70)], eager())
    times = [_ms(action.timestamp) for action in chosen(found)]

    assert 12 * 70 == len(triggered(found, "cart-abandoned"))
    # Three in 28 days, a day apart, and again as soon as the first of them is 28 days ago.
    assert [n * DAY_MS for n in (0, 1, 2, 28, 29, 30, 56, 57, 58)] == [
        ms - times[0] for ms in times
    ]
    assert all(action.suppressed for action in chosen(found))


def _ms(timestamp: str) -> int:
    raw = line("page", at()).replace(iso(at()).encode(), timestamp.encode())
    return decode_event(raw, message_id="").occurred_at_ms


def test_the_first_shut_gate_is_named_as_what_suppressed_the_others() -> None:
    """A ticket and a cart fall due at one moment, hours after a contact."""
    parameters = eager()
    within = context(parameters=parameters)
    row = lived([ordered(0)], within=within)
    events = [
        happened("Product Added", at(hours=1), product_id="P", price=60.0),
        happened("Ticket Opened", at(hours=3), ticket_id="T", priority="urgent"),
        happened("Product Added", at(hours=6), product_id="Q", price=60.0),
    ]
    found: list[Effect] = []
    for event in events:
        row, _, effects = step(row, event, within)
        found += effects
    row, more = waited(row, at(hours=7), within=within)
    first, second = chosen([*found, *more])

    assert ("cart-reminder", at(hours=2)) == (first.action, _ms(first.timestamp))
    assert ("service-recovery", at(hours=7)) == (second.action, _ms(second.timestamp))
    by = {gate.action: gate.by for gate in second.suppressed}
    # Who waits for help is not advertised to, whether or not a cap is full.
    assert "truce" == by["cart-reminder"]
    # An open ticket shuts a gate before the cap does.
    assert "eligibility" == by["cart-coupon"]
    assert ("cart-abandoned", "ticket-overdue") == second.triggers


def test_service_messages_are_exempt_from_the_caps_and_do_not_count() -> None:
    parameters = eager()
    within = context(parameters=parameters)
    row, found = lived([ordered(0)], within=within), []
    for number in range(20):
        opened = happened(
            "Ticket Opened", at(hours=5 * number), ticket_id=f"T-{number}", priority="urgent"
        )
        row, _, effects = step(row, opened, within)
        found += effects
        row, more = waited(row, at(hours=5 * number + 4), within=within)
        found += more
        solved = happened("Ticket Solved", at(hours=5 * number + 4.5), ticket_id=f"T-{number}")
        row, _, _ = step(row, solved, within)
    contacts = chosen(carts([110.0], parameters, row=row))

    assert ["service-recovery"] * 20 == [action.action for action in chosen(found)]
    assert 1 == len(contacts)


@pytest.mark.parametrize(
    ("cap", "gaps_hours"),
    [
        (Cap(at_most=1, per=DurationMs(6 * HOUR_MS)), {6}),
        (Cap(at_most=1, per=DurationMs(6 * HOUR_MS), channel="email"), {6}),
        (Cap(at_most=1, per=DurationMs(6 * HOUR_MS), channel="phone"), {2}),
        (Cap(at_most=1, per=DurationMs(6 * HOUR_MS), action="cart-coupon"), {2}),
    ],
)
def test_a_cap_counts_the_contacts_of_its_channel_or_action(
    cap: Cap, gaps_hours: set[float]
) -> None:
    found = chosen(carts([2.0 * n for n in range(30)], eager(caps=(cap,))))
    times = [_ms(action.timestamp) for action in found]

    assert gaps_hours == {(later - earlier) / HOUR_MS for earlier, later in pairwise(times)}


def test_an_action_waits_for_its_own_cooldown() -> None:
    shipped = {action.name: action for action in PARAMETERS.actions.actions}
    parameters = eager(caps=())
    catalogue = parameters.actions
    slow = tuple(replace(a, cooldown=shipped[a.name].cooldown) for a in catalogue.actions)
    parameters = replace(parameters, actions=replace(catalogue, actions=slow))
    found = chosen(carts([2.0 * n for n in range(12 * 70)], parameters))

    assert {"cart-reminder", "cart-coupon"} == {action.action for action in found}
    for name in ("cart-reminder", "cart-coupon"):
        times = [_ms(action.timestamp) for action in found if action.action == name]
        gaps = {later - earlier for earlier, later in pairwise(times)}
        assert {shipped[name].cooldown} == gaps


def test_a_cooldown_outlasts_however_many_other_decisions() -> None:
    contacts = Contacts()
    contacts.remember(Contact(0, "personal-call", "phone", at(), True))
    for number in range(1, 100):
        made = Contact(number, "service-recovery", "phone", at(hours=number), True)
        contacts.remember(made)
        assert len(contacts.latest) <= DECISIONS_MAX
        assert contacts.latest == sorted(contacts.latest, key=lambda d: d.at_ms)

    assert "personal-call" == contacts.latest[0].action
    assert 99 == contacts.latest[-1].id
    for number in range(100, 200):
        contacts.remember(Contact(number, f"a-{number}", "email", at(hours=number), True))
        assert len(contacts.latest) <= DECISIONS_MAX
    assert 199 == contacts.latest[-1].id


def test_priority_is_its_factors_and_the_highest_wins() -> None:
    for action in chosen(carts([2.0, 40.0], eager(), row=lived([ordered(0)]))):
        assert action.priority is not None
        for priority in (action.priority, *(other.priority for other in action.outranked)):
            assert pytest.approx(recomputed(priority), rel=1e-12) == priority.priority
            assert priority.priority > 0
        assert all(action.priority.priority >= o.priority.priority for o in action.outranked)


def recomputed(p: Priority) -> float:
    return p.propensity * p.context_weight * p.value * p.lever - p.cost


def test_a_lever_moves_an_action_up() -> None:
    def winner(lever: float) -> str | None:
        parameters = eager()
        actions = tuple(
            replace(a, lever=lever) if a.name == "cart-reminder" else a
            for a in parameters.actions.actions
        )
        parameters = replace(parameters, actions=replace(parameters.actions, actions=actions))
        return chosen(carts([2.0], parameters))[0].action

    assert "cart-reminder" == winner(1.0)
    assert "cart-coupon" == winner(0.5)


def test_an_action_that_costs_more_than_it_brings_is_not_taken() -> None:
    parameters = eager()
    actions = tuple(replace(a, cost=1_000.0) for a in parameters.actions.actions)
    parameters = replace(parameters, actions=replace(parameters.actions, actions=actions))
    found = carts([2.0], parameters)

    [fired] = triggered(found, "cart-abandoned")
    assert [] == chosen(found)
    [nothing] = left_alone(found)
    assert (None, None, None, None) == (
        nothing.channel,
        nothing.owner,
        nothing.due_at,
        nothing.priority,
    )
    assert (("cart-abandoned",), fired.cause, fired.group) == (
        nothing.triggers,
        nothing.cause,
        nothing.group,
    )
    names = [action.name for action in parameters.actions.actions]
    assert names == [other.action for other in nothing.suppressed]
    assert () == nothing.outranked
    assert {"cart-reminder": "priority", "cart-coupon": "priority"} == {
        other.action: other.by for other in nothing.suppressed if other.by != "answers"
    }


def test_a_decision_that_nothing_is_done_is_no_contact() -> None:
    """A cap of 0: all triggers lead to decisions to do nothing, and nothing is remembered."""
    parameters = eager(caps=(Cap(at_most=0, per=DurationMs(DAY_MS)),))
    within = context(parameters=parameters)
    row, found = Row(), []
    for hour in (0, 3, 6):
        put = happened("Product Added", at(hours=hour), product_id="P", price=60.0)
        row, _, effects = step(row, put, within)
        row, more = waited(row, at(hours=hour + 2), within=within)
        found += [*effects, *more]

    assert 3 == len(left_alone(found)) == len({decision.id for decision in left_alone(found)})
    assert [] == of(row).contacts.latest


def test_a_tenth_of_all_customers_is_held_out_for_good() -> None:
    customers = [f"c-{number}" for number in range(10_000)]
    control = {customer for customer in customers if is_control(customer, 0.1)}

    # Three standard deviations are 90.
    assert abs(len(control) - 1_000) < 90
    assert control == {customer for customer in customers if is_control(customer, 0.1)}
    # A larger share keeps those who were in it, and none has nobody.
    assert control < {customer for customer in customers if is_control(customer, 0.2)}
    assert set() == {customer for customer in customers if is_control(customer, 0.0)}


def test_control_decisions_are_made_and_marked_and_count_like_the_others() -> None:
    everybody, nobody = eager(holdout=0.9999), eager(holdout=0.0)
    hours = [2.0 * n for n in range(12 * 30)]
    held_out, treated = chosen(carts(hours, everybody)), chosen(carts(hours, nobody))

    for parameters, group in ((everybody, "control"), (nobody, "treated")):
        fired = triggered(carts(hours, parameters), "cart-abandoned")
        assert {group} == {trigger.group for trigger in fired}
    assert {"control"} == {action.group for action in held_out}
    assert {"treated"} == {action.group for action in treated}
    assert [replace(action, group="treated") for action in held_out] == treated


def decided() -> tuple[Row, NextBestAction]:
    within = context(parameters=eager())
    put = happened("Product Added", at(), product_id="P", price=60.0)
    row, effects = waited(lived([put], within=within), at(hours=1), within=within)
    [action] = chosen(effects)
    return row, action


def kept(row: Row) -> list[tuple[Any, ...]]:
    """A row's content for each decision, without its outcome."""
    contacts = of(row).contacts.latest
    return [(one.id, one.action, one.channel, one.at_ms, one.treated) for one in contacts]


def outcome(name: str, hours: float, decision_id: str) -> Event:
    return happened(f"Action {name}", at(hours=hours), decision_id=decision_id)


@pytest.mark.parametrize(
    ("heard", "stands"),
    [
        (["Delivered"], Outcome.DELIVERED),
        (["Delivered", "Opened", "Clicked"], Outcome.CLICKED),
        (["Delivered", "Opened", "Accepted"], Outcome.ACCEPTED),
        (["Opened", "Rejected"], Outcome.REJECTED),
        (["Failed"], Outcome.FAILED),
    ],
)
def test_an_outcome_is_recorded_in_whatever_order_it_is_heard_of(
    heard: list[str], stands: Outcome
) -> None:
    row, action = decided()
    for arrival in permutations(enumerate(heard)):
        events = [outcome(name, 2 + hour, action.id) for hour, name in arrival]
        after = lived(events, row=row)

        assert [stands] == [contact.outcome for contact in of(after).contacts.latest]
        assert kept(row) == kept(after)


def test_an_outcome_of_a_decision_never_heard_of_changes_no_decision() -> None:
    row, action = decided()

    for name in ("Delivered", "Clicked", "Failed"):
        after = lived([outcome(name, 2, "somebody else's")], row=row)
        assert CONTACTS.pack(of(row).contacts) == CONTACTS.pack(of(after).contacts)
    assert fingerprint(action.id) == of(row).contacts.latest[0].id
    assert [] == kept(lived([outcome("Clicked", 2, action.id)]))


def test_an_outcome_finds_its_decision_among_others() -> None:
    row = Row()
    for name in ("a", "b", "c"):
        made = Contact(fingerprint(name), "cart-reminder", "email", at(), True)
        row.edit(CONTACTS).remember(made)
    after = lived([outcome("Accepted", 1, "b")], row=row)

    assert ["none", "accepted", "none"] == [c.outcome for c in of(after).contacts.latest]


def test_decisions_are_read_as_they_were_written() -> None:
    made = carts([2.0, 4.0, 40.0], eager())
    found = [e for e in made if isinstance(e, Trigger | NextBestAction)]

    assert {Trigger, NextBestAction} == {type(decision) for decision in found}
    assert {True, False} == {does_nothing(decision) for decision in found}
    for decision in found:
        assert decision == decode_decision(encode_decision(decision))


def test_a_trigger_of_an_earlier_release_is_read_without_a_group() -> None:
    [fired] = triggered(carts([2.0], eager()), "cart-abandoned")
    told = orjson.loads(encode_decision(fired))
    del told["group"]

    assert replace(fired, group=None) == decode_decision(orjson.dumps(told))


def test_of_a_moment_so_much_is_kept_of_what_was_rejected() -> None:
    contacts = Contacts()
    rejected = [RejectedAction(f"a-{n}", "consent", at(), 0, "x" * 500) for n in range(100)]
    for day in range(50):
        made = Decided(
            at(days=day), ["cart-abandoned"], "", [f"b-{n}" for n in range(99)], rejected
        )
        contacts.decide(made)

    assert [at(days=48), at(days=49)] == [decided.at_ms for decided in contacts.moments]
    for decided in contacts.moments:
        assert [f"a-{n}" for n in range(REJECTED_MAX)] == [one.action for one in decided.rejected]
        assert [f"b-{n}" for n in range(REJECTED_MAX)] == decided.outranked
        assert {64} == {len(one.what) for one in decided.rejected}
    assert len(CONTACTS.pack(contacts)) < 4_096


def moment(day: int, *rejected: str) -> Decided:
    made = [RejectedAction(action, "cooldown", at(), at(days=99)) for action in rejected]
    return Decided(at(days=day), ["cart-abandoned"], "", ["b"], made)


def test_of_the_latest_suppressions_is_kept_which_gate_was_shut_and_when() -> None:
    contacts = Contacts()
    for day in range(40):
        contacts.decide(moment(day, f"a-{day}"))
    # A late event may bring one that is earlier; it takes its place, and the oldest goes.
    contacts.decide(moment(37, "late"))

    expected = [(day, f"a-{day}") for day in range(17, 38)]
    expected += [(37, "late"), (38, "a-38"), (39, "a-39")]
    found = [(one.at_ms, one.action) for one in contacts.suppressed()]
    assert [(at(days=day), action) for day, action in expected] == found
    assert {"cooldown"} == {one.by for one in contacts.suppressed()}
    assert len(CONTACTS.pack(contacts)) < 1_024
    # Full moments leave no room for others.
    for day in (40, 41):
        contacts.decide(moment(day, *(f"c-{n}" for n in range(99))))
    assert (SUPPRESSIONS_MAX, []) == (len(contacts.suppressed()), contacts.earlier)


def test_a_person_has_the_latest_suppressions_of_all_ids() -> None:
    one, other = Contacts(), Contacts()
    for day in range(40):
        (one if day % 3 else other).decide(moment(day, f"a-{day}"))
    united = CONTACTS.united([one, other], PARAMETERS)

    assert [f"a-{day}" for day in range(16, 40)] == [s.action for s in united.suppressed()]
    assert [at(days=38), at(days=39)] == [decided.at_ms for decided in united.moments]


def test_a_row_that_was_begun_before_suppressions_were_kept_is_as_expected() -> None:
    whole, upgraded = Row(), Row()
    for day in range(30):
        whole.edit(CONTACTS).decide(moment(day, f"a-{day}"))
    for day in range(20, 30):
        upgraded.edit(CONTACTS).decide(moment(day, f"a-{day}"))
    late = copied(upgraded)
    late.edit(CONTACTS).decide(moment(2, "late"))
    other = copied(upgraded)
    other.edit(CONTACTS).earlier[3].by = "truce"

    assert has_content(encode_row(upgraded), encode_row(whole))
    assert has_content(encode_row(late), encode_row(whole))
    assert not has_content(encode_row(whole), encode_row(upgraded))
    assert not has_content(encode_row(other), encode_row(whole))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_contacts_of_earlier_releases_are_read(version: int) -> None:
    state = Contacts()
    state.decide(moment(1, "a"))
    fields = msgspec.msgpack.decode(CONTACTS.pack(state))
    content = msgspec.msgpack.encode(fields[: {1: 4, 2: 5, 3: 5}[version]])
    if version >= CONTACTS.dense_since:
        assert CONTACTS.dense is not None
        content = CONTACTS.dense.compress(content)
    read = CONTACTS.readers_apart[version](content)

    assert ([], version > 1) == (read.earlier, bool(read.suppressed()))
