"""The steps that write pages, snapshots and reports: where they go, and that doing them again adds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.monitoring.rows import MetricRow, write
from leads.db.monitoring.verdicts import VERDICT
from leads.settings import Settings
from monitoring import scores
from monitoring.output import evidently_workspace, files, reports
from monitoring.output.gather import gather
from monitoring.output.sampling import logged_sample
from monitoring.summaries.hourly import HourlySummaries
from monitoring.watch.world import World
from tests.support.monitoring.watch_world import NAMES, START, PlainWorld, policies_of, predict, world_of

NOON = START + 12 * clock.HOUR


@pytest.fixture
def world(settings: Settings, engine: Engine) -> PlainWorld:
    """Two hours with predictions, and what was measured of the last day."""
    for hour in (10, 11):
        predict(settings, START + hour * clock.HOUR + clock.MINUTE, 30)
    made = world_of(settings, engine, NOON + 10 * clock.MINUTE, policies_of(settings))
    HourlySummaries(settings, engine, made.host, names_of=made.input_names).update("spam", made.now)
    store(made, *scores.measure(made, "spam", NOON), verdict(1.0))
    return made


def store(world: World, *rows: MetricRow) -> None:
    with world.engine.begin() as connection:
        write(connection, "run", rows)


def verdict(value: float | None) -> MetricRow:
    return MetricRow("spam", "1", "against=reference", NOON - clock.DAY, NOON, VERDICT, value, None, None, 60, "")


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_mean_score_and_the_share_flagged_are_measured(world: PlainWorld) -> None:
    found = {row.name: row for row in scores.measure(world, "spam", NOON)}
    assert found.keys() == {scores.MEAN, scores.FLAGGED}
    assert (found[scores.MEAN].n, found[scores.MEAN].version) == (60, "1")
    assert found[scores.FLAGGED].lo is not None
    assert scores.measure(world, "sexism", NOON) == []


def test_after_an_outage_there_is_no_mean_score(world: PlainWorld) -> None:
    found = scores.measure(world, "spam", NOON + 2 * clock.DAY)
    assert [(row.name, row.value, row.n) for row in found] == [(scores.MEAN, None, 0), (scores.FLAGGED, None, 0)]
    assert scores.measure(world, "spam", NOON + 4 * clock.DAY) == []


def test_pages_are_written_for_what_was_measured(world: PlainWorld) -> None:
    reports.write_pages(world, "run")
    folder = files.folder_of(world.settings)
    page = files.page_path(world.settings, "spam", NOON)
    assert names(folder) == {"index.html", f"spam/{page.name}", "spam/latest.html"}
    assert page.read_text() == (folder / "spam" / "latest.html").read_text()
    assert "60 subjects" in page.read_text()
    index = (folder / "index.html").read_text()
    assert 'href="spam/latest.html"' in index
    assert f'href="spam/{page.name}"' in index
    world.now += 20 * clock.MINUTE
    reports.write_pages(world, "run")
    assert len(names(folder)) == 3


def test_nothing_is_written_when_nothing_was_measured(settings: Settings, engine: Engine) -> None:
    reports.write_pages(world_of(settings, engine, NOON), "run")
    assert not settings.reports_dir.exists()


def test_a_page_shows_the_window_up_to_the_newest_hour(world: PlainWorld) -> None:
    found = gather(world, "spam")
    assert (found.since, found.until) == (NOON - clock.DAY, NOON)
    assert found.versions == {"1": 60}
    assert found.current.rows == 60
    assert found.verdict is not None
    assert set(found.figures) == {VERDICT, scores.MEAN, scores.FLAGGED}


def test_a_sample_has_the_version_and_the_window(settings: Settings) -> None:
    predict(settings, START, 50)
    predict(settings, START + clock.MINUTE, 70, version="2")
    predict(settings, START + 2 * clock.DAY, 5)
    until = START + clock.DAY
    found = logged_sample(settings, "spam", "1", NAMES, START, until, 40)
    assert found is not None
    assert found.names == (*NAMES, "score")
    assert found.rows.shape == (40, 4)
    again = logged_sample(settings, "spam", "1", NAMES, START, until, 40)
    assert again is not None
    assert np.array_equal(found.rows, again.rows, equal_nan=True)
    many = logged_sample(settings, "spam", "1", NAMES, START, until, 1_000)
    assert many is not None
    assert len(many.rows) == 50
    assert logged_sample(settings, "spam", "3", NAMES, START, until, 40) is None
    assert logged_sample(settings, "spam", "1", NAMES[:2], START, until, 40) is None


def test_without_evidently_a_note_says_so(world: PlainWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "find_spec", lambda name: None)
    reports.write_evidently(world, "run")
    assert world.notes == ["Evidently isn't installed here: it gets no snapshots, and writes no reports."]


@pytest.mark.slow
def test_a_day_has_one_snapshot(world: PlainWorld) -> None:
    folder = world.settings.root / evidently_workspace.FOLDER
    reports.write_evidently(world, "run")
    first = names(folder)
    (stored,) = folder.rglob("snapshots/*.json")
    assert json.loads(stored.read_text())["metadata"]["version"] == "1"
    changed = stored.stat().st_mtime_ns
    reports.write_evidently(world, "run")
    assert stored.stat().st_mtime_ns == changed
    store(world, verdict(0.0))
    reports.write_evidently(world, "run")
    assert stored.stat().st_mtime_ns > changed
    assert names(folder) == first
