"""What customers say of products, and of going: only ratings and codes of it travel on."""

import re
from math import isfinite, nan
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

#: A choice of a list, as systems name them: one word, letters first.
_CODE = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}").fullmatch


class Review(Struct, frozen=True, omit_defaults=True, gc=False):
    """A rating of a product, from 1 to 5 unless it says up to what; a number, or one as a text.

    Nothing that was written travels.
    """

    rating: float | str | None = None
    scale_max: Annotated[float, Meta(gt=1, le=1e12)] | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "rating", _finite(self.rating))

    @property
    def share(self) -> float | None:
        """How far up its scale the rating is, 0 to 1; None for one that is not on it."""
        top = 5.0 if self.scale_max is None else self.scale_max
        if not isinstance(self.rating, float) or not 0 <= self.rating <= top:
            return None
        return max(self.rating - 1.0, 0.0) / (top - 1.0)


class Cancellation(Struct, frozen=True, omit_defaults=True, gc=False):
    """A subscription given up. A reason travels if it is a code such as ``too_expensive``;
    anything else may be personal.
    """

    reason: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))


def code(text: str | None) -> str | None:
    """``text`` if it is one of somebody's list, and nothing that a person wrote."""
    return text if text is not None and _CODE(text) else None


def _finite(rating: float | str | None) -> float | None:
    try:
        number = float(rating) if rating is not None else nan
    except ValueError:
        return None
    return number if isfinite(number) else None
