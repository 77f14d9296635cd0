"""The standing holdout: a share of customers for whom decisions are made and not carried out."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from config.parameters import Parameters
from models.customer.fingerprint import fingerprint
from models.customer.part import Line, Told
from models.customer.scene import Scene
from models.customer.words import moment_in_words
from models.measures import Measure, Sample

#: The groups: treated customers, and the holdout that shows what would have happened anyway.
TREATED, CONTROL = "treated", "control"
_BUCKETS = 10_000
CONTAMINATED = "contaminated"
_CUSTOMERS = Measure(
    "keepstream_contaminated_customers",
    "Customers for whom decisions were made in both groups, since ids of theirs were drawn apart",
)


def is_control(customer: str, holdout: float) -> bool:
    """Whether the customer is in the standing holdout, which depends on their id alone."""
    return fingerprint(f"holdout:{customer}") % _BUCKETS < holdout * _BUCKETS


def group(scene: Scene) -> str:
    """The customer's group: `CONTROL` for the standing holdout, else `TREATED`."""
    return CONTROL if is_control(scene.customer, scene.parameters.actions.holdout) else TREATED


def are_apart(customer: str, other: str, parameters: Parameters) -> bool:
    """Whether two ids were drawn into different groups."""
    holdout = parameters.actions.holdout
    return is_control(customer, holdout) != is_control(other, holdout)


def _samples(found: Mapping[str, int], _parameters: Parameters) -> Iterable[Sample]:
    yield Sample(_CUSTOMERS, (), float(found.get(CONTAMINATED, 0)))


#: Customers whom a comparison of the groups leaves out.
TOLD = Told(
    keys=lambda _: (CONTAMINATED,),
    window_days=lambda _: 0,
    measures=(_CUSTOMERS,),
    samples=_samples,
)


class HoldoutView(Struct, frozen=True, rename="camel"):
    """``group``: treated or control. ``contaminated_since``: since when the customer has decisions
    of both groups, because something was decided for one of their ids in the other group.
    """

    group: str
    contaminated_since: str | None


def in_words(view: HoldoutView | None, _as_of: str, _currency: str) -> Iterator[Line]:
    """Only what differs from most customers."""
    if view is not None and view.group == CONTROL:
        yield Line("group", "control: what is decided is not carried out")
    if view is not None and view.contaminated_since is not None:
        since = moment_in_words(view.contaminated_since)
        yield Line("contaminated", f"was in both groups, since {since}: leave out of comparisons")
