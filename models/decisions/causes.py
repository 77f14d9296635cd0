"""What a moment's decisions are caused by: the event, or a time that came without one."""

from models.customer.scene import Scene
from models.decisions.trigger import Cause


def cause_of(scene: Scene, moment: str) -> Cause:
    """The cause of what is decided at a ``moment`` of the scene. Without an event it is a deadline,
    or that ids were linked or split, at that time.
    """
    if scene.event is not None:
        return Cause(message_id=scene.event.message_id)
    return Cause(deadline=f"{moment}:{scene.at_ms}")
