"""All parameters: those of the engine, and the sections of the parts."""

from collections.abc import Iterable
from pathlib import Path

from config.parameters import Parameters, load
from models.customer.registry import PARTS


def load_parameters(file: Path | None = None, assignments: Iterable[str] = ()) -> Parameters:
    """Load the shipped values; those of ``file``, then ``name=value`` assignments override them.

    Raises ``ParameterError`` for an unknown name or a value of the wrong kind, and ``RuleError``
    for a rule or an action that cannot be used.
    """
    sections = [part.parameters for part in PARTS if part.parameters is not None]
    own_files = [part.name for part in PARTS if part.has_own_file]
    return load(sections, own_files, file, assignments)
