"""Logged predictions: which are sampled, how they are grouped, how far the segments reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from features.declared.builtin import BUILTIN
from features.fold.fold import empty_batch
from features.offline.segments import Segments
from leads import clock
from leads.errors import ConfigurationError
from leads.events import Played, SubjectRef
from leads.predictions.scan import PredictionScan
from leads.settings import Settings
from monitoring.skew.logged import NOT_READ, LoggedPredictions, by_version, sample_predictions, segments_complete_until
from tests.support.prediction_world import AT as LOGGED_AT
from tests.support.prediction_world import batch as logged
from tests.support.prediction_world import write
from tests.support.skew_parts import AT, append, batch, prediction, table_of


def sample(folder: Path, size: int) -> tuple[int, list[str]]:
    total, table = sample_predictions(PredictionScan(folder, "spam"), size)
    return total, table["prediction_id"].to_pylist()


@pytest.mark.slow
def test_each_run_takes_the_same_sample_in_any_order(tmp_path: Path) -> None:
    batches = [logged(i, at=LOGGED_AT + i * clock.HOUR // 20) for i in range(200)]
    write(tmp_path / "one", *batches)
    for one in reversed(batches):
        write(tmp_path / "other", one)
    total, ids = sample(tmp_path / "one", 50)
    assert (total, len(ids)) == (200, 50)
    assert sample(tmp_path / "other", 50) == (200, ids)
    assert ids == sorted(ids, key=lambda name: int(name[1:]))
    # Chosen by chance, not from one end.
    assert 60 < np.mean([int(name[1:]) for name in ids]) < 140
    assert set(sample(tmp_path / "one", 20)[1]) < set(ids)
    assert sample(tmp_path / "one", 200)[1] == [f"p{i}" for i in range(200)]


def test_predictions_are_grouped_by_version_and_vector_length() -> None:
    longer = prediction(3, vectors=np.zeros((1, 4), np.float32))
    groups = by_version(table_of(prediction(0), prediction(1, model_version="2"), prediction(2), longer))
    assert [(version, table["prediction_id"].to_pylist()) for version, table in groups] == [
        ("1", ["p0", "p2"]),
        ("1", ["p3"]),
        ("2", ["p1"]),
    ]


def test_rows_are_found_by_the_names_of_their_roles() -> None:
    today = ("item", "account", "ip", "view:trust")
    times = np.array([[1, 2, 3]], np.int64)

    def row_at(**given: object) -> list[int]:
        ((_, table),) = by_version(table_of(prediction(0, **given)))
        return LoggedPredictions.from_table(table, today).row_at.tolist()[0]

    assert row_at(row_at=times, row_roles="item,account,view:trust") == [1, 2, NOT_READ, 3]
    # A role that is gone.
    assert row_at(row_at=times, row_roles="item,view:old,account") == [1, 3, NOT_READ, NOT_READ]


def test_without_names_of_roles_their_number_tells_whether_all_can_be_compared() -> None:
    built_in = len(BUILTIN.roles)
    for more, found in ((1, [NOT_READ, NOT_READ]), (2, [0, 0])):
        ((_, table),) = by_version(table_of(prediction(0, row_at=np.zeros((1, built_in + more), np.int64))))
        row_at = LoggedPredictions.from_table(table, [*BUILTIN.roles, "ip", "view:trust"]).row_at
        assert row_at.tolist() == [[0] * built_in + found]


def test_predictions_are_grouped_by_the_names_of_roles() -> None:
    groups = by_version(table_of(prediction(0), prediction(1, row_roles="a,b"), prediction(2, row_roles="a,c")))
    assert [table["prediction_id"].to_pylist() for _, table in groups] == [["p0"], ["p1"], ["p2"]]


def test_the_segments_are_complete_until_the_slowest_writer(settings: Settings, engine: Engine) -> None:
    append(engine, *((at, Played(SubjectRef("track", "t1"), "a1", 40.0)) for at in range(1, 4)))
    assert segments_complete_until(settings, engine, BUILTIN) == 0
    segments = Segments(settings.features_dir / "segments")
    segments.prepare()
    segments.write({**empty_batch(BUILTIN), "account": batch("account", ("a1", 2, (None,)))}, 2)
    assert segments_complete_until(settings, engine, BUILTIN) == AT + 2
    segments.write({**empty_batch(BUILTIN), "account": batch("account", ("a1", 3, (None,)))}, 3)
    assert segments_complete_until(settings, engine, BUILTIN) > AT + clock.DAY
    with pytest.raises(ConfigurationError, match="rebuild"):
        segments_complete_until(settings.model_copy(update={"partitions": 2}), engine, BUILTIN)
