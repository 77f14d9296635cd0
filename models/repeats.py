"""Deduplicates records that ingest passed on twice, as it may after a crash, by their source."""

from models.events.event import Source

#: How many topics of one name are remembered: a worker that was cut off may still have to write
#: records from an earlier one.
GENERATIONS_MAX = 4


def is_repeated(
    source: Source, sources: dict[str, int], generations: dict[str, tuple[str, ...]]
) -> bool:
    """Whether the record at ``source`` was passed on before; if not, note that it is now.

    ``sources``: the highest offset seen in each partition of a raw topic. ``generations``: the
    topics that had the name, the present one first; the offsets of the others are under
    ``name@other``. The first generation ever noted takes over the offset from before generations
    were noted.
    """
    name = f"{source.topic}-{source.partition}"
    generation = source.generation
    if generation is not None:
        known = generations.get(name)
        if known is None:
            generations[name] = (generation,)
        elif known[0] != generation:
            _turn_to(generation, name, known, sources, generations)
    if source.offset <= sources.get(name, -1):
        return True
    sources[name] = source.offset
    return False


def is_behind(source: Source, sources: dict[str, int]) -> bool:
    """Whether a record from a topic that only workers write, which has no generations, is a repeat.
    Notes nothing.
    """
    return source.offset <= sources.get(f"{source.topic}-{source.partition}", -1)


def _turn_to(
    generation: str,
    name: str,
    known: tuple[str, ...],
    sources: dict[str, int],
    generations: dict[str, tuple[str, ...]],
) -> None:
    """From here on, count the offsets of another topic of that name."""
    sources[f"{name}@{known[0]}"] = sources.pop(name, -1)
    sources[name] = sources.pop(f"{name}@{generation}", -1)
    order = (generation, *(other for other in known if other != generation))
    for forgotten in order[GENERATIONS_MAX:]:
        sources.pop(f"{name}@{forgotten}", None)
    generations[name] = order[:GENERATIONS_MAX]
