"""Arguments and options that several commands share, and how a command reads its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from leads.clock import Micros
    from leads.policies import Policies
    from leads.settings import Settings

Harm = Annotated[str, typer.Argument(help="A harm declared in policies.yaml.")]
Harms = Annotated[list[str] | None, typer.Argument(help="Harms declared in policies.yaml.")]
All = Annotated[bool, typer.Option("--all", help="Every harm that has enough labels.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Don't print next steps.")]


def read_settings(**given: object) -> Settings:
    """The settings from the environment; arguments win, except None. Imported late, so that `--help` is quick."""
    from leads.settings import load_settings

    return load_settings(**{name: value for name, value in given.items() if value is not None})


def read_configuration() -> tuple[Settings, Policies]:
    """The settings and the policies that they name."""
    from leads.policies import configured

    return configured()


def instant(text: str | None, option: str) -> Micros | None:
    """The time that an option gives in RFC 3339, in µs; None if it wasn't given.

    Raises:
        InvalidInput: not a timestamp.
    """
    from leads import clock
    from leads.errors import InvalidInput

    if text is None:
        return None
    try:
        return clock.from_text(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is not a timestamp.", field=option, remedy="Use RFC 3339, as in 2026-01-31T12:00:00Z."
        ) from error


def duration(text: str | None, option: str) -> Micros | None:
    """The duration that an option gives, in µs; None if it wasn't given.

    Raises:
        InvalidInput: not a duration.
    """
    from leads import clock
    from leads.errors import InvalidInput

    if text is None:
        return None
    try:
        return clock.from_duration(text)
    except ValueError as error:
        remedy = "Use a whole number and a unit, as in 90d, 24h or 30m."
        raise InvalidInput(f"{text!r} is not a duration.", field=option, remedy=remedy) from error
