"""What the demo waits for: a service that is ready, and a worker that has scored everything.

Both waits last as long as there is progress, because nobody knows how fast the machine is.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from sqlalchemy.engine import Engine

from cli.ui.database import opened
from cli.ui.status import folded_up_to
from cli.ui.terminal import console, note, progress
from leads.background import Patience
from leads.db import cursors, event_log
from leads.db.engine import reading
from leads.errors import Unavailable
from leads.settings import Settings
from leads_client import Client
from serving.versions.published_state import verified_so_far

# Without any progress, after which the demo gives up.
_STARTING_S, _SCORING_S = 300.0, 120.0
_POLL_S = 0.2
_RESUME = "Then run the same command again: it goes on where it stopped."


def wait_until_ready(client: Client, url: str, service: subprocess.Popen[bytes], settings: Settings) -> None:
    """Wait until the service answers that it is ready.

    Raises:
        Unavailable: it ended, or got no further for five minutes.
    """
    began, patience = time.monotonic(), Patience(_STARTING_S)
    with opened(settings) as engine, console.status("starting"):
        while service.poll() is None and not patience.lost((_scored(engine, settings), _processed_so_far(settings))):
            if client.ready():
                note(f"  Ready on {url} after {time.monotonic() - began:.0f} s.")
                return
            time.sleep(_POLL_S)
    ended = service.poll() is not None
    problem = "ended before it was ready" if ended else f"made no progress for {_STARTING_S:.0f} s and isn't ready"
    raise Unavailable(f"The service {problem}.", remedy=f"See the logs in {settings.root / 'logs'}. {_RESUME}")


def wait_until_scored(
    settings: Settings,
    *,
    patience_s: float = _SCORING_S,
    timer: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the worker has scored everything that is in the log now, as long as it gets further.

    Raises:
        Unavailable: it got no further for `patience_s` seconds.
    """
    began, patience = timer(), Patience(patience_s, timer=timer)
    with opened(settings) as engine, progress("events scored") as tell:
        while True:
            head, scored = _scored(engine, settings)
            if scored >= head:
                note(f"  All {head:,} events are processed and scored after {timer() - began:.0f} s.")
                return
            if patience.lost((scored, _processed_so_far(settings))):
                break
            tell(scored, head)
            sleep(_POLL_S)
    raise Unavailable(
        f"The worker has scored {scored:,} of {head:,} events, and made no progress for {patience_s:.0f} s.",
        remedy=f"See {settings.root / 'logs' / 'worker.log'}. {_RESUME}",
    )


def _scored(engine: Engine, settings: Settings) -> tuple[int, int]:
    """The number of events in the log, and how many of them are scored."""
    with reading(engine) as connection:
        return event_log.head(connection).offset, cursors.scored(connection, settings.partitions)


def _processed_so_far(settings: Settings) -> object:
    """Changes with the versions that the follower verifies and the events that the worker computes features from."""
    return verified_so_far(settings.published_dir), folded_up_to(settings)
