"""Decisions are found by their ids and explained in words, from the files of a replay."""

from itertools import pairwise
from pathlib import Path

import msgspec
import orjson
import pytest
from typer.testing import CliRunner, Result

from agents.cli import app
from agents.words.decisions import TRUCES, moment_in_words
from config.topics import DECISION_LEDGER
from models.customer.contacts import COOLDOWN_OVER
from models.customer.registry import MOMENTS
from models.decisions.gates import GATE_NAMES
from models.decisions.trigger import (
    ActionWithdrawn,
    Cause,
    Decision,
    NextBestAction,
    Suppressed,
    Trigger,
    encode_decision,
)
from streams.decision_ledger import LATEST_MAX, Moments, Question, find_in_lines
from streams.outputs import OUTPUTS
from tests.models.lines import at, context, happened, lived_with_effects, waited
from tests.models.test_decisions import carts, eager


def decided() -> list[Decision]:
    """Two carts, of which the second is beyond the caps, then a ticket and a cart at one moment."""
    within = context(parameters=eager())
    found = carts([2.0, 6.0], eager())
    events = [
        happened("Order Completed", at(days=30), order_id="O", revenue=100.0),
        happened("Ticket Opened", at(days=40), ticket_id="T", priority="urgent"),
        happened("Product Added", at(days=40, hours=3), product_id="Q", price=60.0),
    ]
    row, effects = lived_with_effects(events, within=within)
    more = waited(row, at(days=40, hours=4), within=within)[1]
    together = [*found, *effects, *more]
    return [one for one in together if isinstance(one, Trigger | NextBestAction)]


DECIDED = decided()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "triggers.jsonl"
    path.write_bytes(b"".join(encode_decision(one) + b"\n" for one in DECIDED))
    return path


