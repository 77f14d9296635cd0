"""The content of messages, and custom bodies."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.webhooks.examples import ACTION, TRIGGER, WITHDRAWAL
from config.endpoints import Endpoint, EndpointRule
from models.decisions.trigger import Decision, Ranked, ReasonCode, Suppressed, encode_decision
from streams.graves import Fingerprints
from streams.outputs import OUTPUTS
from streams.webhooks.destinations import Composer
from streams.webhooks.messages import (
    BODY_BYTES_MAX,
    Message,
    body_of,
    message_in,
    message_of,
    wants,
)
from streams.webhooks.templates import Template, TemplateError, known_paths

SALT = Fingerprints("salt")


def message(decided: Decision = TRIGGER) -> Message:
    return message_of(decided, SALT, 0)


@pytest.mark.parametrize("decided", [TRIGGER, ACTION, WITHDRAWAL])
def test_a_body_is_type_timestamp_and_the_decision_as_on_kafka(decided: Decision) -> None:
    body = json.loads(body_of(message(decided)))

    type_name = OUTPUTS[type(decided)].type_name
    assert type_name is not None
    assert ["type", "timestamp", "data"] == list(body)
    assert (type_name(decided), decided.timestamp) == (body["type"], body["timestamp"])
    assert json.loads(encode_decision(decided)) == body["data"]


KNOWN = {"segment": "champions", "net_365d": 80.0, "nps": None}
TELLING = msgspec.structs.replace(TRIGGER, facts=KNOWN)


def test_a_body_has_the_facts_that_the_endpoint_chooses_and_no_others() -> None:
    told = message(TELLING)

    assert "facts" not in json.loads(body_of(told))["data"]
    chosen = ("nps", "segment")
    assert {"nps": None, "segment": "champions"} == json.loads(body_of(told, chosen))["data"][
        "facts"
    ]
    # A decision that was made before they were asked for, and a withdrawal.
    for older in (TRIGGER, WITHDRAWAL):
        assert body_of(message(older)) == body_of(message(older), chosen)


def test_a_template_takes_the_facts_that_the_endpoint_chooses() -> None:
    text = '{"in": "${data.facts.segment}", "spent": "${data.facts.net_365d}"}'
    rule = EndpointRule(name="x", facts=("segment", "net_365d"), template=text)
    composer = Composer(Endpoint(rule, "https://example.com", ("whsec_" + "c" * 32,)))

    assert b'{"in":"champions","spent":80.0}' == composer.request(message(TELLING), 0).body
    assert b'{"in":null,"spent":null}' == composer.request(message(TRIGGER), 0).body
    with pytest.raises(TemplateError, match=r"no message has \$\{data.facts.segment\}"):
        Template(text)


def test_an_endpoint_gets_the_decisions_of_customers_in_its_segments() -> None:
    rule = EndpointRule(name="x", segments=("champions", "loyal"))
    others = msgspec.structs.replace(TRIGGER, facts={"segment": "lost"})
    nobody = msgspec.structs.replace(TRIGGER, facts={"segment": None})
    taken = {
        name: wants(rule, message(decided))
        for name, decided in {
            "in": TELLING,
            "another": others,
            "none": nobody,
            "one of several": msgspec.structs.replace(
                TRIGGER, facts={"segment": "lost", "segments": ("vip", "loyal")}
            ),
            "another that sounds so": msgspec.structs.replace(
                TRIGGER, facts={"segments": ("loyal-once",)}
            ),
            "not said": TRIGGER,
            "control": msgspec.structs.replace(TELLING, group="control"),
            # Who got the action must hear of it.
            "withdrawal": WITHDRAWAL,
        }.items()
    }

    assert {"in", "one of several", "withdrawal"} == {
        name for name, is_taken in taken.items() if is_taken
    }


def test_a_body_is_below_the_limit_whatever_is_in_the_decision() -> None:
    suppressed = tuple(Suppressed(f"action-{n}", "consent", what="w" * 50) for n in range(500))
    assert ACTION.priority is not None
    outranked = tuple(Ranked(f"action-{n}", ACTION.priority) for n in range(200))
    reasons = tuple(ReasonCode(f"r{n}", 1.0, "word " * 20) for n in range(200))
    large = msgspec.structs.replace(ACTION, suppressed=suppressed)
    larger = msgspec.structs.replace(large, outranked=outranked, reasons=reasons)

    for decided, left_out in (
        (ACTION, None),
        (large, ["suppressed"]),
        (larger, ["suppressed", "outranked", "reasons"]),
    ):
        body = body_of(message(decided))
        assert len(body) <= BODY_BYTES_MAX
        data = json.loads(body)["data"]
        assert left_out == data.get("leftOut")
        assert (decided.id, "ada", "email") == (data["id"], data["userId"], data["channel"])


def test_that_nothing_is_done_is_no_message() -> None:
    nothing = msgspec.structs.replace(ACTION, action=None, due_at=None)

    assert message_in(encode_decision(nothing), "next-best-actions", SALT, 0) is None


def test_a_template_is_filled_with_fields_of_their_types() -> None:
    template = Template(
        '{"a": "${data.userId}", "b": "${data.valueAtStake} for ${data.kind}!", "c": ["${data}"],'
        '"d": "${data.dueAt}", "e": "due ${data.dueAt}", "f": {"g": 1}, "h": "$ {x} ${id}"}'
    )
    fields = {"id": "m1", **message().fields()}

    assert {
        "a": "ada",
        "b": "24.0 for cart-abandoned!",
        "c": [json.loads(encode_decision(TRIGGER))],
        "d": None,
        "e": "due ",
        "f": {"g": 1},
        "h": "$ {x} m1",
    } == json.loads(template.render(fields))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is to be JSON"),
        ("{", "it is to be JSON"),
        ("[1]", "begin it with {"),
        ('{"a": "${userId}"}', "no message has ${userId}"),
        ('{"a": ["${data.nothing}"]}', "data.userId"),
        ('{"a": "${}"}', "no message has ${}"),
        ('{"a": "${data.userId"}', "a ${ has no } after it"),
        ('{"a": "${data.userId} and ${"}', "a ${ has no } after it"),
        ('{"a": "${data.__class__}"}', "no message has"),
        ('{"${data.kind}": 1}', "a name has no ${…}"),
        ('{"a": [{"b": 1, "c": 2, "b": 3}]}', "'b' is there already: give each name once"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(text: str, words: str) -> None:
    with pytest.raises(TemplateError, match=".*") as refused:
        Template(text)

    assert words in str(refused.value)


@given(st.text())
def test_whatever_a_field_holds_the_body_is_the_templates_json(text: str) -> None:
    decided = msgspec.structs.replace(TRIGGER, user_id=text or "x")
    template = Template('{"a": "<${data.userId}>", "b": "${data.userId}"}')

    found = json.loads(template.render({"id": "i", **message(decided).fields()}))
    assert {"a": f"<{decided.user_id}>", "b": decided.user_id} == found


def test_every_path_that_is_known_is_one_that_some_message_has() -> None:
    messages: list[dict[str, Any]] = [
        {"id": "i", **message(one).fields()} for one in (TRIGGER, ACTION, WITHDRAWAL)
    ]
    rendered = [json.loads(Template('{"a": "${data.priority.value}"}').render(m)) for m in messages]

    assert [None, 60.0, None] == [one["a"] for one in rendered]
    assert {"data.priority.value", "data.decisionId", "data.churn.probability"} < set(known_paths())


def test_names_in_slack_name_nobody_and_link_nothing() -> None:
    rule = EndpointRule(name="team", to="slack", template='{"text": "${data.userId}"}')
    decided = msgspec.structs.replace(TRIGGER, user_id="<!channel> & <https://x|y>")
    for one in (rule, msgspec.structs.replace(rule, template="")):
        composer = Composer(Endpoint(one, "https://hooks.slack.com/services/x", ()))
        text = json.loads(composer.request(message(decided), 0).body)["text"]
        assert "&lt;!channel&gt; &amp; &lt;https://x|y&gt;" in text
        assert "<" not in text
