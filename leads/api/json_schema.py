"""JSON schemas of requests and responses, for OpenAPI."""

from __future__ import annotations

from typing import Any

import msgspec


def schema(type_: Any) -> dict[str, Any]:
    """The JSON schema of a type with all references inlined, which works in both OpenAPI documents."""
    (top,), components = msgspec.json.schema_components([type_], ref_template="{name}")
    inlined: dict[str, Any] = _inline(top, components)
    return inlined


def _inline(node: Any, components: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inline(components[node["$ref"]], components)
        return {key: _inline(value, components) for key, value in node.items()}
    return [_inline(part, components) for part in node] if isinstance(node, list) else node