def explain(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


@pytest.mark.parametrize("place", range(len(DECIDED)))
def test_every_decision_is_found_with_its_moment(place: int) -> None:
    wanted = DECIDED[place]
    [found] = find_in_lines(map(encode_decision, DECIDED), Question(decision=wanted.id))

    assert found.action is not None
    assert wanted in (*found.triggers, found.action)
    assert found.action.triggers == tuple(trigger.kind for trigger in found.triggers)
    assert {found.action.timestamp} == {trigger.timestamp for trigger in found.triggers}


def test_a_moment_with_two_triggers_is_told_as_one() -> None:
    first, second = next(
        pair for pair in pairwise(DECIDED) if all(isinstance(one, Trigger) for one in pair)
    )
    [found] = find_in_lines(map(encode_decision, DECIDED), Question(decision=second.id))

    assert (first, second) == found.triggers


def test_a_trigger_whose_action_is_lost_is_told_without() -> None:
    """Releases without next best actions wrote only triggers."""
    triggers = [one for one in DECIDED if isinstance(one, Trigger)]
    for wanted in triggers:
        lines = map(encode_decision, triggers)
        [found] = find_in_lines(lines, Question(decision=wanted.id))
        assert (True, None) == (wanted in found.triggers, found.action)
        assert "no decision about it was kept" == list(moment_in_words(*found))[-1]


def test_what_was_chosen_is_told_with_its_sum_and_why_not_the_others(file: Path) -> None:
    action = DECIDED[1]
    assert isinstance(action, NextBestAction)
    told = explain(action.id, "--file", file)

    assert 0 == told.exit_code, told.output
    lines = told.stdout.splitlines()
    assert f"{action.action} is chosen ({action.id})" in lines
    assert any(line.startswith("  propensity 1 * weight 1 * value ") for line in lines)
    names = {other.action for other in (*action.outranked, *action.suppressed)}
    assert names == {line.split()[1].strip(":") for line in lines if line.startswith("not ")}


def test_that_nothing_is_done_is_told_with_the_gate_and_until_when(file: Path) -> None:
    nothing = DECIDED[3]
    assert isinstance(nothing, NextBestAction)
    assert nothing.action is None
    told = explain(nothing.id, "--file", file).stdout

    assert f"nothing is done ({nothing.id}): no action passed all gates\n" in told
    capped = next(other for other in nothing.suppressed if other.by == "contact-cap")
    assert f"not {capped.action}: the customer gets no more contacts for now (contact-cap" in told
    assert f"since {capped.since}, until {capped.until})" in told


def test_it_is_told_as_json(file: Path) -> None:
    told = orjson.loads(explain(DECIDED[0].id, "--file", file, "--json").stdout)

    assert [orjson.loads(encode_decision(DECIDED[0]))] == told["triggers"]
    assert orjson.loads(encode_decision(DECIDED[1])) == told["decision"]
    assert {"cart-reminder", "cart-coupon"} == told["recomputed"].keys()
    assert [] == told["faults"]


def test_an_id_and_a_customer_together_are_too_much(file: Path) -> None:
    both = explain("0" * 32, "--customer", "ada", "--file", file)
    assert (2, True) == (both.exit_code, "not both" in both.stderr)
    neither = explain("--file", file)
    assert (2, False) == (neither.exit_code, "not both" in neither.stderr)


def test_an_unknown_id_and_a_false_sum_are_refused(file: Path, tmp_path: Path) -> None:
    unknown = explain("0" * 32, "--file", file)
    assert 1 == unknown.exit_code
    assert "no decision" in unknown.stderr
    assert str(file) in unknown.stderr.replace("\n", "")

    action = orjson.loads(encode_decision(DECIDED[1]))
    action["priority"]["priority"] += 0.01
    altered = tmp_path / "altered.jsonl"
    altered.write_bytes(encode_decision(DECIDED[0]) + b"\n" + orjson.dumps(action) + b"\n")
    false = explain(DECIDED[1].id, "--file", altered)
    assert 1 == false.exit_code
    assert "does not add up" in false.stderr

    altered.write_bytes(b'{"type":"page"}\n')
    foreign = explain(DECIDED[1].id, "--file", altered)
    assert 2 == foreign.exit_code
    assert "no decision" in foreign.stderr


def test_every_gate_is_told_in_words() -> None:
    action = DECIDED[3]
    assert isinstance(action, NextBestAction)
    for gate in GATE_NAMES:
        shut = msgspec.structs.replace(action, suppressed=(Suppressed("offer", gate),))
        [line] = [text for text in moment_in_words((), shut) if text.startswith("not offer")]
        assert "rejected" not in line
        assert line.endswith(f"({gate})")


def test_what_brought_it_about_is_told_in_words() -> None:
    cart = DECIDED[0]
    assert isinstance(cart, Trigger)

    def because(cause: Cause) -> str:
        first = next(moment_in_words([msgspec.structs.replace(cart, cause=cause)], None))
        return first.partition(", because of ")[2]

    words = "a deadline: a cart that isn't empty was left alone for cart.idle (cart-idle)"
    assert words == because(cart.cause)
    assert "event m-1" == because(Cause(message_id="m-1"))
    for moment in (*MOMENTS, COOLDOWN_OVER):
        assert because(Cause(deadline=f"{moment}:7")).endswith(f" ({moment})")
    assert "deadline:of-before:7" == because(Cause(deadline="of-before:7"))


@pytest.mark.parametrize("what", ["complaint", "promise", "solved", "answer"])
def test_why_there_is_a_truce_is_told_in_words(what: str) -> None:
    [action] = [one for one in DECIDED if isinstance(one, NextBestAction)][:1]
    shut = msgspec.structs.replace(action, suppressed=(Suppressed("offer", "truce", what=what),))

    line = list(moment_in_words((), shut))[-1]
    assert f"waits for help (truce, {TRUCES[what]})" in line


def test_decisions_are_in_the_ledger_by_their_ids() -> None:
    assert DECISION_LEDGER not in {output.topic for output in OUTPUTS.values()}
    for one in DECIDED:
        key = OUTPUTS[type(one)].ledger_key
        assert key is not None
        assert one.id.encode() == key(one)


def test_the_latest_moments_of_a_customer_are_told(file: Path) -> None:
    [latest] = {one.user_id for one in DECIDED}
    actions = [one for one in DECIDED if isinstance(one, NextBestAction)]
    asked = explain("--customer", latest, "--file", file, "--json")

    assert 0 == asked.exit_code, asked.output
    told = [orjson.loads(line)["decision"]["id"] for line in asked.stdout.splitlines()]
    assert [one.id for one in actions][-LATEST_MAX:] == told
    nobody = explain("--customer", "nobody", "--file", file)
    assert (1, True) == (nobody.exit_code, "no decision for customer 'nobody'" in nobody.stderr)
    assert 2 == explain("--file", file).exit_code
    assert 2 == explain("0" * 32, "--customer", latest, "--file", file).exit_code


def test_a_withdrawal_is_a_moment_of_its_own() -> None:
    action = DECIDED[1]
    assert isinstance(action, NextBestAction)
    withdrawal = ActionWithdrawn(
        id="f" * 32,
        kind="action-withdrawn",
        user_id=action.user_id,
        timestamp=action.timestamp,
        cause=action.cause,
        decision_id=action.id,
        action=str(action.action),
        channel=str(action.channel),
        because="consent",
        since=action.timestamp,
        what="marketing",
        group=action.group,
    )
    lines = [encode_decision(one) for one in (DECIDED[0], withdrawal, *DECIDED[1:])]
    [found] = find_in_lines(lines, Question(decision=withdrawal.id))

    assert withdrawal == found.withdrawal
    words = list(moment_in_words(*found))
    assert (
        f"{action.action} is withdrawn ({withdrawal.id}): not to be carried out any more" in words
    )
    assert f"(consent, marketing, since {action.timestamp})" in words[-1]
    assert action.id in words[2]


def test_moments_are_put_together_from_decisions_one_by_one() -> None:
    moments = Moments()
    complete = [found for one in DECIDED for found in moments.take(one)]

    assert [] == moments.rest()
    assert DECIDED == [one for found in complete for one in (*found.triggers, found.action)]
