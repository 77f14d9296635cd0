"""Decisions as CloudEvents 1.0 in Kafka's binary mode: attributes in headers, JSON as value."""

from models.decisions.trigger import ActionWithdrawn, Decision
from models.events.erasure_record import ErasureNotice

SOURCE = "/keepstream"
NOTICE_TYPE = "keepstream.erased.v1"


def decision_headers(
    decided: Decision, type_name: str, received_at_ms: int | None
) -> list[tuple[str, bytes]]:
    """The headers of a decision's record.

    ``received_at_ms``: when the broker took the event that caused it, None for a deadline. It
    travels as the extension attribute ``causedat``, so that anyone can measure the latency. The
    attribute ``group`` says treated or control, for readers that do not open the value.
    ``contaminated`` is present, and true, for customers with decisions of both groups.
    """
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": decided.id,
        "ce_source": SOURCE,
        "ce_type": type_name,
        "ce_subject": decided.user_id,
        "ce_time": decided.timestamp,
        "content-type": "application/json",
    }
    if decided.group is not None:
        attributes["ce_group"] = decided.group
    if not isinstance(decided, ActionWithdrawn) and decided.contaminated is True:
        attributes["ce_contaminated"] = "true"
    if received_at_ms is not None:
        attributes["ce_causedat"] = str(received_at_ms)
    return [(name, value.encode()) for name, value in attributes.items()]


def notice_headers(notice: ErasureNotice) -> list[tuple[str, bytes]]:
    """The headers of an erasure notice; its subject is a fingerprint."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": notice.id,
        "ce_source": SOURCE,
        "ce_type": NOTICE_TYPE,
        "ce_subject": notice.fingerprint,
        "ce_time": notice.timestamp,
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]
