"""Logged predictions: which are sampled, how they are grouped, how far the segments reach."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy.engine import Engine

from features.fold.fold import empty_batch
from features.offline.segments import Segments
from leads import clock
from leads.errors import ConfigurationError
from leads.events import Played, SubjectRef
from leads.settings import Settings
from monitoring.skew.logged import by_version, sample_predictions, segments_complete_until
from tests.support.skew_parts import AT, append, batch, prediction, table_of


def test_each_run_takes_the_same_sample_in_any_order() -> None:
    table = table_of(*(prediction(i) for i in range(200)))
    ids = sample_predictions(table, 50)["prediction_id"].to_pylist()
    again = sample_predictions(table.take(pa.array(range(199, -1, -1))), 50)["prediction_id"].to_pylist()
    assert len(ids) == 50
    assert set(again) == set(ids)
    assert ids == sorted(ids, key=lambda name: int(name[1:]))
    # Chosen by chance, not from one end.
    assert 60 < np.mean([int(name[1:]) for name in ids]) < 140
    assert set(sample_predictions(table, 20)["prediction_id"].to_pylist()) < set(ids)
    assert sample_predictions(table, 200) is table


def test_predictions_are_grouped_by_version_and_vector_length() -> None:
    longer = prediction(3, vectors=np.zeros((1, 4), np.float32))
    groups = by_version(table_of(prediction(0), prediction(1, model_version="2"), prediction(2), longer))
    assert [(version, table["prediction_id"].to_pylist()) for version, table in groups] == [
        ("1", ["p0", "p2"]),
        ("1", ["p3"]),
        ("2", ["p1"]),
    ]


def test_the_segments_are_complete_until_the_slowest_writer(settings: Settings, engine: Engine) -> None:
    append(engine, *((at, Played(SubjectRef("track", "t1"), "a1", 40.0)) for at in range(1, 4)))
    assert segments_complete_until(settings, engine) == 0
    segments = Segments(settings.features_dir / "segments")
    segments.prepare()
    segments.write({**empty_batch(), "account": batch("account", ("a1", 2, (None,)))}, 2)
    assert segments_complete_until(settings, engine) == AT + 2
    segments.write({**empty_batch(), "account": batch("account", ("a1", 3, (None,)))}, 3)
    assert segments_complete_until(settings, engine) > AT + clock.DAY
    with pytest.raises(ConfigurationError, match="rebuild"):
        segments_complete_until(settings.model_copy(update={"partitions": 2}), engine)
