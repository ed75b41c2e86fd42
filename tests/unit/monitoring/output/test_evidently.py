"""What Evidently gets and writes: our verdict, one snapshot a day, and files that its server reads."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from leads import clock
from leads.errors import ConfigurationError, Unavailable
from monitoring.output import evidently_report
from monitoring.output.evidently_report import Judged, Sample
from monitoring.output.evidently_snapshot import Day, day_of
from monitoring.output.evidently_workspace import KEPT, LocalWorkspace, RemoteWorkspace
from tests.support.monitoring.page_contents import contents, nothing
from tests.support.monitoring.screenshots import evidently_ui

pytestmark = pytest.mark.slow


@pytest.fixture
def day() -> Day:
    found = day_of(contents(10))
    assert found is not None
    return found


def snapshots(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("snapshots/*.json"))]


def values(snapshot: Any) -> dict[str, float]:
    results = snapshot["metric_results"].values()
    return {one["metric_value_location"]["metric"]["params"]["column"]: one["value"] for one in results}


def test_a_snapshot_has_the_figures(tmp_path: Path, day: Day) -> None:
    LocalWorkspace(tmp_path).put(day)
    (stored,) = snapshots(tmp_path)
    assert values(stored) == dict(day.values)
    assert stored["timestamp"] == "2026-03-10T12:00:00"
    assert stored["metadata"] == {"day": "20260310", "digest": day.digest, "version": "3"}
    assert "Drifted" in json.dumps(stored["widgets"])
    assert len(json.dumps(stored)) < 100_000


def test_a_file_in_place_of_the_workspace_is_named(tmp_path: Path, day: Day) -> None:
    (tmp_path / "evidently").write_text("x")
    workspace = LocalWorkspace(tmp_path / "evidently")
    assert workspace.digest(day) is None
    with pytest.raises(ConfigurationError, match="file where a folder is needed"):
        workspace.put(day)


def test_evidently_reads_the_workspace(tmp_path: Path, day: Day) -> None:
    workspace = LocalWorkspace(tmp_path)
    workspace.put(day)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.ui.workspace import Workspace

        opened = Workspace(str(tmp_path))
        (project,) = opened.list_projects()
        assert project.name == "Spam (spam)"
        (id_,) = opened.list_runs(project.id)
        run = opened.get_run(project.id, id_)
        assert run is not None
        assert len(run.metric_results) == len(day.values)
        board = project.dashboard.model()
    shown = {value.metric_labels["column"] for panel in board.panels for value in panel.values}
    assert shown <= set(day.values)
    assert len(board.tabs) == 1


def test_a_day_has_one_snapshot_and_old_ones_go(tmp_path: Path, day: Day) -> None:
    workspace = LocalWorkspace(tmp_path)
    old = day._replace(day=day.day - KEPT - clock.DAY)
    workspace.put(old)
    workspace.put(day._replace(day=day.day - KEPT))
    workspace.put(day)
    assert workspace.digest(day) == day.digest
    changed = day._replace(drifted=False)
    assert workspace.digest(changed) != changed.digest
    workspace.put(changed)
    assert [one["metadata"]["day"] for one in snapshots(tmp_path)] == [
        day._replace(day=day.day - KEPT).date,
        "20260310",
    ]
    assert workspace.digest(changed) == changed.digest


def test_a_snapshot_that_was_cut_off_is_written_again(tmp_path: Path, day: Day) -> None:
    workspace = LocalWorkspace(tmp_path)
    workspace.put(day)
    (path,) = tmp_path.rglob("snapshots/*.json")
    path.write_text(path.read_text()[:1_000])
    assert workspace.digest(day) is None
    workspace.put(day)
    assert len(snapshots(tmp_path)) == 1


def test_nothing_measured_makes_no_snapshot() -> None:
    assert day_of(replace(nothing(), rows=())) is None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An Evidently server with a secret."""
    with evidently_ui(tmp_path / "server", tmp_path, "--secret", "s3cret") as address:
        yield address


def test_a_server_gets_one_snapshot_a_day(server: str, day: Day) -> None:
    workspace = RemoteWorkspace(server.replace("://", "://:s3cret@"))
    assert workspace.digest(day) is None
    workspace.put(day)
    assert workspace.digest(day) == day.digest
    changed = day._replace(drifted=False)
    workspace.put(changed)
    assert workspace.digest(changed) == changed.digest
    tomorrow = day._replace(day=day.day + clock.DAY, until=day.until + clock.DAY)
    workspace.put(tomorrow)
    (project,) = httpx.get(f"{server}/api/v2/projects", trust_env=False).json()
    listed = httpx.get(f"{server}/api/projects/{project['id']}/snapshots", trust_env=False).json()
    assert sorted(one["metadata"]["day"] for one in listed) == ["20260310", "20260311"]
    board = httpx.get(f"{server}/api/v2/dashboards/{project['id']}", trust_env=False).json()
    for panel in board["panels"]:
        wanted = [
            {"tags": [], "metadata": {}, "metric": one["metric"], "metric_labels": one["metric_labels"]}
            for one in panel["values"]
        ]
        if wanted:
            body = {"series_filter": wanted}
            found = httpx.post(
                f"{server}/api/v2/snapshots/{project['id']}/data_series_batch", json=body, trust_env=False
            )
            assert [len(one["values"]) for one in found.json()["series"]] == [2] * len(wanted), panel["title"]
    with pytest.raises(Unavailable) as caught:
        RemoteWorkspace(server.replace("://", "://:wrong@")).put(day._replace(day=day.day + 2 * clock.DAY))
    assert "wrong" not in str(caught.value)
    assert caught.value.field == "LEADS_EVIDENTLY_URL"


def test_a_server_that_is_down(day: Day) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    with pytest.raises(Unavailable, match=r"Evidently's server at https://evidently\.example"):
        RemoteWorkspace("https://:s3cret@evidently.example", transport=httpx.MockTransport(refuse)).digest(day)


def samples(columns: int, rows: int = 5_000) -> tuple[Sample, Sample]:
    rng = np.random.default_rng(0)
    names = tuple(f"account.feature_{i}" for i in range(columns))
    reference, current = rng.lognormal(0, 1, (rows, columns)), rng.lognormal(0, 1, (rows, columns))
    current[:, 0] *= 3
    reference[:, 1] = current[:, 1] = 7.0
    current[:, 2] = np.nan
    return Sample(names, reference), Sample(names, current)


def test_the_report_says_what_we_say(tmp_path: Path) -> None:
    reference, current = samples(60)
    # Evidently's own distance of the first column is far above 0.1, and of the others far below.
    columns = [Judged(name, 0.02 if i != 5 else 0.42, 0.1) for i, name in enumerate(reference.names)]
    path = tmp_path / "report.html"
    drawn = evidently_report.write(path, "## Predictions of Spam have drifted", columns, reference, current)
    assert drawn == evidently_report.MOST_COLUMNS
    html = path.read_text()
    assert path.stat().st_size <= 5_000_000
    assert "Predictions of Spam have drifted" in html
    assert "Dataset Drift" not in html
    said = re.findall(r"(Data drift (?:not )?detected|drift (?:not )?detected)", html, re.I)
    assert len([one for one in said if "not" in one.lower()]) == drawn - 1, said[:3]
    assert len(said) == drawn
