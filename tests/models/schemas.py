"""JSON Schema as an outsider would apply it."""

from typing import Any

from jsonschema import Draft202012Validator


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with ``value``; empty when it is as the schema says."""
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]
