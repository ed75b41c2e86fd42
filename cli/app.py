"""The `leads` command: every command by group, and how errors end it."""

from __future__ import annotations

import errno
import logging
import signal
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from cli.data import du, features_app, ingest, migrate, prune, simulate
from cli.demo import demo
from cli.flags import hide_types_of_flags
from cli.keys import keys_app
from cli.labels import labels_app
from cli.maintenance.backup import backup, move_database, restore
from cli.models import encoder_app, models_app
from cli.monitor import alerts_app, drift, monitor_app, skew
from cli.serve import doctor, queue, restart, score, score_backlog, serve, status, worker
from cli.train import retrain, train
from leads.errors import ConfigurationError, LeadsError

app = typer.Typer(
    name="leads",
    help="Calibrated, explained and ranked leads for Trust & Safety review. Start with: leads demo, or leads status.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# What a host refuses; everything else that the system reports is an error of ours.
_OF_HOST = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EMFILE))
_GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "Start here": (demo, status, doctor),
    "Data": (migrate, simulate, ingest, du, prune),
    "Models": (train, retrain),
    "Serving": (serve, restart, worker, score_backlog, score, queue),
    "Monitoring": (drift, skew),
    "Maintenance": (backup, restore, move_database),
}
for _group, _commands in _GROUPS.items():
    for _command in _commands:
        app.command(rich_help_panel=_group)(_command)
app.add_typer(labels_app, name="labels", rich_help_panel="Models")
app.add_typer(models_app, name="models", rich_help_panel="Models")
app.add_typer(encoder_app, name="encoder", rich_help_panel="Models")
app.add_typer(features_app, name="features", rich_help_panel="Data")
app.add_typer(keys_app, name="keys", rich_help_panel="Serving")
app.add_typer(monitor_app, name="monitor", rich_help_panel="Monitoring")
app.add_typer(alerts_app, name="alerts", rich_help_panel="Monitoring")
hide_types_of_flags(app, labels_app, models_app, encoder_app, keys_app, features_app, monitor_app, alerts_app)


def main() -> NoReturn:
    """Run the command. A LeadsError ends it with one message on stderr and exit code 1, wrong usage with 2."""
    # Ending a command by SIGTERM says and keeps as much as Ctrl-C does. Processes of the service have their own way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="leads")
    except LeadsError as error:
        from cli.ui.terminal import described, errors, escape

        errors.print(f"[bold red]error:[/bold red] {described(error)}", soft_wrap=True)
        for fault in error.faults[1:]:
            errors.print(f"  {escape(fault.field)}: {escape(fault.message)}", soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        if not _ended_by_host(error):
            raise
        from cli.ui.terminal import errors, escape

        what = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
        errors.print(f"[bold red]error:[/bold red] {escape(what)} To find out more: leads doctor", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _ended_by_host(error: OSError) -> bool:
    """Whether the host refused something: a folder is missing or can't be written to, or a limit is reached."""
    no_temporary_folder = error.errno == errno.ENOENT and error.filename is None
    return (error.errno in _OF_HOST or no_temporary_folder) and not logging.getLogger().isEnabledFor(logging.INFO)


def _replace_missing() -> None:
    """Make up for a user without a name or home directory, and for a read-only folder of temporary files."""
    from leads.environment import process

    if not process.lacks():
        return
    from leads.settings import load_settings

    try:
        process.replace_missing(load_settings().root)
    except ConfigurationError:
        # The command itself says which setting is wrong.
        return


@app.callback()
def _start(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each step.")] = False) -> None:
    import os

    from leads.files import keep_private
    from leads.processes import QUIET

    keep_private()
    os.environ.update(QUIET)
    _replace_missing()
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
