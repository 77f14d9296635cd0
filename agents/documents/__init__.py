"""docs/openapi.json and docs/asyncapi.json, generated from the tables and types that the programs
use.

`keepstream schema openapi` and `keepstream schema asyncapi` print them.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from agents.documents.asyncapi import asyncapi
from agents.documents.openapi import openapi

DOCUMENTS: Mapping[str, Callable[[], dict[str, Any]]] = {"openapi": openapi, "asyncapi": asyncapi}


def document_text(name: str) -> str:
    """The content of the document's file."""
    return json.dumps(DOCUMENTS[name](), indent=1, ensure_ascii=False) + "\n"
