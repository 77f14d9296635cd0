"""Why a customer may leave: what counts as evidence, how it fades, and the resulting reason."""

import tomllib
from importlib import resources
from itertools import permutations
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import ParameterError
from models.customer import evidence
from models.customer.churn_reason import ChurnReason, EvidenceKind, ReasonKind
from models.customer.evidence import EVIDENCE, said_by
from models.customer.evidence_words import NAMES, EvidenceParameters
from models.customer.row import Row
from models.decisions.gates import Candidate, Shut, shut_gate
from models.decisions.policy import compile_policy
from models.events.event import Event
from models.events.wire import encode_event
from models.parameters import load_parameters
from tests.models.lines import PARAMETERS, at, context, happened, lived, of, scene

TUNING = PARAMETERS.of(EvidenceParameters)
HALF_LIFE_DAYS = TUNING.half_life / DAY_MS


def ordered(day: float) -> Event:
    return happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=50.0)


def reason(row: Row, day: float, probability: float = 0.0) -> ChurnReason:
    """The reason of a customer with the operator's prior as score, as nothing is learnt yet."""
    said = replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=probability))
    return evidence.reason(scene(row, at(days=day), context(parameters=said)))


@pytest.mark.parametrize(
    ("name", "properties", "spoken"),
    [
        ("Coupon Denied", {}, {EvidenceKind.PRICE: 1.0}),
        ("Coupon Entered", {}, {EvidenceKind.PRICE: 0.25}),
        ("Payment Failed", {}, {EvidenceKind.PRICE: 0.5}),
        ("Order Refunded", {"order_id": "O"}, {EvidenceKind.PRODUCT: 1.0}),
        ("Order Cancelled", {"order_id": "O"}, {}),
        ("Product Reviewed", {"rating": 2}, {EvidenceKind.PRODUCT: 1.0}),
        ("Product Reviewed", {"rating": "1.0"}, {EvidenceKind.PRODUCT: 1.0}),
        ("Product Reviewed", {"rating": 3, "scale_max": 10}, {EvidenceKind.PRODUCT: 1.0}),
        ("Product Reviewed", {"rating": 3}, {}),
        ("Product Reviewed", {"rating": 9}, {}),
        ("Product Reviewed", {"rating": "awful"}, {}),
        ("Product Reviewed", {"rating": "nan"}, {}),
        ("Product Reviewed", {}, {}),
        ("Ticket Opened", {"ticket_id": "T", "category": "payment"}, {EvidenceKind.PRICE: 1.0}),
        (
            "Ticket Opened",
            {"ticket_id": "T", "category": "Late delivery"},
            {EvidenceKind.PRODUCT: 1.0},
        ),
        (
            "Ticket Opened",
            {"ticket_id": "T", "category": "rude staff"},
            {EvidenceKind.SERVICE: 1.0},
        ),
        ("Ticket Opened", {"ticket_id": "T", "category": "other"}, {}),
        ("Ticket Opened", {"ticket_id": "T"}, {}),
        ("Complaint Filed", {"ticket_id": "T"}, {EvidenceKind.SERVICE: 1.0}),
        ("Complaint Filed", {"ticket_id": "T", "type": "quality"}, {EvidenceKind.PRODUCT: 1.0}),
        ("Ticket Escalated", {"ticket_id": "T"}, {EvidenceKind.SERVICE: 1.0}),
        ("Ticket Reopened", {"ticket_id": "T", "category": "billing"}, {EvidenceKind.SERVICE: 1.0}),
        ("Survey Responded", {"kind": "nps", "score": 6}, {EvidenceKind.SERVICE: 1.0}),
        ("Survey Responded", {"kind": "nps", "score": 7}, {}),
        ("Survey Responded", {"kind": "csat", "score": 2}, {EvidenceKind.SERVICE: 1.0}),
        ("Survey Responded", {"kind": "csat", "score": 3}, {}),
        (
            "Survey Responded",
            {"kind": "ces", "score": 7, "higher_is_better": False},
            {EvidenceKind.SERVICE: 1.0},
        ),
        (
            "Survey Responded",
            {"kind": "nps", "score": 1, "reason": "too_expensive"},
            {EvidenceKind.PRICE: 1.0},
        ),
        ("Survey Responded", {"kind": "nps", "score": 9, "reason": "too_expensive"}, {}),
        ("Subscription Cancelled", {"reason": "too_expensive"}, {EvidenceKind.PRICE: 3.0}),
        ("Subscription Cancelled", {"reason": "missing_features"}, {EvidenceKind.PRODUCT: 3.0}),
        ("Subscription Cancelled", {"reason": "customer_service"}, {EvidenceKind.SERVICE: 3.0}),
        ("Subscription Cancelled", {"reason": "switched_service"}, {}),
        ("Subscription Cancelled", {}, {}),
        ("Live Chat Conversation Started", {}, {EvidenceKind.SERVICE: 0.25}),
    ],
)
def test_what_an_event_speaks_for(
    name: str, properties: dict[str, Any], spoken: dict[EvidenceKind, float]
) -> None:
    # Not as arguments: one of them is called name, too.
    event = happened(name, at(), **properties)

    assert spoken == dict(said_by(event, TUNING))


