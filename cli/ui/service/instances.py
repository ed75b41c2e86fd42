"""What `leads serve` and `leads restart` print."""

from __future__ import annotations

import os
import secrets
import time

from cli.ui.terminal import escape, next_steps, note
from leads.errors import Unavailable
from leads.files import only_one
from leads.settings import Settings
from serving.instance.folder import InstanceFolder, Request, instances

_POLL_S = 0.1


def show_listening(settings: Settings, url: str) -> None:
    """Say where the API listens, and what to do next."""
    logs = "Logs go to stderr." if settings.log_to == "stderr" else f"Logs are in {settings.root / 'logs'}."
    note(f"Lead Serving is starting on {url}. {logs} Press Ctrl-C to stop.")
    next_steps(
        (f"curl {url}/readyz", "check whether it is ready"),
        ("leads keys create NAME", "create an API key"),
        (f"{url}/v1/docs", "read the API reference"),
    )


def restart_instances(settings: Settings, *, environment: bool, force: bool = False) -> None:
    """Restart each instance of the home, one after the other, and say how far it is.

    Args:
        environment: let them use the environment variables of this process.
        force: also if versions that are in memory can't be loaded again.

    Raises:
        Conflict: another command restarts an instance.
        Unavailable: no instance runs, or one couldn't be restarted.
    """
    found = instances(settings.root)
    if not found:
        raise Unavailable(
            "Lead Serving isn't running in this home.", field=str(settings.root), remedy="Start it: leads serve"
        )
    for folder in found:
        _restart(folder, environment=environment, force=force)


def _restart(folder: InstanceFolder, *, environment: bool, force: bool) -> None:
    about = folder.about
    if about is None:
        raise Unavailable("The service is just starting or stopping.", remedy="Try again in a few seconds.")
    began = time.monotonic()
    note(f"Restarting the service on {about.url} (process {about.pid}).")
    request = Request(secrets.token_hex(8), os.getpid() if environment else None, force)
    with only_one(folder.asking, what="restarting the service"):
        folder.ask(request, about.pid)
        _follow(folder, request)
    note(f"Restarted in {time.monotonic() - began:.1f} s.")


def _follow(folder: InstanceFolder, request: Request) -> None:
    """Print the steps of a restart as they begin, until it has ended."""
    shown = 0
    while True:
        runs = folder.runs
        progress = folder.progress()
        if progress is not None and progress.id == request.id:
            for step in progress.steps[shown:]:
                note(f"  {escape(step)}")
            shown = len(progress.steps)
            if progress.error is not None:
                raise Unavailable(
                    progress.error, remedy="The earlier processes still answer. Correct the cause, and try again."
                )
            if progress.ended:
                return
        if not runs:
            raise Unavailable("The service has stopped.", remedy="Its logs say why. Start it again: leads serve")
        time.sleep(_POLL_S)
