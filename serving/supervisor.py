"""`leads serve`: runs the API, the follower and the workers as child processes and restarts those that die.

On SIGHUP, it replaces all of them without refusing a connection (`serving.instance.rolling`).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType

from features.feast.online_config import check_stores
from leads.settings import Settings
from serving.instance import rolling
from serving.instance.api import GRACE_S
from serving.instance.continued import let_signals_through, replace_program, take_kept
from serving.instance.folder import About, instance_folder
from serving.instance.listening import adopt, listen, url_of
from serving.instance.processes import Processes
from serving.instance.rolling import RollingRestart, Stopped

_TICK_S = 0.2


def serve(
    settings: Settings,
    *,
    with_worker: bool = True,
    on_listening: Callable[[str], None] = lambda url: None,
    reread: Callable[[], Settings] | None = None,
) -> None:
    """Run until SIGINT or SIGTERM, then stop every child. On SIGHUP, replace every child.

    Args:
        on_listening: called with the API's address once this process listens on it.
        reread: reads the settings again for a restart; by default, they stay as they are.

    Raises:
        ConfigurationError: the address or the options of a store are invalid.
        Unavailable: the address can't be used, for example because the port is taken.
    """
    kept = take_kept()
    if kept is None:
        # The children would only fail again and again.
        check_stores(settings, with_state=with_worker)
    # Restarts are rare, and worth a line for each of their steps.
    logging.getLogger(rolling.__name__).setLevel(logging.INFO)
    signals = Signals()
    with ExitStack() as opened:
        listener = opened.enter_context(listen(settings) if kept is None else adopt(kept.listener))
        folder = opened.enter_context(instance_folder(settings.root, None if kept is None else kept.instance))
        processes = Processes(settings, folder, listener, with_worker=with_worker)
        opened.callback(_stop, processes)
        if kept is None:
            folder.describe(About(os.getpid(), url_of(listener)))
            on_listening(url_of(listener))
            processes.start()
        else:
            processes.adopt(kept.apis, kept.background)
            folder.finish(kept.restart)
        _supervise(processes, signals, reread or (lambda: settings))


class Signals:
    """The signals that the instance gets. SIGINT and SIGTERM stop it, SIGHUP restarts it."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.restart = threading.Event()
        self._had_terminal = _has_terminal()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopped.set())
        signal.signal(signal.SIGHUP, self._on_hangup)
        let_signals_through()

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        # The kernel sends the same signal when the terminal is closed in which the command runs.
        gone = self._had_terminal and not _has_terminal()
        (self.stopped if gone else self.restart).set()


def _supervise(processes: Processes, signals: Signals, reread: Callable[[], Settings]) -> None:
    while not signals.stopped.wait(_TICK_S):
        processes.check()
        if signals.restart.is_set():
            signals.restart.clear()
            request = processes.folder.take_request()
            with suppress(Stopped):
                if RollingRestart(processes, request, reread, signals.stopped).run():
                    replace_program(processes, request.id)
                    processes.folder.finish(request.id)


def _stop(processes: Processes) -> None:
    # Connections are refused as soon as no API process accepts any more: nobody would answer them.
    processes.listener.close()
    processes.stop(processes.settings.drain_s + GRACE_S + 5.0)


def _has_terminal() -> bool:
    """Whether there is a terminal that controls this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