def test_the_events_that_may_be_evidence_are_those_of_the_table() -> None:
    named = {name for kind in EvidenceKind for name in TUNING.weights_of(kind)}

    assert named | TUNING.about.keys() == NAMES


@pytest.mark.parametrize(
    "event",
    [
        happened("page", at(days=1)),
        happened("Coupon Applied", at(days=1)),
        happened("Ticket Opened", at(days=1), ticket_id="T"),
        happened("Survey Responded", at(days=1), kind="nps", score=10),
        happened("Order Completed", at(days=1), revenue=5.0),
    ],
    ids=lambda event: event.name,
)
def test_other_events_leave_the_evidence_as_it_was(event: Event) -> None:
    before = lived([happened("Coupon Denied", at())])

    after = lived([event], row=before)
    assert EVIDENCE.pack(of(before).evidence) == EVIDENCE.pack(of(after).evidence)


SIGNS = [
    happened("Coupon Denied", at(days=0.5)),
    happened("Coupon Denied", at(days=0.7)),
    happened("Order Refunded", at(days=1), order_id="O"),
    happened("Ticket Opened", at(days=2), ticket_id="T", category="return", priority="low"),
]


def test_evidence_does_not_depend_on_the_order_of_arrival() -> None:
    [expected, *others] = [of(lived(order)).evidence.signs for order in permutations(SIGNS)]

    for found in others:
        assert [(s.kind, s.name, s.at_ms) for s in expected] == [
            (s.kind, s.name, s.at_ms) for s in found
        ]
        assert pytest.approx([s.level for s in expected], abs=1e-9) == [s.level for s in found]


def test_signs_do_not_grow_with_events() -> None:
    many = [
        happened("Coupon Denied", at(days=n / 100), message=f"{name} {n}")
        for n in range(200)
        for name in ("a", "b")
    ]
    row = lived(many)

    assert 1 == len(of(row).evidence.signs)
    assert 200 < of(row).evidence.signs[0].level <= 400


def test_a_sign_halves_in_its_half_life_and_then_names_no_reason() -> None:
    row = lived([happened("Coupon Denied", at())])

    assert ReasonKind.PRICE == reason(row, HALF_LIFE_DAYS - 0.01).kind
    assert ReasonKind.UNKNOWN == reason(row, HALF_LIFE_DAYS + 0.01).kind
    assert {} == reason(row, HALF_LIFE_DAYS + 0.01).shares


