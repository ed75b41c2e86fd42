"""Checks of the processes of this host: API, follower, workers."""

from __future__ import annotations

from cli.checks.findings import Check, Finding
from cli.checks.http import answer_of
from features.declared.generations import live_features
from features.offline.segments import segments_of
from features.partition import Partition
from leads import clock
from leads.environment.addresses import url_of
from leads.errors import ConfigurationError, LeadsError
from leads.settings import Settings
from models.registry.mlflow_client import Connector
from serving.versions.file_watch import changed_files
from serving.versions.published_state import is_followed, read_state
from serving.worker.shares import is_working

# A follower that gets no answer for this long says so; it asks every few seconds, or once a minute while MLflow fails.
_SILENT_S = 120.0

PARTS = ("api", "follower", "monitor", "worker")
NO_API = "Nothing is scored over HTTP, and reviewers can't get leads."
NO_FOLLOWER = "Promotions and roll-backs don't reach the API."
_REFUSED_REMEDY = "Do what it says, or promote another version: leads models list"
_DAMAGED_WHY = "Processes that have it in memory keep serving it; new ones can't load it."
_DAMAGED_REMEDY = "The follower fetches it again from MLflow within seconds. If it can't, its log says why."
NO_WORKER = "No features are computed from new events, and no leads are opened."


def process_checks(settings: Settings) -> list[Check]:
    """A check for each process that runs in a home."""
    shares = [Partition(i, settings.partitions) for i in range(settings.partitions)]
    return [
        Check("api", lambda: check_api(settings), NO_API),
        Check("follower", lambda: check_follower(settings), NO_FOLLOWER),
        Check("worker", lambda: [check_worker(settings, share) for share in shares], NO_WORKER),
        Check("restart", lambda: check_restart(settings)),
    ]


def check_api(settings: Settings) -> Finding:
    url = url_of(settings.host, settings.port)
    answer = answer_of(f"{url}/readyz")
    if answer.refused:
        return Finding("api", "not_running", f"Nothing listens on {url}.", NO_API, "Start it: leads serve")
    if answer.status is None:
        return Finding("api", "failed", f"{url} {answer.text}.", NO_API, f"See {settings.root / 'logs' / 'api.log'}.")
    said = answer.json()
    status = said.get("status")
    if not isinstance(status, str):
        text = f"{url} is used by something that isn't this API (HTTP {answer.status})."
        return Finding("api", "failed", text, NO_API, "Stop it, or choose another port with LEADS_PORT.")
    if status == "ready":
        if said.get("online_store") == "open":
            text = f"{url} is ready, but scores without the online store, which failed."
            return Finding("api", "warning", text, "Scores lack stored features.", "Check the online store.")
        if said.get("versions") == "damaged":
            text = f"{url} is ready, but files of a published version are damaged."
            return Finding("api", "warning", text, _DAMAGED_WHY, _DAMAGED_REMEDY)
        return Finding("api", "ok", f"{url} is ready")
    reasons = {
        "starting": "It is starting; wait a few seconds.",
        "stopping": "It is stopping.",
        "not_ready": "It has no champion to score with: leads train --all, then leads models list",
    }
    if said.get("versions") == "damaged":
        text = f"{url} answers, but isn't ready: a published version is damaged and not fetched again yet."
        return Finding("api", "warning", text, NO_API, _DAMAGED_REMEDY)
    if status == "not_ready" and any(one.champion for one in read_state(settings.published_dir).harms.values()):
        text = f"{url} answers, but isn't ready: it can't load the champions that are published."
        log = settings.root / "logs" / "api.log"
        return Finding("api", "failed", text, NO_API, f"GET /v1/models and {log} say why.")
    text = f"{url} answers, but isn't ready ({status})."
    return Finding("api", "warning", text, NO_API, reasons.get(status, "See its log."))


def check_follower(settings: Settings) -> Finding:
    state = read_state(settings.published_dir)
    refused = "; ".join(f"{harm} v{v}: {why}" for harm, one in state.harms.items() for v, why in one.refused.items())
    damaged = "; ".join(f"{harm} v{v}: {why}" for harm, one in state.harms.items() for v, why in one.damaged.items())
    silent_s = clock.seconds_since(state.checked_at)
    if not is_followed(settings.published_dir):
        return Finding("follower", "not_running", "No follower runs in this home.", NO_FOLLOWER, "Start: leads serve")
    if not Connector(settings).exists():
        return Finding("follower", "ok", "It runs; there is no registry yet")
    if damaged:
        text = f"It runs, but can't fetch damaged versions again: {damaged}"
        return Finding("follower", "warning", text, _DAMAGED_WHY, _DAMAGED_REMEDY)
    if silent_s > _SILENT_S:
        since = f"since {clock.to_text(state.checked_at)}" if state.checked_at else "since it started"
        text = f"It runs, but MLflow hasn't answered {since}."
        return Finding("follower", "warning", text, NO_FOLLOWER, f"See {settings.root / 'logs' / 'follower.log'}.")
    if refused:
        text = f"It runs and refused versions: {refused}"
        without = [harm for harm, one in state.harms.items() if one.refused and one.champion is None]
        if without:
            why = f"No version serves for {', '.join(without)}."
            return Finding("follower", "failed", text, why, _REFUSED_REMEDY)
        return Finding("follower", "warning", text, "The previous versions keep serving.", _REFUSED_REMEDY)
    return Finding("follower", "ok", f"It runs; MLflow answered {round(max(silent_s, 0))} s ago")


def check_worker(settings: Settings, share: Partition) -> Finding:
    name = "worker" if share.count == 1 else f"worker {share.index}"
    try:
        offset = segments_of(settings, share, live_features(settings)).manifest().offset
    except LeadsError as error:
        return Finding(name, "failed", str(error), NO_WORKER, error.remedy or "")
    reached = f"features up to event {offset:,}"
    if is_working(settings, share):
        return Finding(name, "ok", f"It runs; {reached}")
    text = f"No worker runs in this home; {reached}."
    return Finding(name, "not_running", text, NO_WORKER, "Start: leads serve. Or it runs on another host.")


def check_restart(settings: Settings) -> list[Finding]:
    """Whether the service has read its files as they are now; nothing if that isn't known, or a file isn't valid."""
    try:
        changed = changed_files(settings)
    except ConfigurationError:
        # The checks of the files say so.
        return []
    if changed is None:
        return []
    if not changed:
        return [Finding("restart", "ok", "The service has read its files as they are now")]
    names = " and ".join(map(str, changed))
    text = f"{names} {'have' if len(changed) > 1 else 'has'} changed since the service started."
    return [Finding("restart", "warning", text, "The service goes on with what it read.", "Run: leads restart")]
