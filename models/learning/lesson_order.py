"""The order in which the lessons of a day are learnt.

By event time and, since most lessons have the same second, by a hash. The hash shuffles them, which
suits models that learn one by one, and needs neither the customer's name nor the partition.

It is taken of what a lesson says exactly, such as its label, and of features to three digits. It is
not taken of scores and forecasts: their last digits depend on the type of processor, and a single
other digit would change the order of the moment.
"""

from binascii import a2b_base64
from hashlib import blake2b

from msgspec.json import Encoder

from models.learning.feature_names import rounded
from models.learning.lessons import Example, Lesson, Observation, encode_lesson, own_lesson

#: Bytes of a lesson's time, and of the hash that follows it.
_TIME_SIZE, _HASH_SIZE = 8, 8
# Copying a hash object costs less than making one.
_EMPTY = blake2b(digest_size=_HASH_SIZE)
_ENCODER = Encoder()


def in_order(lesson: Lesson) -> bytes:
    """A lesson in an encoding that sorts in the order of learning. It contains neither the
    partition nor the position. Lessons that agree in all that the hash is taken of are in the order
    of their content.
    """
    position = lesson.partition, lesson.offset, lesson.index
    lesson.partition = lesson.offset = lesson.index = 0
    try:
        content = encode_lesson(lesson)
    finally:
        # Restored, because copying the lesson would cost as much as everything else here.
        lesson.partition, lesson.offset, lesson.index = position
    shuffle = _EMPTY.copy()
    shuffle.update(_exactly(lesson, content))
    return lesson.timestamp_ms.to_bytes(_TIME_SIZE, "big") + shuffle.digest() + content


def lesson_of(ordered: bytes) -> Lesson:
    """The lesson in what `in_order` returned."""
    return own_lesson(ordered[_TIME_SIZE + _HASH_SIZE :])


def _exactly(lesson: Lesson, content: bytes) -> bytes:
    """What a lesson, encoded as ``content``, says in the same digits on every processor."""
    match lesson:
        case Example():
            label = (lesson.horizon_days, lesson.kind, lesson.churned, lesson.weight)
            said = _ENCODER.encode((label, lesson.spent_minor))
            return said + rounded(a2b_base64(lesson.features))
        case Observation():
            bought = (lesson.recency_days, lesson.frequency, lesson.monetary_minor)
            cells = (lesson.enters, lesson.leaves, lesson.spend_enters, lesson.spend_leaves)
            return _ENCODER.encode((bought, cells, lesson.acquired, lesson.labels_thousandths))
        case _:
            return content
