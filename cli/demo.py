"""`leads demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import read_settings


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Use a smaller platform; takes about a minute.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the simulated platform.")] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete everything in LEADS_HOME first, then start over.")
    ] = False,
) -> None:
    """Run the whole loop on a simulated platform: events, models, leads over HTTP, a decision, an alert.

    If it is interrupted, run it again: it resumes where it stopped.
    """
    from cli.demo_run import run

    run(read_settings(), quick=quick, seed=seed, fresh=fresh)
