"""The operations of the web ports: those of every process, and those of workers only."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from agents.web.operation import Operation, Parameter, Reply
from config.topics import RAW_TOPICS
from models.customer_list import TOP, TOP_MAX, CustomerList, PartitionAsOf
from models.dry_run import DryRun
from models.events.ids import ID_BYTES_MAX
from streams.exposition import CONTENT_TYPE


class Health(Struct, frozen=True, omit_defaults=True):
    """``status``: live, ready, or not ready because of ``problems``. ``delays`` are only reported;
    they don't take the process out of service.
    """

    status: str
    problems: Sequence[str] = ()
    delays: Sequence[str] = ()


class WhyNot(Struct, frozen=True, omit_defaults=True):
    """The reason for an error, and its fix. ``customer``: the customer to ask for instead."""

    message: str
    customer: str | None = None


class IncompleteList(CustomerList, frozen=True, kw_only=True, rename="camel"):
    """A list with missing partitions; ``message`` names them."""

    message: str


class SegmentInfo(Struct, frozen=True, rename="camel"):
    """A declared segment, how many customers are in it, and how many of these entered it within the
    last 1, 7 and 28 days. ``is_exact``: customers enter and leave it to the millisecond; otherwise
    up to ``check_in_days`` later.
    """

    name: str
    version: int
    when: str
    about: str
    announce: bool
    is_exact: bool
    members: int
    entered_day: int
    entered_week: int
    entered_four_weeks: int


class SegmentList(Struct, frozen=True, rename="camel"):
    """``partitions``: the moment at which each of them was searched."""

    segments: Sequence[SegmentInfo]
    check_in_days: float
    partitions: Sequence[PartitionAsOf]


_AGAIN: Final = {"Retry-After": "In whole seconds."}

LIVE: Final = Operation(
    "live",
    "GET",
    "/health/live",
    "Whether the process answers.",
    {200: Reply("It does.", Health)},
    is_open=True,
)
READY: Final = Operation(
    "ready",
    "GET",
    "/health/ready",
    "Whether the process does its work.",
    {200: Reply("It does.", Health), 503: Reply("It does not, for these reasons.", Health)},
    is_open=True,
)
_UNAUTHORIZED: Final = Reply(
    "The token is missing or wrong.",
    WhyNot,
    headers={"WWW-Authenticate": "Bearer"},
)
METRICS: Final = Operation(
    "metrics",
    "GET",
    "/metrics",
    "The metrics in Prometheus' text format, at most a second old.",
    {
        200: Reply("The metrics.", {"type": "string"}, CONTENT_TYPE.partition(";")[0]),
        401: _UNAUTHORIZED,
    },
)
CUSTOMER: Final = Operation(
    "customer",
    "GET",
    "/customers/{id}",
    "A customer's current profile.",
    {
        200: Reply("The profile.", "profile"),
        307: Reply(
            "Another worker has the customer, or the id belongs to another customer.",
            WhyNot,
            headers={"Location": "The address to ask."},
        ),
        400: Reply("The id is invalid.", WhyNot),
        401: _UNAUTHORIZED,
        404: Reply("There is no such customer, or no worker is known to have them.", WhyNot),
        503: Reply("Their partition is being read.", WhyNot, headers=_AGAIN),
    },
    parameters=(
        Parameter(
            "id",
            "path",
            "The customer's id, escaped.",
            {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX},
            is_required=True,
        ),
    ),
    # An id may contain slashes, escaped or not.
    pattern="/customers/{id:.+}",
)
CUSTOMERS: Final = Operation(
    "customers",
    "GET",
    "/customers",
    "The customers who meet a condition, highest first by a number.",
    {
        200: Reply("The list.", CustomerList),
        400: Reply("The request is invalid.", WhyNot),
        401: _UNAUTHORIZED,
        503: Reply(
            "Partitions are missing from the list, which `unanswered` names.",
            IncompleteList,
            headers=_AGAIN,
        ),
    },
    parameters=(
        Parameter("where", "query", "A condition in the language of the rules."),
        Parameter("by", "query", "A fact, or an expression of facts."),
        Parameter("show", "query", "Further facts, separated by commas."),
        Parameter(
            "top",
            "query",
            "How many customers.",
            {"type": "integer", "minimum": 1, "maximum": TOP_MAX, "default": TOP},
        ),
        Parameter("cursor", "query", "The `next` of the page before."),
        Parameter(
            "count",
            "query",
            "Facts with few values, separated by commas, by which matches are counted; * joins two "
            "facts.",
        ),
        Parameter("as_of", "query", "A moment in the future.", {"type": "string"}),
        Parameter(
            "partial",
            "query",
            "Whether to accept a list with missing partitions.",
            {"type": "string", "enum": ["true", "false", "1", "0"], "default": "false"},
        ),
        Parameter(
            "by_segment",
            "query",
            "Whether to count them by segment, also those who entered it lately.",
            {"type": "string", "enum": ["true", "false", "1", "0"], "default": "false"},
        ),
        Parameter(
            "partitions",
            "query",
            "Only these, if this worker has them; separated by commas.",
            {"type": "string", "pattern": "^[0-9]{1,9}(,[0-9]{1,9})*$"},
        ),
    ),
)
DRY_RUN: Final = Operation(
    "dryRun",
    "POST",
    "/dry-run",
    "A dry run of an event, on a copy of its customer. Nothing is published or changed.",
    {
        200: Reply("What it would do, or why it would be refused.", DryRun),
        307: Reply(
            "Another worker has its customer.", WhyNot, headers={"Location": "The address to ask."}
        ),
        400: Reply("The request is invalid.", WhyNot),
        401: _UNAUTHORIZED,
        404: Reply("No worker is known to have its customer.", WhyNot),
        413: Reply("It is larger than any event.", WhyNot),
        503: Reply("Its customer's partition is being read.", WhyNot, headers=_AGAIN),
    },
    parameters=(
        Parameter(
            "topic",
            "query",
            "The raw topic that it would be published on; by default, the usual one for its name.",
            {"type": "string", "enum": list(RAW_TOPICS)},
        ),
    ),
    # Any body is accepted: an invalid event is a valid question.
    body={},
)

_PART_OF_LIST: Final = ("by", "show", "top", "cursor", "as_of", "partial")
SEGMENTS: Final = Operation(
    "segments",
    "GET",
    "/segments",
    "The declared segments, and how many customers are in each.",
    {
        200: Reply("The segments, in the order of their file.", SegmentList),
        401: _UNAUTHORIZED,
        503: Reply("Partitions did not answer, so members are missing.", WhyNot, headers=_AGAIN),
    },
)
SEGMENT: Final = Operation(
    "segment",
    "GET",
    "/segments/{name}",
    "The members of a segment, as a list of customers.",
    {
        200: Reply("The list.", CustomerList),
        400: Reply("The request is invalid.", WhyNot),
        401: _UNAUTHORIZED,
        404: Reply("There is no such segment.", WhyNot),
        503: Reply(
            "Partitions are missing from the list, which `unanswered` names.",
            IncompleteList,
            headers=_AGAIN,
        ),
    },
    parameters=(
        Parameter("name", "path", "The segment's name.", is_required=True),
        *(one for one in CUSTOMERS.parameters if one.name in _PART_OF_LIST),
    ),
)

#: The operations on the web port of every process.
OF_EVERY_PROCESS: Final = (LIVE, READY, METRICS)
#: Further operations on a worker's web port.
OF_A_WORKER: Final = (CUSTOMER, CUSTOMERS, SEGMENTS, SEGMENT, DRY_RUN)
