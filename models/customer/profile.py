"""A customer's profile: the sections of all parts, as of one moment."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from models.customer.engagement import engagement
from models.customer.part import Basis, Part
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.events.times import iso, iso_or_none

SECTIONS = tuple(section for part in PARTS for section in part.sections)


class SectionView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How far a section of the profile can be relied on.

    ``source``: parameters, population, or the model and its version. ``valid_until``: when a
    deadline, the end of a window or the next look at a score changes it without an event; null if
    only events do. Values that grow or decay all the time are as of ``as_of``. ``complete_since``:
    the section lacks what the customer did before that time, because it was not kept then; absent
    if nothing is missing.
    """

    as_of: str
    source: str
    valid_until: str | None
    complete_since: str | None = None


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


class _Drawn(NamedTuple):
    """A section of every profile; ``source`` in words."""

    name: str
    in_json: str
    read: Callable[[Scene], Any]
    edge: Callable[[Scene], int]
    source: str


def profile(customer: str, row: Row, at_ms: int, context: Context) -> Any:
    """The customer as of ``at_ms``: windows end then, and levels are decayed to then."""
    scene, as_of = Scene(row, customer, at_ms, context), iso(at_ms)
    read: dict[str, Any] = {**context.settled(_left_out)}
    told: dict[str, SectionView] = {}
    for part, drawn in context.of(_drawn):
        since = iso_or_none(begun_after(scene, part)) if context.begun_ms else None
        for name, in_json, section, edge, source in drawn:
            read[name] = section(scene)
            until_ms = edge(scene)
            until = iso(until_ms) if until_ms else None
            told[in_json] = SectionView(as_of, source, until, since)
    # Breaks reference cycles: some readings refer to the scene, and many profiles are made each
    # second.
    scene.forget()
    return Profile(
        user_id=customer,
        as_of=as_of,
        model_version=context.snapshot.version,
        next_deadline_at=iso_or_none(row.next_due_ms),
        **read,
        sections=told,
    )


def _left_out(context: Context) -> dict[str, None]:
    """The sections of parts that are switched off, as None."""
    off = [part for part in PARTS if not part.is_on(context.parameters)]
    return {section.name: None for part in off for section in part.sections}


def _drawn(context: Context) -> list[tuple[Part[Any], list[_Drawn]]]:
    """The sections of the parts that are switched on."""
    sources = _sources(context.snapshot.version)
    return [
        (
            part,
            [
                _Drawn(one.name, _NAMES[one.name], one.read, one.edge, sources[one.basis])
                for one in part.sections
            ],
        )
        for part in PARTS
        if part.sections and part.is_on(context.parameters)
    ]


def begun_after(scene: Scene, part: Part[Any]) -> int:
    """When the part was switched on, if the customer is older, so that the part has missed some of
    their events; else 0.
    """
    begun_ms = scene.context.begun_ms.get(part.code, 0)
    return begun_ms if begun_ms and scene.of(engagement).first_at_ms <= begun_ms else 0


def _sources(version: int) -> dict[Basis, str]:
    """Each basis in words. Without a model, all of them are the shipped parameters."""
    if not version:
        return dict.fromkeys(Basis, str(Basis.PARAMETERS))
    return {**{basis: str(basis) for basis in Basis}, Basis.MODEL: f"{Basis.MODEL} {version}"}


def encode_profile(view: Any) -> bytes:
    """The profile as JSON."""
    return msgspec.json.encode(view)
