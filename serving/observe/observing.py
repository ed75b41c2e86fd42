"""What runs beside the requests of an API process: its parts' state for the metrics each second, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from types import FrameType

from serving.observe.logs import trace_of
from serving.observe.metrics import Snapshot
from serving.runtime import Runtime

TICK_S = 1.0
_log = logging.getLogger(__name__)


def snapshot(runtime: Runtime) -> Snapshot:
    """State and totals of the service's parts, as of now."""
    served, lineup = runtime.published.served(), runtime.published.lineup()
    shadow, canaries = runtime.trials.shadow.snapshot(), runtime.trials.watch.snapshot()
    roles = {
        "champion": lineup.champions,
        "canary": {harm: canary.version for harm, canary in lineup.canaries.items()},
        "challenger": lineup.challengers,
    }
    return Snapshot(
        predictions_waiting=runtime.predictions.waiting,
        predictions_dropped=runtime.predictions.dropped,
        predictions_write_failures=runtime.predictions.failures,
        store_open=runtime.reader.open,
        store_errors=runtime.reader.errors + runtime.reader.timeouts,
        shadow_waiting=shadow.waiting,
        shadow_rows={name: getattr(shadow, name) for name in ("scored", "compared", "dropped", "failed")},
        canary_calls={
            key: n
            for x in canaries
            for key, n in (((x.harm, "answered"), x.calls - x.errors), ((x.harm, "failed"), x.errors))
        },
        retreats={x.harm: int(x.retreat is not None) for x in served},
        refusals={x.harm: len(x.refused) for x in served},
        versions=frozenset((harm, role, x.version) for role, held in roles.items() for harm, x in held.items()),
    )


async def tick(runtime: Runtime) -> None:
    """Bring the metrics up to date each second, until cancelled."""
    while True:
        try:
            runtime.metrics.tick(snapshot(runtime))
        except Exception as error:
            # Metrics a second old are no reason to stop.
            _log.error("the metrics could not be brought up to date: %s", trace_of(error))
        await asyncio.sleep(TICK_S)


def drain_on_sigterm(stopping: threading.Event, drain_s: float) -> None:
    """On SIGTERM, set `stopping` at once, and have whatever handled the signal till now do so after `drain_s` seconds.

    A second SIGTERM doesn't wait. Outside the main thread, where no signal arrives, nothing happens.
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
