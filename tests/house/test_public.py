"""The public interface stays stable: names, types, options, defaults, and the meaning of fields.

All tests here use the command line and files, as users do, so they hold whatever is done to the
code. `tests/house/public/*.json` record the public interface; it may be extended, but nothing in it
may change or go. `python -m tests.house.public.record` records additions.
"""

import json
import re
from collections import Counter
from math import log
from pathlib import Path
from typing import Any

import pytest

from tests.house.public import doors, habits
from tests.house.public.doors import Outcome
from tests.house.public.meanings import RIGHT, Right
from tests.house.public.record import merged, recorded
from tests.house.public.shapes import (
    Fields,
    changed,
    field,
    filled,
    json_type,
    known,
    members,
    narrowed,
    unlike,
)

EVENTS, LINES = recorded("events"), recorded("lines")
#: By schema, and the one file that has none.
WRITTEN = {
    **{name: LINES[name] for name in ("retention-trigger", "next-best-action", "profile")},
    **{name: LINES[name] for name in ("score", "dead-letter")},
    "summary": recorded("summary"),
}
ENVELOPE = EVENTS.pop("envelope")
PARAMETERS, COMMAND = recorded("parameters"), recorded("command")

#: Fields that only a log with something to learn from fills: `test_what_was_learnt_...` look at
#: them.
LEARNT = (
    r"quality\[\].*|spendQuality\[\].*|drift\[\].*",
    r".*churn(\[\])?\.scores\.\*|explanations\[\]\.groups\[\].*|reasons\[\]\.contribution",
    r"(value|activityAnomaly|purchaseAnomaly)\..*",
)
SCORERS = {"baseline", "logistic", "bayesian", "blend", "recalibrated"}
#: Of these the type is public, and the value is not: words for people, and the engine's own clock.
FREE = (r"detail", r"fix", r"raw", r"source\..*", r"nextDeadlineAt")


@pytest.fixture(scope="module")
def events() -> dict[str, Fields]:
    return doors.events()


@pytest.fixture(scope="module")
def lines() -> dict[str, Fields]:
    return doors.lines()


@pytest.fixture(scope="module")
def story() -> Outcome:
    return doors.story()


@pytest.fixture(scope="module")
def learnt() -> Outcome:
    return doors.learnt()


# Names and types


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_published_as_ever(name: str, events: dict[str, Fields]) -> None:
    old, new = dict(EVENTS[name]), dict(events[name])

    assert old.pop("topic") == new.pop("topic")
    assert [] == narrowed(old, new)


def test_the_envelope_of_events_is_as_ever(events: dict[str, Fields]) -> None:
    assert [] == narrowed(ENVELOPE, events["envelope"])


@pytest.mark.parametrize("name", ["watermark", "clock", "model", "score-line"])
def test_a_line_that_is_no_event_is_written_as_ever(name: str, lines: dict[str, Fields]) -> None:
    assert [] == narrowed(LINES[name], lines[name])


@pytest.mark.parametrize("name", sorted(WRITTEN.keys() & LINES.keys()))
def test_what_is_written_has_its_names_and_types(name: str, lines: dict[str, Fields]) -> None:
    assert [] == changed(LINES[name], lines[name])


def test_every_event_is_taken_with_all_that_it_may_say(tmp_path: Path) -> None:
    # These are refused as ever: people are joined by those who publish.
    names = [name for name in EVENTS if name not in {"alias", "group"}]
    log = tmp_path / "log.jsonl"
    with log.open("w") as file:
        for number, name in enumerate(names):
            fields = EVENTS[name]
            event = {
                "type": json.loads(fields["type"].removeprefix("always ")),
                "event": "Fitting Room Entered" if name == "event" else name,
                "messageId": f"m{number}",
                "userId" if number % 2 else "anonymousId": "ada",
                "timestamp": "2026-03-01T10:00:00.000+01:00",
                "context": {"channel": "app"},
                "properties": filled(fields, "properties"),
            }
            file.write(f"{json.dumps(event)}\n")
    outcome = doors.replayed(log)

    assert [] == [(letter["path"], letter["line"]) for letter in outcome["dead-letters.jsonl"]]
    assert len(names) == outcome["summary.json"][0]["events"]["applied"] > 70


# What the command line knows


