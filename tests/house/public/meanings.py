"""What every field of a replay's files means: the right values after the story.

Worked out by hand from ``story.jsonl``, the shipped parameters and the story's own rules. The story
ends with a watermark on 15 March at 09:00.
"""

from typing import Any, NamedTuple


class Right(NamedTuple):
    """The right value of a field, and why. ``line``: the customer of a profile; the kind and the
    customer of a decision, or the triggers about which nothing is done; the messageId of a score;
    the reason of a dead letter.
    """

    file: str
    line: str
    path: str
    value: Any
    why: str


TRIGGERS, SCORES, LETTERS = "triggers.jsonl", "scores.jsonl", "dead-letters.jsonl"
CUSTOMERS, SUMMARY = "customers.jsonl", "summary.json"

END = "2026-03-15T09:00:00.000Z"
#: log(0.3 / 0.7)
PRIOR_LOG_ODDS = -0.8472978603872036
PRIOR = {
    "probability": 0.3,
    "source": "prior",
    "modelVersion": 0,
    "scorer": None,
    "scores": {},
}
PRIOR_28, PRIOR_90 = {**PRIOR, "horizonDays": 28.0}, {**PRIOR, "horizonDays": 90.0}
NO_ANSWERS = {"nps": None, "csat": None, "ces": None}


def _customer(line: str, *rows: tuple[str, Any, str]) -> list[Right]:
    return [Right(CUSTOMERS, line, *row) for row in rows]


def _decision(line: str, *rows: tuple[str, Any, str]) -> list[Right]:
    return [Right(TRIGGERS, line, *row) for row in rows]


