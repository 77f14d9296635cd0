"""The cause of a moment's decisions: an event, or a time that came without one."""

from models.customer.scene import Scene
from models.decisions.trigger import Cause


def cause_of(scene: Scene, moment: str) -> Cause:
    """The cause of a decision at ``moment``. Without an event in the scene, the cause is a
    deadline, or that ids were linked or split, at the scene's time.
    """
    if scene.event is not None:
        return Cause(message_id=scene.event.message_id)
    return Cause(deadline=f"{moment}:{scene.at_ms}")