def test_replay_has_its_options_and_writes_its_files(story: Outcome) -> None:
    options = doors.command()["replay"]

    assert COMMAND["replay"] == {name: options.get(name) for name in COMMAND["replay"]}
    assert {"triggers.jsonl", *doors.SCHEMA_OF_FILE} <= set(story)


def test_models_may_be_named(tmp_path: Path, story: Outcome) -> None:
    rules = doors.assigned(doors.STORY_RULES)

    assert story == doors.replayed(doors.STORY, "--models", tmp_path, *rules)


def test_without_questions_there_is_no_file_of_scores(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"type":"watermark","timestamp":"2026-03-01T00:00:00Z"}\n')

    assert "scores.jsonl" not in doors.replayed(log)


@pytest.mark.parametrize("kind", ["facts", "triggers", "actions"])
def test_rules_can_be_written_as_ever(kind: str) -> None:
    now = doors.command()[kind]
    if kind == "facts":
        assert COMMAND[kind] == {fact: now.get(fact) for fact in COMMAND[kind]}
    else:
        assert [] == [name for name in COMMAND[kind] if name not in now]


def test_every_parameter_has_its_name_and_its_default() -> None:
    now = doors.parameters()

    assert PARAMETERS == {name: now.get(name) for name in PARAMETERS}


def another(value: Any) -> Any:
    """An equally good value of the same kind; texts and lists stay as they are."""
    if isinstance(value, str) and (duration := re.fullmatch(r"(\d+)(d|h|min|s|ms)", value)):
        return f"{int(duration[1]) + 1}{duration[2]}"
    if isinstance(value, int):
        return value + 1
    return value / 2 if isinstance(value, float) else value


def test_every_parameter_can_be_set() -> None:
    # The empty names of files stand for the rules that ship.
    wanted = {name: another(value) for name, value in PARAMETERS.items() if value != ""}
    now = doors.parameters(*doors.assigned(wanted))

    assert wanted == {name: now[name] for name in wanted}
    assert sum(wanted[name] != PARAMETERS[name] for name in wanted) > 80


# What fields mean


def key_of(file: str, line: dict[str, Any]) -> str:
    """A line's key in the table."""
    match file:
        case "customers.jsonl":
            return str(line["userId"])
        case "triggers.jsonl":
            if line.get("action", "") is None:
                return f"nothing about {line['triggers'][0]} {line['userId']}"
            return f"{line['kind']} {line['userId']}"
        case "scores.jsonl":
            return str(line["messageId"])
        case "dead-letters.jsonl":
            return str(line["reason"])
    return ""


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: f"{right.line} {right.path}".strip())
def test_a_field_means_what_it_meant(right: Right, story: Outcome) -> None:
    [line] = [line for line in story[right.file] if key_of(right.file, line) == right.line]
    value = known(right.value, field(line, right.path))
    if right.path == "gates":
        # There may be more of them.
        value = [gate for gate in value if gate in right.value]

    assert (right.value, json_type(right.value)) == (value, json_type(value)), right.why


def schema_of(file: str, line: dict[str, Any]) -> str:
    return doors.SCHEMA_OF_FILE.get(file) or str(line["type"])


