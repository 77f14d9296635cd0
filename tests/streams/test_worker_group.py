"""A group's coordinator that is being elected or loads its offsets is asked again."""

from typing import Any

import pytest
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    NotCoordinatorError,
)

from streams import worker_group
from streams.worker_group import GroupUnanswered, committed_offsets, described


class Coordinator:
    """Answers with these errors first, then with what it knows."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def list_group_offsets(self, group: str) -> dict[str, dict[str, int]]:
        return {group: {"a": 1}} if not self._fails() else {}

    def describe_groups(self, groups: list[str], **_: bool) -> dict[str, dict[str, str]]:
        return {groups[0]: {"group_state": "Stable"}} if not self._fails() else {}

    def _fails(self) -> bool:
        if self.errors:
            raise self.errors.pop(0)
        return False


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_group, "RETRY_S", 0.0)


@pytest.mark.parametrize(
    "error", [CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError]
)
@pytest.mark.parametrize(
    ("ask", "answer"), [(committed_offsets, {"a": 1}), (described, {"group_state": "Stable"})]
)
def test_what_passes_is_asked_again(error: Any, ask: Any, answer: Any) -> None:
    assert ask(Coordinator(error(), error()), "workers") == answer
    with pytest.raises(GroupUnanswered, match="workers .*" + error.__name__):
        ask(Coordinator(error(), error(), error()), "workers", tries=3)


def test_what_does_not_pass_is_raised_at_once() -> None:
    coordinator: Any = Coordinator(GroupAuthorizationFailedError())
    with pytest.raises(GroupAuthorizationFailedError):
        committed_offsets(coordinator, "workers")