PROFILES = [
    *_customer(
        "ada",
        ("userId", "ada", "as her events say"),
        ("asOf", END, "the last watermark"),
        ("rfm.orders", 2, "a1 and a2 stand, a3 was cancelled; a repeat counts once"),
        ("rfm.netMinor", 9050, "80.00 less 30.00 refunded, and 45.00 that became 40.50; in cents"),
        ("rfm.firstOrderAt", "2026-03-01T10:00:00.000Z", "a1"),
        ("rfm.lastOrderAt", "2026-03-02T09:00:00.000Z", "a2: a3 came later and was cancelled"),
        ("rfm.recencyDays", 13.0, "from the last order to the end"),
        ("rfm.recencyScore", 5, "13 days are within the first of 14, 30, 60, 120"),
        ("rfm.frequencyScore", 2, "2 orders are within the second of 1, 2, 4, 8"),
        ("rfm.monetaryScore", 2, "90.50 is within the second of 50, 100, 250, 500"),
        ("rfm.segment", "potential", "lately, and not often yet"),
        ("engagement.interactions", 3, "three orders; what became of them is no interaction"),
        ("engagement.sessions", 3, "each more than half an hour after the one before"),
        ("engagement.lastSeenAt", "2026-03-02T12:00:00.000Z", "a3, though it was cancelled"),
        ("engagement.lastChannel", "web", "said once, and of nothing later"),
        ("cart", {"items": 0, "valueMinor": 0, "touchedAt": None}, "never had one"),
        ("churn", [PRIOR_28, PRIOR_90], "nothing was learnt: churn.prior for every horizon"),
        (
            "explanations",
            [{"base": PRIOR_LOG_ODDS, "groups": [], "logOdds": PRIOR_LOG_ODDS}] * 2,
            "one for each score in `churn`: the same for everybody, and no more",
        ),
        ("churnReason.kind", "product", "a refund is evidence of the product"),
        ("churnReason.evidence", ["order refunded, 12 days ago"], "in words"),
        ("churnReason.shares", {"price": 0.0, "product": 1.0, "service": 0.0}, "of its weight"),
        ("silentChurn", None, "too little history"),
        ("activityAnomaly", None, "too little history"),
        ("purchaseAnomaly", None, "too little history"),
        ("value", None, "nothing was learnt"),
        ("lastTriggers", {}, "none fired"),
        ("decisions", [], "none was made"),
    ),
    *_customer(
        "bea",
        ("rfm.orders", 0, "a refund without an amount is a full one"),
        ("rfm.netMinor", 0, "all of it was paid back"),
        ("rfm.firstOrderAt", "2026-03-01T11:00:00.000Z", "when the customer first ordered"),
        ("rfm.lastOrderAt", None, "no order stands"),
        ("rfm.recencyDays", None, "no order stands"),
        ("rfm.segment", None, "no order stands"),
        ("rfm.recencyScore", None, "no order stands"),
        ("rfm.frequencyScore", None, "no order stands"),
        ("rfm.monetaryScore", None, "no order stands"),
        ("churn", [], "who has not bought can't stop buying"),
        ("explanations", [], "there is no score"),
        ("churnReason", None, "there is no score"),
    ),
    *_customer(
        "cleo",
        ("cart.items", 1, "different products: two of p1; p2 was taken out"),
        ("cart.valueMinor", 6000, "two of p1 at 30.00, in cents"),
        ("cart.touchedAt", "2026-03-04T09:20:00.000Z", "when p2 was taken out"),
        ("engagement.lastChannel", "app", "as the first of its events says"),
        ("engagement.sessions", 1, "ten minutes apart"),
        ("lastTriggers", {"cart-abandoned": "2026-03-04T10:20:00.000Z"}, "when each last fired"),
        (
            "decisions",
            [
                {
                    "action": "cart-coupon",
                    "channel": "email",
                    "at": "2026-03-04T10:20:00.000Z",
                    "group": "treated",
                    "outcome": "delivered",
                }
            ],
            "Action Delivered names the id of the decision",
        ),
    ),
    *_customer(
        "lin",
        ("cart", {"items": 1, "valueMinor": 2000, "touchedAt": "2026-03-04T09:30:00.000Z"}, "p3"),
        ("decisions[0].action", "cart-reminder", "a coupon is for carts of 50.00 or more"),
        ("decisions[0].group", "control", "one of the tenth who are never treated"),
        ("decisions[0].outcome", "none", "nothing was heard of it"),
    ),
    *_customer(
        "dan",
        ("support.openTickets", 1, "t2"),
        ("support.tickets", 1, "t2"),
        (
            "support.answerDueAt",
            "2026-03-09T10:00:00.000Z",
            "3 days after a ticket of low priority",
        ),
        ("support.nps", {"score": 3.0, "at": "2026-03-07T08:00:00.000Z"}, "the latest answer"),
        ("support.csat", {"score": 5.0, "at": "2026-03-07T09:00:00.000Z"}, "the latest answer"),
        ("support.ces", {"score": 6.0, "at": "2026-03-07T10:00:00.000Z"}, "the latest answer"),
        (
            "lastTriggers",
            {
                "low-satisfaction": "2026-03-07T08:00:00.000Z",
                "ticket-overdue": "2026-03-09T10:00:00.000Z",
            },
            "when each last fired",
        ),
    ),
    *_customer(
        "eve",
        ("rfm.netMinor", 10000, "100.00 in cents"),
        ("rfm.segment", "new", "one order, lately"),
        ("support.openTickets", 0, "t1 was solved"),
        ("support.tickets", 1, "t1, though it is closed"),
        ("support.answerDueAt", None, "nothing is open"),
        ("support", NO_ANSWERS, "was never asked"),
        ("decisions[0].action", "service-recovery", "for the ticket that waited"),
        ("decisions[0].channel", "phone", "as the action says"),
        ("decisions[0].at", "2026-03-06T12:00:00.000Z", "when the ticket was overdue"),
        ("churnReason", {"kind": "unknown", "evidence": [], "shares": {}}, "the ticket was solved"),
    ),
    *_customer(
        "gus",
        ("rfm.recencyDays", 140.0, "from 26 October to 15 March, both at 09:00"),
        (
            "rfm.windows",
            [
                {"days": 30, "orders": 0, "netMinor": 0},
                {"days": 90, "orders": 0, "netMinor": 0},
                {"days": 365, "orders": 1, "netMinor": 6400},
            ],
            "the last days before the end, with an order 140 days ago",
        ),
        (
            "rfm.decayed",
            [
                {"halfLifeDays": 7, "orders": 2**-20, "netMinor": 6400 * 2**-20},
                {"halfLifeDays": 28, "orders": 2**-5, "netMinor": 6400 * 2**-5},
                {"halfLifeDays": 84, "orders": 2 ** (-5 / 3), "netMinor": 6400 * 2 ** (-5 / 3)},
            ],
            "an order and its net spend, halved every so many days",
        ),
        ("rfm.segment", "lost", "long ago, and not often"),
        ("engagement.interactions", 2, "an order, and the answer to a survey"),
        ("lastTriggers.purchase-overdue", "2026-03-03T06:09:59.296Z", "when it fired"),
        ("churnReason.kind", "service", "a poor answer to a survey"),
        ("churnReason.evidence", ["poor answer to a survey, 7 days ago"], "in words"),
    ),
    *_customer(
        "ivy",
        ("engagement.intensity", 0.5, "a look weighs 1, halved after 14 days"),
        ("engagement.recentViews", 0.5, "one look, halved after 14 days"),
        ("engagement.views", 1, "a second one came too late"),
        ("engagement.interactions", 1, "a second one came too late"),
        ("engagement.sessions", 1, "one visit"),
        ("engagement.lastSeenAt", "2026-03-01T09:00:00.000Z", "the one look"),
        ("rfm.firstOrderAt", None, "has not bought"),
        ("modelVersion", 0, "nothing was learnt"),
    ),
]

