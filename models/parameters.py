"""All parameters: those of the engine, and the sections of the parts."""

from collections.abc import Iterable
from pathlib import Path

from config.parameters import ParameterError, Parameters, load
from models.catalogue import TOPICS, nearest_known_name
from models.customer.registry import PARTS


def load_parameters(file: Path | None = None, assignments: Iterable[str] = ()) -> Parameters:
    """Load the shipped values; those in ``file`` override them, and ``name=value`` assignments
    override both.

    Raises ``ParameterError`` for an unknown name or a value of the wrong kind, and ``RuleError``
    for a rule or an action that cannot be used.
    """
    sections = [part.parameters for part in PARTS if part.parameters is not None]
    own_files = [part.name for part in PARTS if part.has_own_file]
    parameters = load(sections, own_files, file, assignments)
    for name in parameters.names.aliases.values():
        if name not in TOPICS:
            nearest = nearest_known_name(name)
            fix = f"did you mean {nearest}?" if nearest else "`keepstream schema` lists them"
            raise ParameterError(f"parameters: names.aliases: there is no event {name!r}; {fix}")
    return parameters
