"""Drift between a version's reference sample and the current window of its predictions."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from cli.ui.drift import render
from leads import clock
from leads.errors import ModelRefused, NotEnoughData, NotFound
from leads.events import Subject
from leads.policies import Policies, load_policies
from leads.predictions.log import PredictionBatch, PredictionLog
from leads.settings import Settings
from monitoring.drift.detect import DriftResult, drift
from monitoring.logged_window import Ahead

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

AT = 1_780_000_000_000_000
NAMES = ("item.reports_24h", "item.plays_24h", "account.age_h", "text.urls", "item.notices", "text.score")
Rows = npt.NDArray[np.float32]


class FolderRegistry:
    """A registry with one version in a folder."""

    def __init__(self, folder: Path, champion: str | None = "3") -> None:
        self._folder = folder
        self._champion = champion

    def aliases(self, harm: str) -> dict[str, str]:
        return {"champion": self._champion} if self._champion and harm == "spam" else {}

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        return self._folder


def world(rows: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    made = np.column_stack(
        [
            np.where(random.random(rows) < 0.05, 1, 0),
            np.floor(random.lognormal(2, 1, rows)),
            random.exponential(300, rows),
            random.poisson(0.3, rows),
            np.zeros(rows),
            random.normal(-2, 1, rows),
        ]
    ).astype(np.float32)
    made[random.random(rows) < 0.2, 2] = np.nan
    return made


def scores(rows: Rows) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-rows[:, -1].astype(np.float64)))


def put_reference(folder: Path, rows: Rows) -> FolderRegistry:
    columns = {name: rows[:, j] for j, name in enumerate(NAMES)}
    pq.write_table(
        pa.table({**columns, "score": scores(rows), "label": scores(rows) > 0.5}), folder / "reference.parquet"
    )
    return FolderRegistry(folder)


def put_predictions(
    settings: Settings, rows: Rows, *, at: int = AT, version: str = "3", prefix: str = "c", step: int = 1
) -> None:
    log = PredictionLog(settings.predictions_dir, owner="api")
    said = scores(np.nan_to_num(rows))
    for i, row in enumerate(rows):
        log.append(
            PredictionBatch(
                harm="spam",
                model_version=version,
                contract_hash="c",
                source="api",
                at=at + i * step,
                scored_at=at,
                took_us=1_000,
                prediction_ids=[f"{version}{prefix}{at}{i}"],
                subjects=[Subject("comment", f"{prefix}{i}")],
                vectors=row[None],
                scores=said[i : i + 1],
                tiers=["none"],
                row_at=np.zeros((1, 1), np.int64),
                links=[()],
                text_hashes=[0],
            )
        )
    log.close()


@pytest.fixture
def policies(settings: Settings) -> Policies:
    return load_policies(settings.policies)


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return put_reference(tmp_path, world(1_500, 0))


def shown(result: DriftResult) -> str:
    out = io.StringIO()
    Console(width=120, file=out).print(render(result))
    return out.getvalue()


def test_one_prediction_of_the_future_does_not_move_the_window(
    settings: Settings, policies: Policies, registry: FolderRegistry
) -> None:
    far = clock.now() + 40 * clock.DAY
    put_predictions(settings, world(600, 1))
    put_predictions(settings, world(2, 2), at=far, prefix="far")
    result = drift(settings, policies, "spam", registry=registry)
    assert (result.rows, result.until) == (600, AT + 600)
    assert result.ahead == Ahead(2, far + 1)
    assert "Left out 2 predictions dated in the future" in shown(result)


def test_predictions_of_the_future_alone_are_named_in_the_error(
    settings: Settings, policies: Policies, registry: FolderRegistry
) -> None:
    put_predictions(settings, world(2, 2), at=clock.now() + 40 * clock.DAY)
    with pytest.raises(NotEnoughData, match="2 predictions dated in the future"):
        drift(settings, policies, "spam", registry=registry)


def test_a_clock_that_is_a_little_fast_is_accepted(
    settings: Settings, policies: Policies, registry: FolderRegistry
) -> None:
    put_predictions(settings, world(600, 1))
    result = drift(settings, policies, "spam", registry=registry, clock_=lambda: AT - 4 * clock.MINUTE)
    assert (result.rows, result.ahead.predictions) == (600, 0)


def test_the_same_world_has_not_drifted(settings: Settings, policies: Policies, registry: FolderRegistry) -> None:
    put_predictions(settings, world(600, 1))
    result = drift(settings, policies, "spam", registry=registry)
    assert not result.drifted
    assert result.drifted_columns == ()
    assert (result.version, result.rows, result.predictions, result.reference_rows) == ("3", 600, 600, 1_500)
    assert result.until == AT + 600
    assert result.since == result.until - clock.DAY
    # Columns with the same constant on both sides can't drift.
    names = {column.name for column in result.columns}
    assert names == {*NAMES} - {"item.notices"} | {"account.age_h is missing"}
    assert "No drift" in shown(result)


def test_drifted_inputs_are_listed_with_their_statistics(
    settings: Settings, policies: Policies, registry: FolderRegistry
) -> None:
    changed = world(600, 1)
    changed[:300, 0] += 1
    changed[:200, 2] = np.nan
    put_predictions(settings, changed)
    result = drift(settings, policies, "spam", registry=registry)
    assert result.drifted
    assert not result.score.drifted
    assert {column.name for column in result.drifted_columns} == {"item.reports_24h", "account.age_h is missing"}
    first = result.columns[0]
    assert first.name == "item.reports_24h"
    assert first.reference.mean == pytest.approx(0.05, abs=0.02)
    assert first.current.mean == pytest.approx(0.55, abs=0.03)
    assert first.statistic > first.threshold >= 0.1
    assert "DRIFT" in shown(result)
    assert "item.reports_24h" in shown(result)


def test_a_drifted_score_is_enough(settings: Settings, policies: Policies, registry: FolderRegistry) -> None:
    changed = world(600, 1)
    changed[:, -1] += 1
    put_predictions(settings, changed)
    result = drift(settings, policies, "spam", registry=registry)
    assert result.score.drifted
    assert result.drifted


def test_the_report_agrees_with_the_verdict_and_loads_nothing_remote(
    settings: Settings, policies: Policies, registry: FolderRegistry
) -> None:
    changed = world(600, 1)
    changed[:, 0] += 1
    put_predictions(settings, changed)
    result = drift(settings, policies, "spam", registry=registry)
    page = result.report.read_text(encoding="utf-8")
    assert result.report.is_relative_to(settings.reports_dir / "drift" / "spam")
    assert result.report.name.startswith("3-2026")
    shares = f"({len(result.drifted_columns)} out of {len(result.columns)})"
    assert shares in page
    assert json.dumps("item.reports_24h").strip('"') in page
    assert "<script src=" not in page
    assert list(result.report.parent.glob(".*")) == []


def test_values_that_go_missing_are_drift(settings: Settings, policies: Policies, registry: FolderRegistry) -> None:
    changed = world(300, 1)
    changed[:, 1] = np.nan
    put_predictions(settings, changed)
    result = drift(settings, policies, "spam", registry=registry)
    assert [column.name for column in result.drifted_columns] == ["item.plays_24h is missing"]
    assert result.drifted


def test_infinite_values_count_as_missing(settings: Settings, policies: Policies, registry: FolderRegistry) -> None:
    changed = world(300, 1)
    changed[:, 1] = np.inf
    put_predictions(settings, changed)
    result = drift(settings, policies, "spam", registry=registry)
    assert "item.plays_24h is missing" in {column.name for column in result.drifted_columns}


def test_only_the_champions_latest_window_counts(
    settings: Settings, policies: Policies, registry: FolderRegistry
) -> None:
    strange = world(300, 2) + 50
    put_predictions(settings, strange, version="2", prefix="other")
    put_predictions(settings, strange, at=AT - 2 * clock.DAY, prefix="old")
    put_predictions(settings, world(300, 3))
    result = drift(settings, policies, "spam", registry=registry)
    assert (result.rows, result.drifted) == (300, False)
    older = drift(
        settings, policies, "spam", since=AT - 3 * clock.DAY, until=AT - clock.DAY, min_rows=50, registry=registry
    )
    assert (older.rows, older.drifted) == (300, True)
    assert older.report != result.report


def test_a_subject_counts_once_with_its_latest_prediction(
    settings: Settings, policies: Policies, registry: FolderRegistry
) -> None:
    for again in range(3):
        put_predictions(settings, world(200, 4) + 50, at=AT - (again + 1) * clock.HOUR)
    put_predictions(settings, world(200, 5))
    result = drift(settings, policies, "spam", registry=registry)
    assert (result.predictions, result.rows, result.drifted) == (800, 200, False)


def test_a_window_can_span_midnight(settings: Settings, policies: Policies, registry: FolderRegistry) -> None:
    midnight = AT // clock.DAY * clock.DAY
    put_predictions(settings, world(200, 4), at=midnight - 100 * clock.MINUTE, step=clock.MINUTE)
    result = drift(settings, policies, "spam", registry=registry)
    assert result.rows == 200
    assert drift(settings, policies, "spam", length=150 * clock.MINUTE, registry=registry).rows == 150


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_a_small_window_gives_no_verdict(
    settings: Settings, policies: Policies, registry: FolderRegistry, rows: int
) -> None:
    if rows:
        put_predictions(settings, world(rows, 1))
    with pytest.raises(NotEnoughData) as refused:
        drift(settings, policies, "spam", registry=registry)
    assert refused.value.remedy
    assert not settings.reports_dir.exists()


def test_a_small_reference_sample_gives_no_verdict(settings: Settings, policies: Policies, tmp_path: Path) -> None:
    put_predictions(settings, world(200, 1))
    with pytest.raises(NotEnoughData, match="reference"):
        drift(settings, policies, "spam", registry=put_reference(tmp_path, world(50, 0)))


def test_an_unknown_harm_or_missing_champion_is_an_error(
    settings: Settings, policies: Policies, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="spma"):
        drift(settings, policies, "spma", registry=FolderRegistry(tmp_path))
    with pytest.raises(NotFound, match="no champion"):
        drift(settings, policies, "spam", registry=FolderRegistry(tmp_path, champion=None))


def test_an_unusable_reference_sample_is_refused(
    settings: Settings, policies: Policies, registry: FolderRegistry, tmp_path: Path
) -> None:
    put_predictions(settings, world(200, 1)[:, :4])
    with pytest.raises(ModelRefused, match="6 inputs"):
        drift(settings, policies, "spam", registry=registry)
    (tmp_path / "reference.parquet").write_bytes(b"torn")
    with pytest.raises(ModelRefused, match="can't be read"):
        drift(settings, policies, "spam", registry=registry)
    (tmp_path / "reference.parquet").unlink()
    with pytest.raises(ModelRefused, match="can't be read"):
        drift(settings, policies, "spam", registry=registry)


def test_unreadable_segments_are_counted(settings: Settings, policies: Policies, registry: FolderRegistry) -> None:
    put_predictions(settings, world(300, 1))
    next(settings.predictions_dir.rglob("*.parquet")).with_name("torn.parquet").write_bytes(b"PAR1")
    result = drift(settings, policies, "spam", registry=registry)
    assert result.unreadable == 1
    assert "Skipped 1 unreadable segments" in shown(result)
