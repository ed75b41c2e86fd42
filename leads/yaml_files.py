"""Reads YAML configuration files strictly. Errors name the file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from leads.errors import ConfigurationError, together
from leads.messages.patterns import pydantic_message

# Our files are four levels deep. The limit stops aliases that make a node contain itself.
_MAX_DEPTH = 16
# A file with the most features that may be declared has a tenth of this. The limit stops aliases of aliases, which
# stand for ever more values.
_MAX_VALUES = 100_000


class Strict(BaseModel):
    """A section of a configuration file: unknown keys are errors, and the parsed object is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class At(ValueError):
    """An error of a validator that names the key that is wrong.

    Args:
        at: the keys that lead from the validated section to it.
    """

    def __init__(self, at: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.at = at


class Several(ValueError):
    """Several errors of a validator."""

    def __init__(self, errors: Sequence[At]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = tuple(errors)


def raise_any(errors: Sequence[At]) -> None:
    """Raises the errors of a validator, if there are any."""
    if errors:
        raise errors[0] if len(errors) == 1 else Several(errors)


Model = TypeVar("Model", bound=Strict)


def read_yaml(path: Path, model: type[Model], *, remedy: str) -> Model:
    """Read and validate a file.

    Args:
        remedy: what to do when the file can't be read.

    Raises:
        ConfigurationError: with file, line, key and remedy, for unknown or duplicate keys, bad values and invalid YAML.
    """
    text = _read(path, remedy)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise ConfigurationError("The file is nested too deeply.", field=str(path), remedy="Flatten it.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"Invalid YAML: {' '.join(str(getattr(error, 'problem', None) or error).split())}.",
            field=f"{path}{line}",
            remedy="Correct this line.",
        ) from error
    lines: dict[tuple[str, ...], int] = {}
    data = _plain(root, (), lines, path) if root is not None else None
    if not isinstance(data, dict):
        found = "empty" if data is None else f"a {'list' if isinstance(data, tuple) else 'single value'}"
        keys = ", ".join(field.alias or name for name, field in model.model_fields.items())
        raise ConfigurationError(
            f"The file is {found}.", field=f"{path}:{lines.get((), 1)}", remedy=f"Write keys with values: {keys}."
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error, lines, path, model) from None


def line_of(path: Path, at: Sequence[str]) -> int:
    """The line of a key in a file, from 1; that of the nearest key above it that the file has.

    Args:
        at: the keys that lead to it.
    """
    lines: dict[tuple[str, ...], int] = {}
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if root is not None:
        _plain(root, (), lines, path)
    return lines.get(_nearest(tuple(at), lines), 1)


def _read(path: Path, remedy: str) -> str:
    """The text of a file. Raises ConfigurationError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"Can't read the file: {error.strerror}.", field=str(path), remedy=remedy) from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            f"This line isn't UTF-8: it has the byte 0x{raw[error.start]:02x}.",
            field=f"{path}:{line}",
            remedy="Save the file as UTF-8.",
        ) from error


def _plain(node: yaml.Node, at: tuple[str, ...], lines: dict[tuple[str, ...], int], path: Path) -> Any:
    """Convert the node to plain data, record each key's line in `lines`, and reject duplicate keys."""
    lines[at] = node.start_mark.line + 1
    if len(at) > _MAX_DEPTH:
        raise ConfigurationError(
            f"{at[0]} is nested too deeply or contains itself.", field=f"{path}:{lines[at]}", remedy="Flatten it."
        )
    if len(lines) > _MAX_VALUES:
        raise ConfigurationError(
            f"The file stands for more than {_MAX_VALUES:,} values.",
            field=f"{path}:{lines[at]}",
            remedy="Use no aliases.",
        )
    if isinstance(node, yaml.MappingNode):
        plain: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in plain:
                raise ConfigurationError(
                    f"{'.'.join((*at, key))} is set twice, first on line {lines[(*at, key)]}.",
                    field=f"{path}:{key_node.start_mark.line + 1}",
                    remedy="Remove one of them.",
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
            f"{'.'.join(at)}: {node.value!r} is not a valid {node.tag.rpartition(':')[2]}.",
            field=f"{path}:{lines[at]}",
            remedy="Correct the value, or put it in quotes.",
        ) from error


def _explain(
    error: ValidationError, lines: Mapping[tuple[str, ...], int], path: Path, model: type[Strict]
) -> ConfigurationError:
    """One error for all that is wrong, in the order of the file."""
    found: dict[tuple[str, ...], tuple[int, ConfigurationError]] = {}
    for one in error.errors():
        loc = tuple(str(part) for part in one["loc"] if part != "[key]")
        reason = one.get("ctx", {}).get("error")
        of_validator: Sequence[At] = reason.errors if isinstance(reason, Several) else ()
        if isinstance(reason, At):
            of_validator = (reason,)
        wrong = [((*loc, *each.at), str(each)) for each in of_validator] or [(loc, pydantic_message(one))]
        for at, message in wrong:
            nearest = _nearest(at, lines)
            # For each type that a value may have, there is an error.
            key = at if one["type"] == "missing" else nearest
            remedy = {
                "extra_forbidden": f"Remove the key or correct its spelling{_meant(model, key)}",
                "missing": f"Add {at[-1] if at else 'it'}.",
            }.get(one["type"], "Correct the value.")
            place, line = ".".join(key) or "the file", lines.get(nearest, 1)
            explained = ConfigurationError(f"{place}: {message}.", field=f"{path}:{line}", remedy=remedy)
            found.setdefault(key, (line, explained))
    return together([each for _, each in sorted(found.values(), key=lambda pair: pair[0])], "places")


def _meant(model: type[Strict], key: tuple[str, ...]) -> str:
    """The key of the same section that was likely meant, as the end of a sentence; a full stop if none is alike."""
    sections: set[type[BaseModel]] = {model}
    for part in key[:-1]:
        sections = {inner for section in sections for inner in _sections_at(section, part)}
    known = {field.alias or name for section in sections for name, field in section.model_fields.items()}
    alike = get_close_matches(key[-1], known, 1) if key else []
    return f": {alike[0]}?" if alike else "."


def _sections_at(section: type[BaseModel], key: str) -> Iterator[type[BaseModel]]:
    """The sections that a key's value, or the values below it, may be."""
    fields = {field.alias or name: field for name, field in section.model_fields.items()}
    if key in fields:
        yield from _sections_in(fields[key].annotation)
    else:
        # The key is a name below a section that maps names to sections.
        yield section


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _nearest(at: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    """The key, or the nearest one above it that the file has.

    Where a value may have several types, the name of the type is among the keys too; the file doesn't have it.
    """
    found: tuple[str, ...] = ()
    for part in at:
        if (*found, part) in lines:
            found = (*found, part)
    return found
