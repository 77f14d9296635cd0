"""All sections of parameters by their names, for tests that go through them."""

from config.parameters import Parameters, Section

#: Fields of the parameters that are no section of the file.
_NO_SECTIONS = {"parts", "triggers", "actions"}


def sections_of(parameters: Parameters) -> dict[str, Section]:
    """Every section by its name: those of the engine, and those of the parts."""
    shared = [name for name in Parameters.__struct_fields__ if name not in _NO_SECTIONS]
    return {
        **{name: getattr(parameters, name) for name in shared},
        **{section.section: section for section in parameters.parts.values()},
    }
