"""A topic that becomes another one under a worker ends it."""

import pytest

from streams.topic_identity import TopicReplaced, TopicWatch


@pytest.mark.parametrize("read", [{}, {"orders": "id-1"}])
def test_a_topic_that_was_replaced_is_told_at_the_next_look(read: dict[str, str]) -> None:
    watch = TopicWatch()
    watch.look({"orders": "id-1", "clicks": "id-7"}, read)
    watch.look({"orders": "id-1", "clicks": "id-7"}, read)
    with pytest.raises(TopicReplaced, match=r"orders was deleted .* was id-1, and is id-2"):
        watch.look({"orders": "id-2", "clicks": "id-7"}, read)


def test_a_topic_that_is_away_for_a_while_is_compared_with_what_it_was() -> None:
    watch = TopicWatch()
    watch.look({"orders": "id-1"}, {})
    watch.look({}, {})
    with pytest.raises(TopicReplaced):
        watch.look({"orders": "id-2"}, {})


def test_what_positions_are_of_after_a_rebalance_is_right() -> None:
    watch = TopicWatch()
    watch.look({"orders": "id-1"}, {})
    watch.look({"orders": "id-2"}, {"orders": "id-2"})
