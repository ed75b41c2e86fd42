"""`leads migrate`, `simulate`, `ingest`, `du`, `prune` and `features`: what is stored, and what features count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Quiet, read_configuration, read_settings


def migrate(quiet: Quiet = False) -> None:
    """Create the database, or update its schema to this version. Run it after each upgrade."""
    from cli.ui.database import migrate_database

    migrate_database(read_settings(), quiet=quiet)


def simulate(
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: simulation/ in LEADS_HOME.")] = None,
    preset: Annotated[
        str, typer.Option(help="standard (5,000 accounts, 30 days), demo (2,000, 21 days) or small (700, 10 days).")
    ] = "standard",
    accounts: Annotated[int | None, typer.Option(help="Number of accounts, instead of the preset's.")] = None,
    days: Annotated[int | None, typer.Option(help="Days of history, instead of the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed. The same seed gives identical files.")] = 1,
    end: Annotated[
        str | None, typer.Option(help="End of the simulated time, in RFC 3339. Default: a fixed date.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Simulate a platform: its events, and the true label of every subject."""
    from cli.ui.simulation import simulate_platform

    settings = read_settings()
    folder = out or settings.root / "simulation"
    simulate_platform(
        settings, folder, preset_name=preset, accounts=accounts, days=days, seed=seed, end=end, quiet=quiet
    )


def ingest(
    file: Annotated[
        Path,
        typer.Argument(help="JSON Lines file, one event per line, in the API's or the log's format."),
    ],
    sender: Annotated[
        str, typer.Option(help="Name of the system whose event IDs the file uses. Files without it share one sender.")
    ] = "file",
    quiet: Quiet = False,
) -> None:
    """Append a file of events to the event log. Events that are already in the log are skipped."""
    from cli.ui.storage.ingesting import ingest_file

    ingest_file(*read_configuration(), file, sender=sender, quiet=quiet)


def du(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Show how much each kind of data takes up, how old it is, how fast it grows, and how long it is kept."""
    from cli.ui.storage.usage import show_usage

    show_usage(*read_configuration(), as_json=as_json)


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind of data; repeat for several. Default: all.")
    ] = None,
) -> None:
    """Delete what is older than `retention` in policies.yaml says. The service does it once a day by itself."""
    from cli.ui.storage.pruning import prune_and_show

    prune_and_show(*read_configuration(), kind, dry_run=dry_run)


features_app = typer.Typer(help="List features, and bring those that you declare online.", no_args_is_help=True)


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


@features_app.command("materialize")
def features_materialize(
    view: Annotated[str | None, typer.Argument(help="Name of the view. Default: all.", show_default=False)] = None,
    quiet: Quiet = False,
) -> None:
    """Write the newest values of your own feature views from their Parquet sources to the online store.

    Values that are stored already and are newer stay.
    """
    from cli.ui.features.materializing import materialize_views

    settings, _ = read_configuration()
    materialize_views(settings, view, quiet=quiet)
