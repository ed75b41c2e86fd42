"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli.app import app
from cli.options import instant
from leads.errors import InvalidInput


def test_a_time_is_read_with_its_offset_or_refused_with_an_example() -> None:
    assert instant(None, "--until") is None
    assert instant("1970-01-01T01:00:01+01:00", "--until") == 1_000_000
    with pytest.raises(InvalidInput, match=r"--since: 'yesterday' is not a timestamp\. Use RFC 3339"):
        instant("yesterday", "--since")
    with pytest.raises(InvalidInput):
        instant("2026-01-31T12:00:00", "--since")


def commands(command: Any, name: str = "leads") -> Iterator[tuple[str, Any]]:
    yield name, command
    for inner in getattr(command, "commands", {}).values():
        yield from commands(inner, f"{name} {inner.name}")


@pytest.mark.parametrize(("name", "command"), list(commands(typer.main.get_command(app))))
def test_help_shows_no_type_for_flags(name: str, command: Any) -> None:
    with command.make_context(name, [], resilient_parsing=True) as context:
        flags = [param for param in command.get_params(context) if getattr(param, "is_flag", False)]
    assert flags
    assert [flag.metavar for flag in flags] == [""] * len(flags)
