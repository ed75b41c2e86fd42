"""Own feature views from the command line: planned, applied, written, listed and removed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from features.declared.generations import live
from features.feast.store import open_store
from features.live_rows import LiveRows
from features.online.reader import open_reader
from features.partition import WHOLE
from leads import clock
from leads.errors import ConfigurationError
from leads.events import Subject
from leads.settings import Settings, load_settings
from tests.support.features.own_views import (
    DEFINITIONS,
    apply_views,
    random_history,
    write_definitions,
    write_history,
)

START = clock.from_text("2026-03-01T00:00:00Z")
ACCOUNTS = [Subject("account", f"a{i}") for i in range(20)]


@pytest.fixture
def folder(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    made = write_definitions(tmp_path / "views")
    write_history(made, random_history(200, START, START + clock.DAY))
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    monkeypatch.setenv("LEADS_FEATURE_VIEWS", str(made))
    return made


def leads(*words: str) -> Result:
    return CliRunner().invoke(app, ["features", *words])


def plain(result: Result) -> str:
    return " ".join(result.output.split())


def test_views_go_live_without_building_rows(engine: Engine, folder: Path) -> None:
    planned = plain(leads("plan"))
    assert "trust:level" in planned
    assert "Left out, because they aren't numbers: trust:tier" in planned
    assert live(engine).views == ()

    applied = plain(leads("apply"))
    assert "No rows had to be built" in applied
    assert "leads features materialize" in applied
    assert live(engine).number == 2
    assert "Nothing to do" in plain(leads("apply"))

    written = plain(leads("materialize"))
    assert "Read 200 rows of 1 view" in written
    settings = load_settings()
    with closing(open_reader(settings)) as reader:
        assert reader.fetch(ACCOUNTS).row_at[:, -1].all()
    listed = plain(leads("list"))
    assert "trust level" in listed
    assert "own view" in listed

    (folder / "trust.py").unlink()
    assert "removed" in plain(leads("apply"))
    assert live(engine).views == ()
    assert "trust" not in [view.name for view in open_store(settings).list_feature_views()]


def test_words_and_sources_change_without_a_new_definition(engine: Engine, folder: Path) -> None:
    leads("apply")
    before = live(engine).by_name["trust:level"]
    text = DEFINITIONS.replace('description="trust level"', 'description="level of trust"').replace("days=30", "days=3")
    write_definitions(folder, text)
    assert "Changed the words of live features" in plain(leads("apply"))
    after = live(engine).by_name["trust:level"]
    assert after == before._replace(meaning="level of trust", max_age_s=3 * 86_400.0)


def test_a_column_whose_type_changes_is_refused(engine: Engine, folder: Path) -> None:
    leads("apply")
    write_definitions(folder, DEFINITIONS.replace('name="level", dtype=Int64', 'name="level", dtype=Float64'))
    for command in ("plan", "apply"):
        result = leads(command)
        assert result.exit_code != 0
        assert "trust:level was int64 and is now float64" in " ".join(str(result.exception or result.output).split())


def test_a_source_that_does_not_fit_is_refused_alike_and_nothing_is_written(engine: Engine, folder: Path) -> None:
    leads("apply")
    path = folder / "trust.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(3, "level", pc.add(table["level"].cast(pa.float64()), 0.7)), path)
    for command in ("plan", "materialize"):
        result = leads(command)
        assert isinstance(result.exception, ConfigurationError)
        assert f"{path} has double in the column level, not int64." in result.exception.message
        assert "Int64" in (result.exception.remedy or "")
    with closing(open_reader(load_settings())) as reader:
        assert not reader.fetch(ACCOUNTS).row_at[:, -1].any()


@pytest.mark.parametrize("name", ["gone", None])
def test_a_view_that_is_not_live_cannot_be_written(engine: Engine, folder: Path, name: str | None) -> None:
    result = leads("materialize", *([name] if name else []))
    assert result.exit_code != 0
    assert "feature view of your own" in " ".join(str(result.exception or result.output).split())


def test_a_running_worker_notices_other_views(settings: Settings, engine: Engine, folder: Path) -> None:
    seen = []
    with closing(LiveRows(settings, engine, WHOLE, on_switch=seen.append)) as rows:
        rows.step()
        apply_views(settings.model_copy(update={"feature_views": folder}), engine)
        rows._look_at = 0.0
        rows.step()
        assert [view.name for view in rows.features.views] == ["trust"]
        assert seen == [live(engine)]
