"""A customer's profile: the sections of all parts, as of one moment."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from models.customer.part import Basis, Part, ProfileSection
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.events.times import iso, iso_or_none

SECTIONS = tuple(section for part in PARTS for section in part.sections)


class SectionView(Struct, frozen=True, rename="camel"):
    """How far a section of the profile can be relied on.

    ``source``: parameters, population, or the model and its version. ``valid_until``: when a
    deadline, the end of a window or the next look at a score changes it although nothing happens;
    null if only events do. What grows or decays all the time is of ``as_of``.
    """

    as_of: str
    source: str
    valid_until: str | None


#: Profiles by earlier releases do not have it.
_SECTIONS_FIELD: tuple[Any, ...] = (
    "sections",
    dict[str, SectionView],
    msgspec.field(default_factory=dict),
)


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
            *sorted((*(section.field for section in SECTIONS), _SECTIONS_FIELD), key=len),
        ],
        namespace={
            "__doc__": "A customer as of a moment of event time, a section for each concern.\n\n"
            "``explanations`` are of the scores in ``churn``, in their order; ``sections`` says of "
            "each of the others how far it can be relied on."
        },
        frozen=True,
        rename="camel",
    )


Profile: Any = _profile_type()
#: The sections' names in JSON.
_NAMES = {field.name: field.encode_name for field in msgspec.structs.fields(Profile)}


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
        sections=dict(_told(scene)),
    )


def _told(scene: Scene) -> Iterator[tuple[str, SectionView]]:
    """Of each section of a part that is switched on."""
    as_of, version = iso(scene.at_ms), scene.snapshot.version
    for part in PARTS:
        if part.is_on(scene.parameters):
            for section in part.sections:
                source, until = _source(section.basis, version), iso_or_none(section.edge(scene))
                yield _NAMES[section.name], SectionView(as_of, source, until)


def _source(basis: Basis, version: int) -> str:
    """Without a model all is made of the shipped parameters."""
    if not version:
        return str(Basis.PARAMETERS)
    return f"{basis} {version}" if basis is Basis.MODEL else str(basis)


def _read(part: Part[Any], section: ProfileSection, scene: Scene) -> Any:
    """The section; None if the part is switched off."""
    return section.read(scene) if part.is_on(scene.parameters) else None


def encode_profile(view: Any) -> bytes:
    """The profile as JSON."""
    return msgspec.json.encode(view)
