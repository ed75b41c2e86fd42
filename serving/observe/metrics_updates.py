"""Copies the state of an API process into its metrics, once a second, and what the database holds less often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from leads import clock
from leads.db.access.expiry import count_expiring
from leads.db.engine import reading
from leads.db.monitoring import alerts, figures, runs
from leads.db.outbox import messages
from leads.errors import LeadsError
from serving.observe.logs import trace_of
from serving.observe.metrics import Snapshot
from serving.observe.monitoring_metrics import MonitoringState
from serving.queue.stats import depths
from serving.retention.report import read_report
from serving.runtime import Runtime

UPDATE_S = 1.0
QUEUE_S = 10.0
MONITORING_S = 60.0
_log = logging.getLogger(__name__)


def snapshot(runtime: Runtime) -> Snapshot:
    """Collect the current state of an API process."""
    served, lineup = runtime.published.status(), runtime.published.lineup()
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


async def keep_up_to_date(runtime: Runtime) -> None:
    """Update the metrics every second until cancelled."""
    while True:
        try:
            runtime.metrics.update(snapshot(runtime))
        except Exception as error:
            # A failed update leaves the metrics a second old; the next one may succeed.
            _log.error("could not update the metrics: %s", trace_of(error))
        await asyncio.sleep(UPDATE_S)


def update_queue(runtime: Runtime) -> None:
    """Read the depth of the queue and how many keys expire soon, and set their metrics. Blocks.

    Raises:
        Unavailable: the database doesn't respond.
    """
    with reading(runtime.engine) as connection:
        found, now = depths(connection, runtime.policies.harms), runtime.clock()
        runtime.metrics.update_keys(count_expiring(connection, now))
    runtime.metrics.update_queue(
        {(harm, state): n for harm, one in found.items() for state, n in one.leads.items()},
        {harm: max(0.0, (now - (one.oldest or now)) / clock.SECOND) for harm, one in found.items()},
    )


def update_storage(runtime: Runtime) -> None:
    """Set the metrics of stored and deleted data from the home's last report. Blocks."""
    report = read_report(runtime.settings.root)
    runtime.metrics.update_storage(report.at / clock.SECOND, report.stored, report.deleted, len(report.failed))


def update_monitoring(runtime: Runtime) -> None:
    """Read the newest measured values, the open alerts, the last run and what waits in the outbox. Blocks.

    Raises:
        Unavailable: the database doesn't respond.
    """
    harms, now = tuple(runtime.policies.harms), runtime.clock()
    with reading(runtime.engine) as connection:
        found = figures.newest(connection, harms, now)
        open_, last, backlog = alerts.firing(connection), runs.last_ended(connection), messages.backlog(connection)
    state = MonitoringState(
        values={
            (harm, name): row.value for harm, of in found.items() for name, row in of.items() if row.value is not None
        },
        alerts={(rule, harm, str(severity)): n for (rule, harm, severity), n in open_.items()},
        run_at_s=0.0 if last is None else last.started_at / clock.SECOND,
        run_failed=last is not None and last.state == "failed",
        outbox_waiting=backlog.waiting,
        outbox_oldest_s=max(0, now - (backlog.oldest or now)) / clock.SECOND,
    )
    runtime.metrics.monitoring.update(state, harms)


async def keep_queue_up_to_date(runtime: Runtime) -> None:
    """Update the metrics of the queue and of stored data every ten seconds until cancelled."""
    await _repeat(runtime, QUEUE_S, "the queue", update_storage, update_queue)


async def keep_monitoring_up_to_date(runtime: Runtime) -> None:
    """Update the metrics of monitoring once a minute until cancelled."""
    await _repeat(runtime, MONITORING_S, "monitoring", update_monitoring)


async def _repeat(runtime: Runtime, every_s: float, what: str, *updates: Callable[[Runtime], None]) -> None:
    while True:
        try:
            for update in updates:
                await runtime.run(update, runtime)
        except LeadsError as error:
            # They stay as they were while the database doesn't respond.
            _log.warning("could not update the metrics of %s: %s", what, error)
        except Exception as error:
            _log.error("could not update the metrics of %s: %s", what, trace_of(error))
        await asyncio.sleep(every_s)
