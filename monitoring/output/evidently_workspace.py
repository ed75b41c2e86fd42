"""Where snapshots go: Evidently's workspace in a folder of the home, or a server that LEADS_EVIDENTLY_URL names.

Each harm has one project, and each day at most one snapshot in it. A snapshot of the same day replaces the earlier one.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx

from leads import clock
from leads.clock import Micros
from leads.environment.addresses import is_loopback
from leads.errors import Unavailable
from leads.files import private_folder, write_atomic
from leads.settings import Settings
from monitoring.output import evidently_snapshot
from monitoring.output.evidently_snapshot import Day

FOLDER = "evidently"
# Evidently's server reads all snapshots of a project when it starts.
KEPT: Micros = 400 * clock.DAY
SETTING = "LEADS_EVIDENTLY_URL"
# How Evidently names them.
_PROJECT, _DASHBOARD, _SNAPSHOTS = "metadata.json", "dashboard.json", "snapshots"
_TIMEOUT_S = 20.0
_SECRET_HEADER = "evidently-secret"


class Workspace(Protocol):
    """A place for snapshots."""

    def digest(self, day: Day) -> str | None:
        """The digest of a day's stored snapshot; None if there isn't one.

        Raises:
            Unavailable: the place can't be reached.
        """

    def put(self, day: Day) -> None:
        """Store a day's snapshot in place of the one that is there.

        Raises:
            Unavailable: the place can't be reached.
        """


def open_workspace(settings: Settings) -> Workspace:
    """The workspace that the settings name."""
    if settings.evidently_url is None:
        return LocalWorkspace(settings.root / FOLDER)
    return RemoteWorkspace(settings.evidently_url.get_secret_value())


def is_due(settings: Settings, day: Day) -> bool:
    """Whether a day's snapshot must be stored. To find that out, Evidently isn't loaded.

    Raises:
        Unavailable: the server can't be reached.
    """
    return open_workspace(settings).digest(day) != day.digest


def project_name(day: Day) -> str:
    """The name of a harm's project."""
    return f"{day.title} ({day.harm})"


class LocalWorkspace:
    """A folder as `evidently ui --workspace` reads it. A file is complete from the moment that it has its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, day: Day) -> None:
        path = self._path(day)
        snapshots, project = path.parent, path.parent.parent
        if not (project / _PROJECT).exists():
            private_folder(snapshots)
            _write(project / _DASHBOARD, evidently_snapshot.dashboard().dict())
            _write(project / _PROJECT, _project(day, _project_id(day)))
        text = evidently_snapshot.snapshot(day).dumps()
        write_atomic(path, lambda draft: draft.write_text(text, encoding="utf-8"))
        # A server that runs doesn't notice that a file got its name, but that its time changed.
        path.touch()
        oldest = f"{clock.to_datetime(day.day - KEPT):%Y%m%d}"
        for old in snapshots.glob("[0-9]*.json"):
            if old.name[:8] < oldest:
                old.unlink(missing_ok=True)

    def digest(self, day: Day) -> str | None:
        """The digest of a day's stored snapshot; None if there isn't one."""
        return _digest_of(self._path(day))

    def _path(self, day: Day) -> Path:
        return self._folder / _project_id(day) / _SNAPSHOTS / f"{_snapshot_id(day)}.json"


class RemoteWorkspace:
    """An Evidently server. Its own client has no timeouts, and can't list or delete snapshots.

    Args:
        url: a password in it is the server's secret.
        transport: an httpx transport, for tests.
    """

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        parts = urlsplit(url)
        self._shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._options: dict[str, Any] = {
            "base_url": self._shown.rstrip("/") + "/api/",
            "headers": {} if parts.password is None else {_SECRET_HEADER: unquote(parts.password)},
            "timeout": _TIMEOUT_S,
            # A proxy doesn't reach this host.
            "trust_env": not is_loopback(parts.hostname or ""),
            "transport": transport,
        }

    def digest(self, day: Day) -> str | None:
        project_id = self._project(day)
        stored = [] if project_id is None else self._snapshots(project_id, day)
        return stored[0]["metadata"].get("digest") if len(stored) == 1 else None

    def put(self, day: Day) -> None:
        project_id = self._project(day) or self._new_project(day)
        before = self._snapshots(project_id, day)
        self._call("POST", f"v2/snapshots/{project_id}", evidently_snapshot.snapshot(day).dumps())
        for one in before:
            self._call("DELETE", f"projects/{project_id}/{one['id']}")

    def _project(self, day: Day) -> str | None:
        """The id of the harm's project; None if there is none."""
        found = self._call("GET", f"projects/search/{quote(project_name(day), safe='')}")
        return str(found[0]["id"]) if found else None

    def _new_project(self, day: Day) -> str:
        made = str(self._call("POST", "v2/projects", json.dumps(_project(day, _project_id(day)))))
        board = evidently_snapshot.dashboard().dict()
        self._call("POST", f"v2/dashboards/{made}", json.dumps(board, default=str))
        return made

    def _snapshots(self, project_id: str, day: Day) -> list[dict[str, Any]]:
        """The snapshots of a day, more than one if the last `put` was killed."""
        found = self._call("GET", f"projects/{project_id}/snapshots")
        return [one for one in found if one.get("metadata", {}).get("day") == day.date]

    def _call(self, method: str, path: str, body: str | None = None) -> Any:
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            with httpx.Client(**self._options) as client:
                response = client.request(method, path, content=body, headers=headers)
            response.raise_for_status()
            return response.json() if response.content else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            what = f"status {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else "no answer"
            raise Unavailable(
                f"Evidently's server at {self._shown} didn't store a snapshot: {what}.",
                field=SETTING,
                remedy="Check that it runs, and its secret.",
            ) from error


def _project(day: Day, id_: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.sdk.models import ProjectModel

    about = f"What Lead Serving measures of {day.title}: one snapshot a day."
    made: dict[str, Any] = json.loads(
        json.dumps(ProjectModel(id=id_, name=project_name(day), description=about).dict(), default=str)
    )
    return made


def _project_id(day: Day) -> str:
    return str(uuid5(NAMESPACE_URL, f"lead-serving:{day.harm}"))


def _snapshot_id(day: Day) -> UUID:
    """The same for every snapshot of a harm and day; it begins with the date."""
    rest = uuid5(NAMESPACE_URL, f"lead-serving:{day.harm}:{day.date}").hex[8:]
    return UUID(hex=day.date + rest)


def _digest_of(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    metadata = found.get("metadata", {})
    return metadata.get("digest") if isinstance(metadata, Mapping) else None


def _write(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, default=str)
    write_atomic(path, lambda draft: draft.write_text(text, encoding="utf-8"))