def public(file: str, written: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of recorded kinds: others are not public yet."""
    return [line for line in written if schema_of(file, line) in WRITTEN]


def test_the_story_has_the_lines_it_should(story: Outcome) -> None:
    right = {(row.file, row.line) for row in RIGHT}
    found = Counter((file, key_of(file, line)) for file in story for line in story[file])

    assert dict.fromkeys(right, 1) == dict(found)


def test_every_field_has_a_right_value(story: Outcome) -> None:
    """The table has every recorded field, except those that are learnt and those with free
    names.
    """
    left = {name: set(fields) for name, fields in WRITTEN.items()}
    for row in RIGHT:
        [line] = [line for line in story[row.file] if key_of(row.file, line) == row.line]
        name = schema_of(row.file, line)
        path = re.sub(r"\[\d+\]", "[]", row.path)
        # The way to a field is told with it, and so is what is in it.
        left[name] -= {path[: end.start()] for end in re.finditer(r"\.|\[\]|$", path)}
        left[name] -= {inner for inner, _ in members(row.value, WRITTEN[name], path)}
    untold = {
        f"{name}: {path}"
        for name, paths in left.items()
        for path in paths
        if not any(re.fullmatch(pattern, path) for pattern in (*LEARNT, *FREE))
    }

    assert set() == untold


# What is learnt, of which the numbers may get better and the meaning may not change


@pytest.mark.parametrize("log", ["story", "learnt"])
def test_what_is_written_is_as_recorded(log: str, request: pytest.FixtureRequest) -> None:
    outcome: Outcome = request.getfixturevalue(log)
    faults = {
        f"{file}: {fault}"
        for file, written in outcome.items()
        for line in public(file, written)
        for fault in unlike(WRITTEN[schema_of(file, line)], line)
    }

    assert set() == faults


def test_every_field_is_seen(story: Outcome, learnt: Outcome) -> None:
    """Together, the two logs fill every recorded field, so that each is really seen."""
    unseen = {f"{name}: {path}" for name, fields in WRITTEN.items() for path in fields}
    for outcome in (story, learnt):
        seen = [(f, line) for f in outcome for line in public(f, outcome[f])]
        for name, line in [(schema_of(f, line), line) for f, line in seen]:
            unseen -= {f"{name}: {path}" for path, _ in members(line, WRITTEN[name])}

    # A dead letter's place on a topic is for the live system.
    places = {f"dead-letter: source.{n}" for n in ("topic", "partition", "offset", "receivedAt")}
    assert places == unseen


def log_odds(probability: float) -> float:
    return log(probability / (1.0 - probability))


def buyers(learnt: Outcome) -> list[dict[str, Any]]:
    found = learnt["customers.jsonl"]
    assert habits.CUSTOMERS == len(found)
    return found


def test_what_was_learnt_is_said_of_every_horizon(learnt: Outcome) -> None:
    for customer in buyers(learnt):
        assert list(habits.HORIZONS_DAYS) == [churn["horizonDays"] for churn in customer["churn"]]
        for churn in customer["churn"]:
            assert 0 < churn["probability"] < 1
            assert churn["source"] in {"champion", "baseline"}
            assert churn["modelVersion"] == customer["modelVersion"] > 0
            assert churn["probability"] == churn["scores"][churn["scorer"]]
            assert set(churn["scores"]) >= SCORERS
            assert all(0 < score < 1 for score in churn["scores"].values())


def test_what_was_learnt_can_be_added_up(learnt: Outcome) -> None:
    """An explanation adds up to its score's log odds, and so do a receipt's contributions."""
    for customer in buyers(learnt):
        for churn, parts in zip(customer["churn"], customer["explanations"], strict=True):
            added = parts["base"] + sum(group["contribution"] for group in parts["groups"])
            assert parts["logOdds"] == pytest.approx(added)
            assert parts["logOdds"] == pytest.approx(log_odds(churn["probability"]))
            for group in parts["groups"]:
                assert ("raises" if group["contribution"] > 0 else "lowers") == group["direction"]
    receipts = [line for line in learnt["triggers.jsonl"] if line["kind"] == "churn-risk"]
    for receipt in receipts:
        contributions = [reason.get("contribution") for reason in receipt["reasons"]]
        added = sum(part for part in contributions if part is not None)
        assert log_odds(receipt["churn"]["probability"]) == pytest.approx(added)
    assert len(receipts) > 10


def test_what_was_learnt_answers_questions(learnt: Outcome) -> None:
    """The answer to a question equals the profile."""
    profiles = {customer["userId"]: customer for customer in buyers(learnt)}
    assert len(profiles) * len(habits.HORIZONS_DAYS) == len(learnt["scores.jsonl"])
    for score in learnt["scores.jsonl"]:
        profile = profiles[score["userId"]]
        place = habits.HORIZONS_DAYS.index(score["horizonDays"])
        churn, spend = profile["churn"][place], profile["value"]["horizons"][place]
        assert (score["churnProbability"], score["horizonDays"], score["source"]) == (
            pytest.approx(churn["probability"]),
            churn["horizonDays"],
            churn["source"],
        )
        assert score["value"] == pytest.approx(spend["spend"])
        assert score["silentChurn"] == pytest.approx(profile["silentChurn"])
        assert 0 <= score["silentChurn"] <= 1


def test_what_was_learnt_is_worth_what_it_says(learnt: Outcome) -> None:
    for customer in buyers(learnt):
        value = customer["value"]
        margin = value["annualRevenue"] * value["grossMargin"] * value["lifetimeYears"]
        assert value["clv"] == pytest.approx(margin - value["acquisitionCost"])
        assert (0.3, 0.0) == (value["grossMargin"], value["acquisitionCost"])
        assert all(spend["purchases"] >= 0 and spend["spend"] >= 0 for spend in value["horizons"])


def test_what_was_learnt_is_judged(learnt: Outcome) -> None:
    [summary] = learnt["summary.json"]
    judged = [row for row in summary["quality"] if row["examples"]]
    assert {"all", "purchase", "check-in"} <= {row["kind"] for row in judged}
    assert {"champion", *SCORERS} <= {row["scorer"] for row in judged}
    for row in judged:
        assert 0 <= row["auc"] <= 1
        assert 0 <= row["calibrationError"] <= 1
        assert row["logLoss"] > 0
        assert all(0 <= part <= 1 for bin_ in row["curve"] for part in bin_)
    assert {"formula", "challenger"} <= {row["scorer"] for row in summary["spendQuality"]}
    for alarm in summary["drift"]:
        assert ("up" if alarm["after"] > alarm["before"] else "down") == alarm["direction"]
    spent = sorted(
        len(habits.purchase_days(customer)) * habits.revenue_of(customer)
        for customer in range(habits.CUSTOMERS)
    )
    best = sum(spent[-habits.CUSTOMERS // 5 :]) / sum(spent)
    assert summary["revenueShareTopFifth"] == pytest.approx(best, abs=0.01)


def test_what_was_learnt_tells_fewer_days_from_more(learnt: Outcome) -> None:
    """Deviations are below zero for less than usual; a ratio is recent days divided by usual
    ones.
    """
    found = [
        customer[name]
        for customer in buyers(learnt)
        for name in ("activityAnomaly", "purchaseAnomaly")
        if customer[name] is not None
    ]
    assert {True, False} == {anomaly["ratio"] == 0 for anomaly in found}
    for anomaly in found:
        assert anomaly["ratio"] >= 0
        if anomaly["ratio"] == 0:
            assert anomaly["deviations"] < 0


# That these tests would notice


@pytest.mark.parametrize(
    ("old", "new", "is_narrower", "is_changed"),
    [
        ("number", "number", False, False),
        ("number", "", True, True),
        ("number", "null|number", False, True),
        ("null|number", "number", True, True),
        ("integer", "number", False, True),
        ("always number", "number", False, True),
        ("number", "always number", True, False),
        ('"a"|"b"', '"a"|"b"|"c"', False, False),
        ('"a"|"b"', '"a"', True, True),
        ('"a"|"b"', "string", False, False),
        ('"a|b"|null', '"a"|"b"|null', True, True),
    ],
)
def test_a_change_is_noticed(old: str, new: str, is_narrower: bool, is_changed: bool) -> None:
    now = {"x": new} if new else {}

    assert is_narrower is bool(narrowed({"x": old}, now))
    assert is_changed is bool(changed({"x": old}, now))


def test_what_is_added_is_no_change() -> None:
    old, new = {"a": "always object"}, {"a": "always object", "a.b": "string", "c": "integer"}

    assert [] == narrowed(old, new) + changed(old, new)
    assert ["c is new and can't be left out"] == narrowed(old, {**old, "c": "always integer"})
    assert {**old, "c": "integer"} == merged(old, {"a": "always string", "c": "integer"})


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ({"a": {"b": 1}}, set()),
        ({"a": {"b": 1, "new": 2}, "new": 3}, set()),
        ({"a": {"b": 1.0}}, {"a.b is 1.0"}),
        ({"a": {}}, {"a.b is missing"}),
        ({"a": None}, {"a is None"}),
        ({"a": {"b": 1}, "m": {"x": 1, "y": 2.5}}, set()),
        ({"a": {"b": 1}, "m": {"x": "1"}}, {"m.* is '1'"}),
    ],
)
def test_a_line_that_is_unlike_is_noticed(line: dict[str, Any], faults: set[str]) -> None:
    fields = {"a": "always object", "a.b": "always integer", "m": "object", "m.*": "number"}

    assert faults == unlike(fields, line)


def test_a_story_is_short() -> None:
    types = Counter(json.loads(line)["type"] for line in doors.STORY.read_text().splitlines())

    assert {"score": 2, "track": 28, "watermark": 3} == types
