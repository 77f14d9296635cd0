"""The schemas of one document: each is stored once under a name, and referred to."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from models.event_schema import EVERY_EVENT_HAS, Schema
from models.schemas import described, document_schema, documents

_OWN, _HERE = "#/$defs/", "#/components/schemas/"


class Components:
    """Collects the schemas that a document refers to while it is made."""

    def __init__(self) -> None:
        self._schemas: dict[str, Schema] = {}
        self._documents = {document.name: document for document in documents()}

    def schemas(self) -> dict[str, Schema]:
        """All collected schemas, ordered by name."""
        return dict(sorted(self._schemas.items()))

    def of_type(self, kind: type[Struct]) -> Schema:
        """A reference to the schema of a type that is written as JSON."""
        [found], parts = msgspec.json.schema_components([kind])
        return self._kept(kind.__name__, described({**found, "$defs": parts}))

    def of_document(self, name: str) -> Schema:
        """A reference to one of the schemas of `keepstream schema`."""
        document = self._documents[name]
        schema = document_schema(document)
        del schema["$schema"]
        if document.kind == "event":
            # Events differ only in their properties; long fields that all share are stored once.
            fields = schema["properties"]
            shared = {one: self.keep(f"event.{one}", fields[one]) for one in EVERY_EVENT_HAS}
            schema["properties"] = {**fields, **shared}
        return self._kept(name, schema)

    def keep(self, name: str, schema: Mapping[str, Any]) -> Schema:
        """Store ``schema`` under ``name``, and return a reference to it."""
        kept = self._schemas.setdefault(name, dict(schema))
        if kept != schema:
            raise ValueError(f"two schemas are named {name}")
        return {"$ref": f"{_HERE}{name}"}

    def _kept(self, name: str, schema: Schema) -> Schema:
        """Store a schema, and each of its parts under its own name; a name that another schema has
        gets a number.
        """
        parts = schema.pop("$defs", {})
        names = {part: part for part in parts}
        # A part that refers to a renamed part differs from its namesake as well.
        while clashing := [
            part for part in parts if self._is_another(names[part], _renamed(parts[part], names))
        ]:
            names |= {part: _next_name(names[part]) for part in clashing}
        for part, content in parts.items():
            self.keep(names[part], _renamed(content, names))
        whole: Schema = _renamed(schema, names)
        return whole if set(whole) == {"$ref"} else self.keep(_component_name(name), whole)

    def _is_another(self, name: str, content: Schema) -> bool:
        return name in self._schemas and self._schemas[name] != content


def _next_name(name: str) -> str:
    stem, _, number = name.partition("-")
    return f"{stem}-{int(number or 1) + 1}"


def _component_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """The schema, with its references pointing to components."""
    if isinstance(part, list):
        return [_renamed(inner, names) for inner in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref")
    if isinstance(reference, str) and reference.startswith(_OWN):
        return {"$ref": f"{_HERE}{names[reference.removeprefix(_OWN)]}"}
    return {name: _renamed(inner, names) for name, inner in part.items()}
