"""Parts that are not in the registry."""

from collections.abc import Sequence
from typing import Any

import msgspec

from config.parameters import Parameters
from models.customer.part import Part
from models.customer.scene import Scene
from models.events.event import Event


class Count(msgspec.Struct, array_like=True):
    """How often something was recorded."""

    times: int = 0


def count_one(state: Count, _event: Event, _scene: Scene) -> None:
    state.times += 1


def united(states: Sequence[Count], _parameters: Parameters) -> Count:
    """Counts add up."""
    return Count(sum(state.times for state in states))


def fake(name: str, code: str | None = None, **more: Any) -> Part[Any]:
    """A part that counts the events it listens to; by default none."""
    return Part(
        **{
            "name": name,
            "code": code or f"x-{name}",
            "about": "Counts.",
            "state": Count,
            "pack": msgspec.msgpack.encode,
            "unpack": msgspec.msgpack.Decoder(Count).decode,
            "united": united,
            "record": count_one,
            **more,
        }
    )
