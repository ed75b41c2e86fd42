"""`leads backup`, `leads restore` and `leads move-database`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Quiet, read_settings

if TYPE_CHECKING:
    from leads.backup.manifest import Manifest
    from leads.settings import Settings


def backup(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="A new folder, or a new file that ends with .tar, .tar.gz or .tar.zst. Default: leads-backup-<time>, "
            "in the working directory.",
            show_default=False,
        ),
    ] = None,
    without_database: Annotated[
        bool,
        typer.Option("--without-database", help="Only the files of this home, for further hosts of a platform."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Back up the database, models, labels, predictions and configuration. Everything can keep running meanwhile."""
    from cli.ui.terminal import escape, next_steps, note, progress_by_step
    from leads.backup.take import default_name, take

    settings, path = read_settings(), path or Path(default_name())
    with progress_by_step() as tell:
        made = take(settings, path, with_database=not without_database, on_progress=tell)
    note(f"Wrote the backup {escape(str(path))}: {_contents(made)}.")
    if made.mlflow == "elsewhere":
        note("MLflow runs on a server. Back up its database and its artifacts there.")
    if not quiet:
        next_steps(
            (f"leads restore --check {_shown(path)}", "verify it, for example after copying it to another host"),
            (f"LEADS_HOME=/new/home leads restore {_shown(path)}", "restore it"),
        )


def restore(
    path: Annotated[Path, typer.Argument(help="A backup that leads backup wrote.")],
    check: Annotated[bool, typer.Option("--check", help="Only verify the backup.")] = False,
    quiet: Quiet = False,
) -> None:
    """Restore a backup into an empty LEADS_HOME and an empty database.

    The backup is verified first. It can be restored into SQLite or PostgreSQL, whichever it was made from.
    """
    from cli.ui.terminal import escape, note, progress, progress_by_step
    from features.deletion import begin_without_rows
    from leads.backup.reading import open_backup
    from leads.backup.restore import restore as restore_backup
    from models.registry.moved_home import follow_home

    settings = read_settings()
    with progress("bytes of the backup verified") as tell_bytes:
        found = open_backup(path, on_progress=tell_bytes)
    if check:
        note(f"The backup {escape(str(path))} is complete and undamaged: {_contents(found.manifest)}.")
        return
    finish = partial(begin_without_rows, partitions=settings.partitions)
    with progress_by_step() as tell:
        done = restore_backup(settings, found, where=str(path), finish=finish, on_progress=tell)
    follow_home(settings, restored=True)
    note(f"Restored into {escape(str(settings.root))}: {_contents(done.manifest)}.")
    if done.manifest.mlflow == "embedded" and settings.mlflow_file is None:
        note("LEADS_MLFLOW_URI names a server, so the restored versions, which are in the home, are not used.")
    if done.variables:
        note("The backup was made with another configuration. To use it, set:")
        for variable, file in done.variables.items():
            note(f"  export {variable}={_shown(file)}")
    if done.manifest.database is not None:
        _complete(settings)
        if not quiet:
            _print_next(settings)


def move_database(
    to: Annotated[
        str,
        typer.Option("--to", help="SQLAlchemy URL of the new database, which must be empty."),
    ],
    quiet: Quiet = False,
) -> None:
    """Copy the database to another one, for example from SQLite to PostgreSQL. Stop the service first.

    The home and the old database stay as they are.
    """
    from cli.ui.terminal import next_steps, note, progress
    from leads.backup.move import move_database as move
    from leads.errors import Conflict
    from leads.files import is_locked
    from serving.versions.published_state import is_followed

    settings = read_settings()
    if is_followed(settings.published_dir) or any(map(is_locked, settings.root.glob("worker-*of*.lock"))):
        raise Conflict("The service is running in this home.", field=str(settings.root), remedy="Stop it first.")
    with progress("rows copied") as tell:
        done = move(settings, to, on_progress=tell)
    note(
        f"Copied {sum(done.rows.values()):,} rows of {len(done.rows)} tables, up to event {done.offset:,}. "
        "The old database is unchanged."
    )
    if not quiet:
        next_steps(
            ("export LEADS_DATABASE_URL=…", "on every host: the URL of the new database"),
            ("leads status", "check that the numbers are the same"),
            ("leads serve", "run the service on the new database"),
        )


def _contents(made: Manifest) -> str:
    """What a backup holds, in a few words."""
    from leads.messages.wording import counted

    size = f"{counted(len(made.files), 'file')}, {made.size / 1e6:,.1f} MB"
    if made.database is None:
        return f"{size}, without a database, of {made.created_at}"
    return f"{size}, the events up to {made.database.offset:,}, of {made.created_at}"


def _shown(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def _complete(settings: Settings) -> None:
    """Fill in what a backup of an older release lacks."""
    from cli.ui.database import migrate_database

    migrate_database(settings, quiet=True)


def _print_next(settings: Settings) -> None:
    """The steps to a running service. Rows of another home may be left on servers."""
    from cli.ui.terminal import next_steps

    servers = settings.online_store != "sqlite" or settings.state_store != "sqlite"
    rows = "leads worker --rebuild --once" if servers else "leads worker --once"
    next_steps(
        (rows, "derive the feature rows from the event log; until then, nothing can be trained"),
        ("leads status", "see what was restored"),
        ("leads serve", "run the service; without the first step, its worker derives the rows"),
    )
