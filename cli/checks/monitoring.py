"""Checks of monitoring: whether it runs, whether its last run worked, and what would keep messages from leaving."""

from __future__ import annotations

from cli.checks.findings import ANSWER_S, Check, Finding
from leads import clock
from leads.clock import Micros
from leads.db.engine import database_exists, newest_revision, reading, schema_revision, unchecked_engine
from leads.db.monitoring import runs
from leads.db.monitoring.runs import Run
from leads.errors import ConfigurationError
from leads.outbox.webhook import secrets_of
from leads.policies import load_policies
from leads.settings import Settings

NO_MONITOR = "Nothing is measured, and no alert is raised."
# After this many times its interval without a run, monitoring doesn't run; a run of a large platform takes minutes.
_MISSED = 3
_START = "Start: leads serve. Or schedule: leads monitor run"


def monitoring_checks(settings: Settings) -> list[Check]:
    """What `leads status` checks."""
    return [Check("monitor", lambda: check_monitor(settings), NO_MONITOR)]


def monitoring_setup_checks(settings: Settings) -> list[Check]:
    """What only `leads doctor` checks."""
    return [Check("monitoring", lambda: check_settings(settings))]


def check_monitor(settings: Settings) -> Finding:
    """Whether monitoring has run lately on any host, and whether all its jobs worked."""
    if not database_exists(settings):
        return Finding("monitor", "not_running", "There is no database yet.", NO_MONITOR, "Run: leads migrate")
    engine = unchecked_engine(settings, timeout_s=ANSWER_S)
    try:
        if (schema_revision(engine) or "") < newest_revision():
            return Finding("monitor", "not_running", "See database.", NO_MONITOR, "Run: leads migrate")
        with reading(engine) as connection:
            known = runs.newest(connection, 2)
    finally:
        engine.dispose()
    if not known:
        return Finding("monitor", "not_running", "It has never run.", NO_MONITOR, _START)
    every = round(load_policies(settings.policies).monitoring.every_minutes * clock.MINUTE)
    return _of_runs(known, clock.now(), every)


def _of_runs(known: list[Run], now: Micros, every: Micros) -> Finding:
    newest = known[0]
    # One that is running now says nothing yet.
    last = next((run for run in known if run.state != "running"), newest)
    ago = f"{max(now - newest.started_at, 0) // clock.MINUTE} min ago"
    if now - newest.started_at > _MISSED * every:
        at = clock.to_text(newest.started_at // clock.SECOND * clock.SECOND)
        return Finding("monitor", "not_running", f"The last run began at {at}.", NO_MONITOR, _START)
    if last.state == "failed":
        # What ended a run is its last line; others are harmless.
        said = " ".join(line for line in last.notes if " failed: " in line) or " ".join(last.notes[-1:])
        text = f"The last run didn't measure everything. {said or runs.KILLED}"
        return Finding("monitor", "warning", text, "Alerts may be missing.", "Run: leads monitor run")
    until = "" if last.until is None else f", measured up to {clock.to_text(last.until)}"
    return Finding("monitor", "ok", f"The last run began {ago}{until}")


def check_settings(settings: Settings) -> list[Finding]:
    """What is set such that monitoring can't do what the policies say."""
    policy = load_policies(settings.policies).monitoring
    found = []
    if settings.monitor != "on":
        what = "only summarises its predictions" if settings.monitor == "summaries" else "doesn't run the jobs"
        text = f"LEADS_MONITOR is {settings.monitor}: leads serve {what} on this host."
        remedy = "Make sure that leads monitor run or leads monitor watch runs for this database."
        found.append(Finding("monitoring", "warning", text, NO_MONITOR, remedy))
    if policy.webhook is None:
        text = "The policies name no webhook (monitoring.webhook): alerts are shown, logged and exported, but not sent."
        found.append(Finding("monitoring", "ok", text))
    elif settings.alert_webhook_secret is None:
        text = "The policies name a webhook, but LEADS_ALERT_WEBHOOK_SECRET isn't set."
        found.append(Finding("monitoring", "failed", text, "Alerts can't be signed.", "Set it, or remove the webhook."))
    else:
        try:
            secrets_of(settings.alert_webhook_secret.get_secret_value())
        except ConfigurationError as error:
            found.append(Finding("monitoring", "failed", error.message, "Alerts can't be signed.", error.remedy or ""))
    off = sorted(name for name, rule in policy.rules.items() if not rule.enabled)
    if off:
        found.append(Finding("monitoring", "ok", f"Rules that are off: {', '.join(off)}"))
    return found or [Finding("monitoring", "ok", "Alerts are sent to the webhook")]