def test_the_reason_is_the_kind_with_most_evidence_and_says_what_it_was() -> None:
    found = reason(lived(SIGNS), 3)

    assert ReasonKind.PRODUCT == found.kind
    assert ("ticket opened, 1 day ago", "order refunded, 2 days ago") == found.evidence
    assert ["price", "product", "service"] == list(found.shares)
    assert pytest.approx(1.0) == sum(found.shares.values())
    assert found.shares["product"] > found.shares["price"] > found.shares["service"] == 0


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("Coupon Denied", "Order Refunded", "Complaint Filed"), ReasonKind.PRICE),
        (("Complaint Filed", "Order Refunded"), ReasonKind.PRODUCT),
    ],
)
def test_ties_go_to_the_first_kind(names: tuple[str, ...], kind: ReasonKind) -> None:
    ids = {"Order Refunded": {"order_id": "O"}, "Complaint Filed": {"ticket_id": "T"}}
    for order in permutations(names):
        row = lived([happened(name, at(), **ids.get(name, {})) for name in order])
        assert kind == reason(row, 0.1).kind


def test_a_ticket_past_its_promised_time_is_evidence_for_as_long_as_it_waits() -> None:
    asked = lived([happened("Ticket Opened", at(), ticket_id="T", priority="high")])
    answered = lived(
        [happened("Ticket Replied", at(days=1), ticket_id="T", author="agent")], row=asked
    )

    assert ReasonKind.UNKNOWN == reason(asked, 0.3).kind
    assert ReasonKind.SERVICE == reason(asked, 0.4).kind
    assert ("1 ticket past the promised time",) == reason(asked, 200).evidence
    assert ReasonKind.UNKNOWN == reason(answered, 1.1).kind


@pytest.mark.parametrize(
    ("days", "day", "probability", "kind"),
    [
        # Bought every week: overdue by their own rhythm, long before a month.
        ([0, 7, 14, 21], 25, 0.2, ReasonKind.UNKNOWN),
        ([0, 7, 14, 21], 60, 0.2, ReasonKind.SILENT),
        ([0, 7, 14, 21], 60, 0.0, ReasonKind.SILENT),
        # Not overdue, and yet not expected back.
        ([0, 7, 14, 21], 25, 0.5, ReasonKind.SILENT),
        # Once is no rhythm.
        ([0], 200, 0.9, ReasonKind.UNKNOWN),
        ([], 200, 0.0, ReasonKind.UNKNOWN),
    ],
)
def test_silence_is_a_reason_of_those_who_used_to_buy(
    days: list[int], day: float, probability: float, kind: ReasonKind
) -> None:
    row = lived([happened("page", at()), *(ordered(n) for n in days)])
    found = reason(row, day, probability)

    assert kind == found.kind
    assert (kind is ReasonKind.SILENT) == bool(found.evidence)


def test_silence_says_what_is_silent() -> None:
    row = lived([ordered(n) for n in (0, 7, 14, 21)])

    overdue = "usually every 10 days, now 39, and nothing heard that says why"
    assert (overdue,) == reason(row, 60, 0.9).evidence
    unlikely = "90% likely not to buy, and nothing heard that says why"
    assert (unlikely,) == reason(row, 25, 0.9).evidence


def test_evidence_comes_before_silence() -> None:
    row = lived([*(ordered(n) for n in (0, 7, 14, 21)), happened("Coupon Denied", at(days=50))])

    assert ReasonKind.PRICE == reason(row, 60, 0.9).kind


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        # Faded 32 days later, when the purchase is overdue: it still says why.
        ([ordered(0), happened("Coupon Denied", at(days=8))], ReasonKind.PRICE),
        # Fresh evidence rules.
        (
            [
                ordered(0),
                happened("Coupon Denied", at(days=8)),
                happened("Complaint Filed", at(days=39), ticket_id="T"),
            ],
            ReasonKind.SERVICE,
        ),
        # They bought again: it was no reason to leave.
        ([ordered(0), happened("Coupon Denied", at(days=8)), ordered(9)], ReasonKind.UNKNOWN),
        # Too little when it was heard is too little later.
        ([ordered(0), happened("Coupon Entered", at(days=8))], ReasonKind.UNKNOWN),
        ([ordered(0)], ReasonKind.UNKNOWN),
    ],
)
def test_the_reason_when_last_heard_of_stands_until_the_next_purchase(
    events: list[Event], kind: ReasonKind
) -> None:
    row = lived(events)
    assert kind == evidence.reason_at_last_signal(scene(row, at(days=40)))