CART_REASONS = [
    {"code": "cart_items", "value": 1.0, "words": "1 in the cart"},
    {"code": "cart_value", "value": 60.0, "words": "worth 60.00"},
    {"code": "cart_idle_hours", "value": 1.0, "words": "untouched for 1.0 hours"},
]
CART_LEFT = {"deadline": "cart-idle:1772619600000"}

DECISIONS = [
    *_decision(
        "cart-abandoned cleo",
        ("type", "retention-trigger", "something is the matter"),
        ("id", "f73b21c272ac36409599f3463a40c386", "of rule, version, customer and cause alone"),
        ("kind", "cart-abandoned", "the name of the rule"),
        ("ruleVersion", 1, "as the rule says"),
        ("userId", "cleo", "whose cart it is"),
        ("timestamp", "2026-03-04T10:20:00.000Z", "an hour after the cart was last touched"),
        ("cause", CART_LEFT, "which deadline passed, and when, in ms"),
        ("reasons", CART_REASONS, "the facts that the rule names, in its order"),
        ("churn", None, "has not bought"),
        ("churnReason", None, "has not bought"),
        ("valueAtStake", 0.0, "has spent nothing"),
        ("gates", ["condition", "cooldown"], "what the trigger passed"),
        ("modelVersion", 0, "nothing was learnt"),
        ("group", "treated", "not one of the tenth who are never treated"),
    ),
    *_decision(
        "next-best-action cleo",
        ("type", "next-best-action", "something can be done"),
        ("id", "6c5d446a2f6173f2816cda7c23212f4a", "of version, customer and cause alone"),
        ("kind", "next-best-action", "the same for every action"),
        ("catalogueVersion", 2, "as the file of actions says"),
        ("userId", "cleo", "whose cart it is"),
        ("timestamp", "2026-03-04T10:20:00.000Z", "with the trigger"),
        ("cause", CART_LEFT, "that of the trigger"),
        ("triggers", ["cart-abandoned"], "what it answers"),
        ("group", "treated", "not one of the tenth who are never treated"),
        ("action", "cart-coupon", "6.64 is more than 5.95"),
        ("channel", "email", "as the action says"),
        ("owner", "crm", "as the action says"),
        ("dueAt", "2026-03-05T10:20:00.000Z", "a day later, as the action says"),
        (
            "priority",
            {
                "propensity": 0.16,
                "contextWeight": 1.0,
                "value": 54.0,
                "lever": 1.0,
                "cost": 2.0,
                "priority": 6.64,
            },
            "0.16 x 1 x (60.00 x 0.9) x 1 - 2",
        ),
        ("chosenProbability", 1.0, "the best is always chosen"),
        (
            "gates",
            ["answers", "eligibility", "cooldown", "contact-cap", "priority"],
            "what the action passed",
        ),
        (
            "outranked",
            [
                {
                    "action": "cart-reminder",
                    "priority": {
                        "propensity": 0.1,
                        "contextWeight": 1.0,
                        "value": 60.0,
                        "lever": 1.0,
                        "cost": 0.05,
                        "priority": 5.95,
                    },
                }
            ],
            "0.1 x 1 x 60.00 x 1 - 0.05",
        ),
        (
            "suppressed",
            [{"action": "service-recovery", "by": "answers"}],
            "it is for tickets: the gate that was shut",
        ),
        ("reasons", CART_REASONS, "those of the trigger"),
        ("churn", None, "has not bought"),
        ("churnReason", None, "has not bought"),
        ("valueAtStake", 0.0, "has spent nothing"),
        ("modelVersion", 0, "nothing was learnt"),
    ),
    *_decision(
        "cart-abandoned lin",
        ("timestamp", "2026-03-04T10:30:00.000Z", "an hour after the cart was last touched"),
        ("group", "control", "one of the tenth who are never treated"),
    ),
    *_decision(
        "next-best-action lin",
        ("group", "control", "one of the tenth who are never treated: made, not carried out"),
        ("action", "cart-reminder", "worth 0.1 x 20.00 - 0.05"),
        ("priority.priority", 1.95, "worth 0.1 x 20.00 - 0.05"),
        ("suppressed[0]", {"action": "cart-coupon", "by": "eligibility"}, "less than 50.00"),
    ),
    *_decision(
        "ticket-overdue eve",
        ("timestamp", "2026-03-06T12:00:00.000Z", "4 hours after an urgent ticket"),
        ("churn", PRIOR_28, "the score by the first horizon"),
        ("valueAtStake", 30.0, "a year's 100.00 x 0.3"),
        (
            "churnReason",
            {
                "kind": "service",
                "evidence": ["1 ticket past the promised time"],
                "shares": {"price": 0.0, "product": 0.0, "service": 1.0},
            },
            "the ticket that waits",
        ),
    ),
    *_decision(
        "next-best-action eve",
        ("owner", "service desk", "as the action says"),
        ("dueAt", "2026-03-08T12:00:00.000Z", "two days later, as the action says"),
        ("priority.contextWeight", 1.2, "of the trigger, as the action says"),
        ("priority.value", 130.0, "an average order of 100.00, and 30.00 at stake"),
        ("priority.priority", 43.8, "0.3 x 1.2 x 130 x 1 - 3"),
        ("churn", PRIOR_28, "that of the trigger"),
        ("churnReason.kind", "service", "that of the trigger"),
        ("churnReason.evidence", ["1 ticket past the promised time"], "that of the trigger"),
    ),
    *_decision(
        "low-satisfaction dan",
        ("timestamp", "2026-03-07T08:00:00.000Z", "at once"),
        ("cause", {"messageId": "m21"}, "the event that caused it"),
        (
            "reasons",
            [
                {"code": "survey_score", "value": 3.0, "words": "answered 3"},
                {"code": "survey_share", "value": 0.3, "words": "30% of the scale"},
                {"code": "survey_kind", "value": "nps", "words": "nps"},
            ],
            "3 of 0 to 10",
        ),
    ),
    *_decision(
        "low-satisfaction gus",
        ("cause", {"messageId": "m27"}, "the event that caused it"),
        ("churnReason.kind", "service", "a poor answer to a survey"),
    ),
    *_decision(
        "next-best-action gus",
        ("cause", {"messageId": "m27"}, "that of the trigger"),
        ("triggers", ["low-satisfaction"], "what it answers"),
        ("priority.priority", 21.96, "0.3 x 1 x (64.00 and 19.20 at stake) x 1 - 3"),
        ("churnReason.shares", {"price": 0.0, "product": 0.0, "service": 1.0}, "of its weight"),
    ),
    *_decision(
        "nothing about low-satisfaction dan",
        ("type", "next-best-action", "that nothing is done is decided as well"),
        ("id", "37602bf70fb6f766aebe17f546a8e4e9", "of version, customer and cause alone"),
        ("cause", {"messageId": "m21"}, "that of the trigger"),
        ("triggers", ["low-satisfaction"], "what it answers"),
        ("action", None, "every action was rejected"),
        ("channel", None, "nothing is done"),
        ("owner", None, "nothing is done"),
        ("dueAt", None, "nothing is done"),
        ("priority", None, "nothing is done"),
        ("outranked", [], "every action was rejected"),
        (
            "suppressed",
            [
                {"action": "cart-reminder", "by": "answers"},
                {"action": "cart-coupon", "by": "answers"},
                {"action": "service-recovery", "by": "eligibility"},
            ],
            "two are for carts; the third for who has bought or has an open ticket",
        ),
    ),
    *_decision(
        "nothing about purchase-overdue gus",
        ("action", None, "no action answers it"),
        ("suppressed[2].by", "answers", "no action answers it"),
    ),
    *_decision(
        "nothing about ticket-overdue dan",
        ("action", None, "no action is for who has not bought"),
        ("timestamp", "2026-03-09T10:00:00.000Z", "with the trigger"),
    ),
    *_decision(
        "ticket-overdue dan",
        ("timestamp", "2026-03-09T10:00:00.000Z", "3 days after a ticket of low priority"),
    ),
    *_decision(
        "purchase-overdue gus",
        (
            "timestamp",
            "2026-03-03T06:09:59.296Z",
            "127.88 days: 90 of 100 gaps are below 30 x exp(1.2816 x 0.8 x sqrt(1.5)) days",
        ),
        ("valueAtStake", 19.2, "a year's 64.00 x 0.3"),
        (
            "reasons[0]",
            {"code": "silent_days", "value": 127.8819362962963, "words": "now 128 days"},
            "so far",
        ),
        ("churnReason", {"kind": "unknown", "evidence": [], "shares": {}}, "no sign was given"),
    ),
]

