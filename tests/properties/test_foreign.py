"""Any record on an internal topic is read, or left out with the one error that its reader expects.

A record that is read can be used: a lesson breaks no learner, nor the next snapshot.
"""

import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import topics
from models.admission import admit
from models.customer.row_formats import NewerRow, OlderRow
from models.events.foreign import Foreign
from models.events.rejection import Rejected
from models.events.wire import decode_line
from models.learning.lesson_checks import learnable_lesson
from models.learning.snapshot import UnknownSnapshot, encode_snapshot
from models.learning.trainer import Trainer
from models.partition import Partition
from models.partition_state import PartitionState, encode_state
from models.plan import plan_for
from streams.quarantine import DECODERS, why_foreign
from streams.recovery import ChangelogFold
from tests.examples import drawn
from tests.kafka.upgrade.recording import read_recording
from tests.models.lines import PARAMETERS, PRIOR
from tests.models.test_partition import HotRows

#: Records as workers really wrote them, of every topic.
RECORDED = read_recording().topics
PLAN = plan_for(PARAMETERS)

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 1e300, -1e300, 1e-300]),
    st.text(max_size=5),
    st.lists(st.integers(-3, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
DEEP = b"[" * 100_000
SURELY_FOREIGN = [None, b"", b"\xff", b'{"type":"\xff"}', DEEP, b'{"type":' + DEEP, b"[]", b"7"]


@st.composite
def altered(draw: st.DrawFn, topic: str) -> bytes:
    """A record of the topic with one field, however deep, replaced by anything; or cut off, or with
    one byte changed.
    """
    kept = draw(st.sampled_from([one.value for one in RECORDED[topic][-200:] if one.value]))
    way = draw(st.sampled_from(["field", "field", "field", "cut", "byte"]))
    if way == "cut":
        return kept[: draw(st.integers(0, len(kept)))]
    if way == "byte":
        at = draw(st.integers(0, len(kept) - 1))
        return kept[:at] + bytes([draw(st.integers(0, 255))]) + kept[at + 1 :]
    try:
        tree = msgspec.json.decode(kept)
    except msgspec.DecodeError:
        return kept[:-1]
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys))
        child = node[key]
        if isinstance(child, dict | list) and child and draw(st.booleans()):
            node = child
            continue
        node[key] = draw(odd)
        return _json(tree)


def _json(tree: object) -> bytes:
    # The standard library's writes numbers of any size.
    return json.dumps(tree).encode()


@pytest.mark.parametrize("topic", DECODERS)
@pytest.mark.parametrize("value", SURELY_FOREIGN)
def test_what_is_surely_foreign_is_told_as_such(topic: str, value: bytes | None) -> None:
    assert why_foreign(topic, value) is not None


@pytest.mark.parametrize("topic", DECODERS)
def test_what_workers_wrote_is_ours(topic: str) -> None:
    assert [] == [why for one in RECORDED[topic] if (why := why_foreign(topic, one.value))]


@pytest.mark.parametrize("topic", [topic for topic in DECODERS if topic != topics.DEAD_LETTERS])
def test_anything_is_read_or_left_out(topic: str) -> None:
    @given(altered(topic) | st.binary(max_size=40))
    def check(value: bytes) -> None:
        why_foreign(topic, value)

    check()


LESSONS = [one.value or b"" for one in RECORDED[topics.LABELLED_EXAMPLES]]


@drawn(times=0.5)
@given(st.lists(altered(topics.LABELLED_EXAMPLES), min_size=1, max_size=12), st.randoms())
def test_no_lesson_that_is_learnt_breaks_the_trainer(
    forged: list[bytes], chance: random.Random
) -> None:
    trainer = Trainer(PARAMETERS)
    for value in chance.sample(LESSONS, 12) + forged:
        try:
            lesson = learnable_lesson(value)
        except Foreign:
            continue
        trainer.learn(lesson)
    content, _ = encode_snapshot(trainer.draw())
    assert why_foreign(topics.MODEL_SNAPSHOTS, content) is None


@given(altered(topics.CUSTOMER_EVENTS) | st.sampled_from([v or b"" for v in SURELY_FOREIGN]))
def test_a_record_of_the_log_is_applied_or_refused(value: bytes) -> None:
    state = PartitionState()
    partition = Partition(0, HotRows(), PRIOR, PLAN, _no_models, state)
    try:
        partition.apply(0, decode_line(value))
    except Rejected:
        partition.skip(0)
    encode_state(partition.state)


def _no_models(_version: int, _sha256: str) -> object:
    raise UnknownSnapshot("there is none")


@given(st.binary(max_size=40) | st.sampled_from([v or b"" for v in SURELY_FOREIGN]), st.booleans())
def test_a_record_of_the_changelog_is_taken_or_quarantined(value: bytes, is_state: bool) -> None:
    fold = ChangelogFold()
    try:
        fold.add(b"\x00partition" if is_state else b"c-1", value)
    except (NewerRow, OlderRow):
        return
    assert fold.quarantined or fold.packed or fold.state.applied >= 0 or not value


@pytest.mark.parametrize("field", ["source", "position", "context", "properties", "horizonDays"])
@pytest.mark.parametrize("name", [rb"\ud800", b"\x80"], ids=["escaped", "raw"])
def test_a_lone_surrogate_in_a_name_that_nobody_reads_costs_nothing(
    field: str, name: bytes
) -> None:
    line = b'{"type":"page","userId":"u","timestamp":"2024-01-01T00:00:00Z","%b":{"%b":1}}'
    event = admit(line % (field.encode(), name), PARAMETERS, message_id="m", topic="clickstream")
    assert "u" == event.customer