def test_what_a_customer_wrote_does_not_travel() -> None:
    secrets = [
        happened("Product Reviewed", at(), rating=1, review_body="call Ada", name="Ada"),
        happened("Product Reviewed", at(), rating="Ada hates it"),
        happened("Subscription Cancelled", at(), reason="call me, Ada, at 555-0100"),
        happened("Subscription Cancelled", at(), reason="ada@example.org"),
        happened("Subscription Cancelled", at(), reason="5550100"),
        happened("Survey Responded", at(), kind="nps", score=1, reason="Ada was here"),
    ]
    for event in secrets:
        sent = orjson.loads(encode_event(event))
        assert not {"reason", "review_body", "name"} & sent.get("properties", {}).keys()
        assert b"Ada" not in orjson.dumps(sent.get("properties"))

    code = happened("Subscription Cancelled", at(), reason="too_expensive")
    assert {"reason": "too_expensive"} == orjson.loads(encode_event(code))["properties"]


def test_rules_may_ask_for_the_reason() -> None:
    row = lived([ordered(0), happened("Coupon Denied", at(days=1))])

    assert "price" == scene(row, at(days=2))["churn_reason"]
    assert "unknown" == scene(Row(), at(days=2))["churn_reason"]


def test_no_discount_is_offered_for_what_a_discount_does_not_mend() -> None:
    actions = {action.rule.name: action for action in compile_policy(PARAMETERS).actions}
    win_back = Candidate(actions["win-back-offer"], 1.0, "email")
    sure = replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.9))
    offered = {}
    for name, ids in {"Coupon Denied": {}, "Order Refunded": {"order_id": "another"}}.items():
        row = lived([ordered(0), happened(name, at(days=1), **ids)])
        facts = scene(row, at(days=2), context(parameters=sure))
        offered[facts["churn_reason"]] = shut_gate(facts, win_back)

    assert {"price": None, "product": Shut("reason", what="product")} == offered


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("evidence.price.Coupon Deniedd=1", "did you mean Coupon Denied?"),
        ("evidence.price.page=1", "no event that may be evidence"),
        ("evidence.price.Coupon Denied=-1", "evidence.price.Coupon Denied must not be negative"),
        ("evidence.half_life=0s", "evidence.half_life must be more than 0"),
        ("evidence.least=0", "evidence.least must be more than 0"),
        ("evidence.leastt=1", "did you mean evidence.least?"),
        ("evidence.words.preis=money", "money"),
        ("evidence.words.Preis=price", "lower case"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(assignment: str, words: str) -> None:
    with pytest.raises(ParameterError, match=None) as refused:
        load_parameters(assignments=[assignment])
    assert words in str(refused.value)


def test_an_operator_moves_an_event_and_adds_a_word() -> None:
    mine = load_parameters(
        assignments=[
            "evidence.price.Payment Failed=0",
            "evidence.service.Payment Failed=2",
            "evidence.words.größe=product",
        ]
    )
    failed = happened("Payment Failed", at())
    size = happened("Ticket Opened", at(), ticket_id="T", category="Falsche Größe")

    assert [(EvidenceKind.SERVICE, 2.0)] == said_by(failed, mine.of(EvidenceParameters))
    assert [(EvidenceKind.PRODUCT, 1.0)] == said_by(size, mine.of(EvidenceParameters))


def test_the_shipped_words_are_kinds_in_the_file_and_here() -> None:
    shipped = tomllib.loads(resources.files("config").joinpath("parameters.toml").read_text())

    assert {*map(str, EvidenceKind), "none"} == set(shipped["evidence"]["words"].values())
