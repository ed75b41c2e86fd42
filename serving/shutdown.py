"""Graceful shutdown: fail the readiness check first, stop serving after a delay."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def drain_on_sigterm(stopping: threading.Event, drain_s: float) -> None:
    """On SIGTERM, set `stopping` at once and call the previous handler after `drain_s` seconds.

    A second SIGTERM calls the previous handler immediately. Outside the main thread, which receives no signals, this
    does nothing.

    Args:
        stopping: set on the first SIGTERM, so that `/readyz` fails and the load balancer stops sending requests.
        drain_s: seconds between SIGTERM and the previous handler.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before):
        return

    def end(number: int, frame: FrameType | None) -> None:
        waits = drain_s > 0 and not stopping.is_set()
        stopping.set()
        if waits:
            timer = threading.Timer(drain_s, before, (number, None))
            timer.daemon = True
            timer.start()
        else:
            before(number, frame)

    signal.signal(signal.SIGTERM, end)
