"""`leads features`: the features that platform.yaml declares, and their rows."""

from __future__ import annotations

import typer

from cli.options import Quiet, read_configuration

features_app = typer.Typer(
    help="List features, and bring those that platform.yaml declares online.", no_args_is_help=True
)


@features_app.command("list")
def features_list() -> None:
    """List the live features with their units and meanings, and what is being built."""
    from cli.ui.features.listing import show_features

    settings, _ = read_configuration()
    show_features(settings)


@features_app.command("plan")
def features_plan() -> None:
    """Show what `leads features apply` would change, which models depend on it, and what it costs."""
    from cli.ui.features.changing import show_plan

    show_plan(*read_configuration())


@features_app.command("apply")
def features_apply(quiet: Quiet = False) -> None:
    """Build the rows of changed features from the event log while the service runs, and make them live.

    It can be stopped at any time; run it again to continue.
    """
    from cli.ui.features.changing import apply_features

    apply_features(*read_configuration(), quiet=quiet)
