"""`leads drift` and `leads skew`. Both exit with 3 when they find something."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Harm, Quiet, instant, read_configuration

FOUND = 3
Days = Annotated[float, typer.Option(min=0.01, help="Length of the window in days.")]
Until = Annotated[str | None, typer.Option(help="End of the window, in RFC 3339. Default: the newest prediction.")]


def drift(
    harm: Harm,
    days: Days = 1.0,
    until: Until = None,
    quiet: Quiet = False,
) -> None:
    """Check whether recent predictions drifted from the champion's reference sample. Exits with code 3 if they did."""
    from cli.ui.drift import show_drift

    if show_drift(*read_configuration(), harm, days=days, until=instant(until, "--until"), quiet=quiet):
        raise typer.Exit(FOUND)


def skew(
    harm: Annotated[str | None, typer.Argument(help="Only this harm. Default: every harm with predictions.")] = None,
    days: Days = 1.0,
    until: Until = None,
    sample: Annotated[int, typer.Option(min=1, help="Check at most this many predictions per harm.")] = 20_000,
    lag: Annotated[
        float, typer.Option(min=0, help="Accept feature rows that were out of date for at most this many seconds.")
    ] = 10.0,
    json: Annotated[Path | None, typer.Option(help="Also write the full result to this JSON file.")] = None,
    quiet: Quiet = False,
) -> None:
    """Check for training-serving skew by recomputing logged features. Exits with code 3 if any feature differs."""
    from cli.ui.skew import show_skew

    settings, policies = read_configuration()
    end = instant(until, "--until")
    if show_skew(settings, policies, harm, days=days, until=end, sample=sample, lag_s=lag, json=json, quiet=quiet):
        raise typer.Exit(FOUND)
