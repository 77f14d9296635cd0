"""When `keepstream up` has an archive, and for how long it then keeps the log."""

import pytest

from agents.standing.directory import Addresses
from agents.standing.services import LOG_RETENTION, archive_variables

ARCHIVE, RETENTION = "KEEPSTREAM_ARCHIVE", "KEEPSTREAM_LOG_RETENTION"


def before(*, archive: bool, log_retention: str) -> Addresses:
    return Addresses(1, "", "", [], archive=archive, log_retention=log_retention)


WITHOUT = before(archive=False, log_retention="forever")
WITH = before(archive=True, log_retention="9d")
SHIPPED = {ARCHIVE: "on", RETENTION: LOG_RETENTION}


@pytest.mark.parametrize(
    ("last", "is_asked", "said", "expected"),
    [
        (None, False, {}, {}),
        (None, True, {}, SHIPPED),
        (WITHOUT, False, {}, {}),
        # What was kept for ever because there was none need not be from now on.
        (WITHOUT, True, {}, SHIPPED),
        (WITHOUT, True, {RETENTION: "12d"}, {ARCHIVE: "on", RETENTION: "12d"}),
        # It stays as it was, until somebody says otherwise.
        (WITH, False, {}, {ARCHIVE: "on", RETENTION: "9d"}),
        (WITH, False, {RETENTION: "12d"}, {ARCHIVE: "on", RETENTION: "12d"}),
        (WITH, False, {ARCHIVE: "off"}, {}),
        (WITH, True, {ARCHIVE: "off"}, {ARCHIVE: "on", RETENTION: "9d"}),
    ],
)
def test_it_is_on_where_it_is_asked_for_or_was_before(
    last: Addresses | None, is_asked: bool, said: dict[str, str], expected: dict[str, str]
) -> None:
    assert expected == archive_variables(said, last, is_asked=is_asked)
