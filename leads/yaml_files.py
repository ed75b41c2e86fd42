"""YAML files that people write: read strictly, with errors that name file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from leads.errors import ConfigurationError

# Our files are four deep; an alias may nest a node within itself.
_DEEPEST = 16


class Strict(BaseModel):
    """A part of such a file: an unknown key is an error, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Strict)


def read_yaml(path: Path, model: type[Model], *, remedy: str) -> Model:
    """Read and validate a file.

    Args:
        remedy: what to do when it can't be read at all.

    Raises:
        ConfigurationError: names file, line, key and remedy: unknown keys, bad ranges, duplicates, not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can't be read: {error}.", field=str(path), remedy=remedy) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"is not YAML: {getattr(error, 'problem', error)}.",
            field=f"{path}{line}",
            remedy="Mend that line.",
        ) from error
    lines: dict[tuple[str, ...], int] = {}
    data = _plain(root, (), lines, path) if root is not None else None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error, lines, path) from None


def _plain(node: yaml.Node, at: tuple[str, ...], lines: dict[tuple[str, ...], int], path: Path) -> Any:
    """The node as plain data, noting each key's line and refusing keys given twice."""
    lines[at] = node.start_mark.line + 1
    if len(at) > _DEEPEST:
        raise ConfigurationError(
            f"{at[0]} is nested too deeply, or within itself.", field=f"{path}:{lines[at]}", remedy="Flatten it."
        )
    if isinstance(node, yaml.MappingNode):
        plain: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in plain:
                raise ConfigurationError(
                    f"{'.'.join((*at, key))} is given twice, first on line {lines[(*at, key)]}.",
                    field=f"{path}:{key_node.start_mark.line + 1}",
                    remedy="Keep one of them.",
                )
            plain[key] = _plain(value_node, (*at, key), lines, path)
            lines[(*at, key)] = key_node.start_mark.line + 1
        return plain
    if isinstance(node, yaml.SequenceNode):
        return tuple(_plain(item, (*at, str(i)), lines, path) for i, item in enumerate(node.value))
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(
            f"{'.'.join(at)}: {node.value!r} can't be read as {node.tag.rpartition(':')[2]}.",
            field=f"{path}:{lines[at]}",
            remedy="Give it a plain value, or quote it.",
        ) from error


def _explain(error: ValidationError, lines: Mapping[tuple[str, ...], int], path: Path) -> ConfigurationError:
    first = error.errors()[0]
    at = tuple(str(part) for part in first["loc"] if part != "[key]")
    nearest = at
    while nearest and nearest not in lines:
        nearest = nearest[:-1]
    key = ".".join(at) or "the file"
    remedy = {
        "extra_forbidden": "Remove that key or mend its spelling.",
        "missing": f"Add {at[-1] if at else 'it'}.",
    }.get(first["type"], "Give it a value in that range.")
    return ConfigurationError(
        f"{key}: {first['msg'].removeprefix('Value error, ')}.",
        field=f"{path}:{lines.get(nearest, 1)}",
        remedy=remedy,
    )
