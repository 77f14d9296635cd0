"""The features of a churn model: their names in order, and their binary encoding."""

from struct import Struct as Layout

NAMES = (
    "orders_7d",
    "orders_28d",
    "orders_84d",
    "spend_7d",
    "spend_28d",
    "spend_84d",
    "recency",
    "recency_squared",
    "tenure",
    "frequency",
    "spend",
    "trend",
    "recency_over_gap",
    "overdue",
    "gap_variation",
    "one_timer",
    "bgnbd",
    "days_28d",
    "recency_by_orders",
    "bgnbd_by_orders",
    "longer_gaps",
    "intensity",
    "views",
    "unseen",
    "open_tickets",
    "unhappy",
)
Features = tuple[float, ...]
_LAYOUT = Layout(f"<{len(NAMES)}f")
#: Of the 23 binary digits behind the point of a single-precision float, `rounded` keeps ten.
_DROPPED_BITS = 13
# A one in every four bytes.
_ONES = int.from_bytes((1).to_bytes(4, "little") * len(NAMES), "little")
_HALVES, _KEPT = _ONES << _DROPPED_BITS - 1, _ONES * (0xFFFFFFFF >> _DROPPED_BITS << _DROPPED_BITS)


def pack(values: Features) -> bytes:
    """Features as single-precision floats: half the bytes, and precise enough."""
    return _LAYOUT.pack(*values)


def unpack(content: bytes) -> Features:
    """Read what `pack` wrote. Raises ``ValueError`` if a release with other features wrote it."""
    if len(content) != _LAYOUT.size:
        raise ValueError(f"not the {len(NAMES)} features of this release")
    return _LAYOUT.unpack(content)


def rounded(content: bytes) -> bytes:
    """Packed features to three significant digits, each still in four bytes: the same on all
    processors, whose logarithms differ in the last digits.
    """
    # All at once, as one number: no finite float is so large that adding to it changes the next.
    bits = int.from_bytes(content, "little") + _HALVES & _KEPT
    return bits.to_bytes(_LAYOUT.size, "little")
