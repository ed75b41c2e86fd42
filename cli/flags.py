"""Help without the type `<bool>` next to flags, which take no value."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def hide_types_of_flags(*apps: typer.Typer) -> None:
    """Show flags without a type in the help of these apps and their commands."""
    for app in apps:
        app.info.cls = _Group
        for command in app.registered_commands:
            command.cls = _Command


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


def _without_types(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params