OTHERS = [
    Right(SCORES, "s01", "messageId", "s01", "that of the question"),
    Right(SCORES, "s01", "userId", "ivy", "that of the question"),
    Right(SCORES, "s01", "timestamp", "2026-03-01T09:30:00.000Z", "that of the question"),
    Right(SCORES, "s01", "horizonDays", 28.0, "the first of churn.horizon_days: none was asked"),
    Right(SCORES, "s01", "churnProbability", 0.3, "churn.prior: has not bought"),
    Right(SCORES, "s01", "source", "prior", "churn.prior: has not bought"),
    Right(SCORES, "s01", "modelVersion", 0, "nothing was learnt"),
    Right(SCORES, "s01", "value", None, "nothing was learnt"),
    Right(SCORES, "s01", "silentChurn", None, "too little history"),
    Right(SCORES, "s02", "horizonDays", 90.0, "that of the question"),
    Right(SCORES, "s02", "churnProbability", 0.3, "churn.prior: nothing was learnt"),
    Right(LETTERS, "out_of_range", "path", "$.properties.revenue", "an order of less than nothing"),
    Right(LETTERS, "out_of_range", "reason", "out_of_range", "an order of less than nothing"),
    Right(LETTERS, "out_of_range", "step", "ingest", "which step refused it"),
    Right(LETTERS, "out_of_range", "line", 29, "of the log, from 1"),
    Right(LETTERS, "out_of_range", "source", None, "a replay has lines, not offsets"),
    Right(LETTERS, "no_identity", "path", "$.userId", "whose order it is, nobody says"),
    Right(LETTERS, "too_late", "step", "profile", "which step refused it"),
    Right(LETTERS, "too_late", "path", "$.timestamp", "older than 3 days"),
    Right(
        SUMMARY,
        "",
        "events",
        {"read": 28, "applied": 24, "duplicate": 1, "late": 1, "deadLettered": 2},
        "m03 came twice, m26 too late, m24 and m25 can't be used",
    ),
    Right(
        SUMMARY,
        "",
        "triggers",
        {
            "cart-abandoned": 2,
            "low-satisfaction": 2,
            "next-best-action": 4,
            "purchase-overdue": 1,
            "ticket-overdue": 2,
        },
        "by kind, actions too",
    ),
    Right(SUMMARY, "", "nothing", 3, "no action for gus's overdue purchase, and twice for dan"),
    Right(SUMMARY, "", "scores", 2, "one for each question"),
    Right(SUMMARY, "", "customers", 8, "whoever has an event that was applied"),
    Right(SUMMARY, "", "clock", END, "the last watermark"),
    Right(SUMMARY, "", "modelVersion", 0, "nothing was learnt"),
    Right(SUMMARY, "", "quality", [], "nothing was learnt"),
    Right(SUMMARY, "", "spendQuality", [], "nothing was learnt"),
    Right(SUMMARY, "", "drift", [], "nothing has moved"),
    Right(SUMMARY, "", "revenueShareTopFifth", None, "nothing was learnt"),
]

RIGHT = [*PROFILES, *DECISIONS, *OTHERS]
