"""A customer's profile: the sections of all parts, as of one moment."""

from typing import Any

import msgspec

from models.customer.part import Part, ProfileSection
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.events.times import iso, iso_or_none

SECTIONS = tuple(section for part in PARTS for section in part.sections)


def _profile_type() -> Any:
    """A struct with the sections of all parts, under the parts' names for them."""
    return msgspec.defstruct(
        "Profile",
        [
            ("user_id", str),
            ("as_of", str),
            ("model_version", int),
            ("next_deadline_at", str | None),
            # Required fields come first, as with Python's arguments.
            *sorted((section.field for section in SECTIONS), key=len),
        ],
        namespace={
            "__doc__": "A customer as of a moment of event time, a section for each concern.\n\n"
            "``explanations`` are of the scores in ``churn``, in their order."
        },
        frozen=True,
        rename="camel",
    )


Profile: Any = _profile_type()


def profile(customer: str, row: Row, at_ms: int, context: Context) -> Any:
    """The customer as of ``at_ms``: windows end then, and levels are decayed to then."""
    scene = Scene(row, customer, at_ms, context)
    return Profile(
        user_id=customer,
        as_of=iso(at_ms),
        model_version=context.snapshot.version,
        next_deadline_at=iso_or_none(row.next_due_ms),
        **{
            section.name: _read(part, section, scene) for part in PARTS for section in part.sections
        },
    )


def _read(part: Part[Any], section: ProfileSection, scene: Scene) -> Any:
    """The section; None if the part is switched off."""
    return section.read(scene) if part.is_on(scene.parameters) else None


def encode_profile(view: Any) -> bytes:
    """The profile as JSON."""
    return msgspec.json.encode(view)
