"""Metrics of what monitoring found: measured values, open alerts, the last run, and messages that wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from serving.observe.families import Family

if TYPE_CHECKING:
    from prometheus_client import Gauge

_OTHER = "other"


class MonitoringState(NamedTuple):
    """What the database holds of monitoring.

    Args:
        values: the newest value of each figure, by harm and name.
        alerts: how many alerts are open, by rule, harm and severity.
        run_at_s: when the last run that ended began, in seconds since epoch; 0 if none did.
        run_failed: whether something failed in it.
        outbox_waiting: messages that aren't delivered.
        outbox_oldest_s: the age of the oldest of them, in seconds.
    """

    values: Mapping[tuple[str, str], float]
    alerts: Mapping[tuple[str, str, str], int]
    run_at_s: float = 0.0
    run_failed: bool = False
    outbox_waiting: int = 0
    outbox_oldest_s: float = 0.0


class MonitoringMetrics:
    """Gauges of `MonitoringState`. All processes read the same database, so the newest reading counts.

    Args:
        gauge: makes a family of gauges from its name, description and labels.
        rules: the names of rules; alerts of others, from a newer release, count as of the rule `other`.
    """

    def __init__(self, gauge: Callable[..., Family[Gauge]], rules: Collection[str]) -> None:
        self._rules = frozenset(rules)
        self._values = gauge(
            "leads_monitoring_value", "Newest measured value of a metric; NaN if there is none.", "harm", "metric"
        )
        self._alerts = gauge("leads_alerts_open", "Alerts that aren't resolved.", "rule", "harm", "severity")
        self._run_at = gauge("leads_monitoring_run_timestamp_seconds", "When the last run of monitoring began.")
        self._run_failed = gauge("leads_monitoring_run_failed", "1 if something failed in the last run, else 0.")
        self._waiting = gauge("leads_outbox_waiting", "Messages that aren't delivered yet.")
        self._oldest = gauge("leads_outbox_oldest_seconds", "Age of the oldest message that isn't delivered yet.")

    def update(self, now: MonitoringState, harms: Collection[str]) -> None:
        """Set the gauges.

        Args:
            harms: those that policies.yaml defines; alerts and values of others, which it once defined, are left out.
        """
        values: dict[tuple[str, ...], float] = {key: value for key, value in now.values.items() if key[0] in harms}
        for labels in {*self._values.seen, *values}:
            self._values(*labels).set(values.get(labels, math.nan))
        alerts: dict[tuple[str, ...], int] = {}
        for (rule, harm, severity), n in now.alerts.items():
            if not harm or harm in harms:
                key = rule if rule in self._rules else _OTHER, harm, severity
                alerts[key] = alerts.get(key, 0) + n
        for labels in {*self._alerts.seen, *alerts}:
            self._alerts(*labels).set(alerts.get(labels, 0))
        self._run_at().set(now.run_at_s)
        self._run_failed().set(float(now.run_failed))
        self._waiting().set(now.outbox_waiting)
        self._oldest().set(now.outbox_oldest_s)
