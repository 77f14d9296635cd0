"""The names of the keys in Redis that readers look at."""

from config.settings import Settings


def customer_key(settings: Settings, customer: str) -> str:
    """The key of ``customer``'s profile, a JSON text."""
    return f"{settings.topic_prefix}keepstream:customer:{customer}"


def trigger_stream(settings: Settings, kind: str) -> str:
    """The Redis stream of one kind of trigger."""
    return f"{settings.topic_prefix}keepstream:triggers:{kind}"


def displaced_stream(settings: Settings) -> str:
    """The Redis stream of decisions whose own stream's key holds something else."""
    return f"{settings.topic_prefix}keepstream:displaced"


def segment_key(settings: Settings, name: str) -> str:
    """The key of a segment's members, a set of ids."""
    return f"{settings.topic_prefix}keepstream:segment:{name}"
