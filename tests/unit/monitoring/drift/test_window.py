"""A drift window is read in slices, and has each subject's latest prediction once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leads import clock
from leads.predictions import scan as scans
from leads.settings import load_settings
from monitoring.drift.window import read_window
from tests.support.prediction_world import AT, batch, write


def test_of_a_subject_only_its_latest_prediction_counts_whatever_the_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(home=tmp_path, corpora="none")
    rng = np.random.default_rng(3)
    latest: dict[int, tuple[int, float]] = {}
    for hour in range(40):
        numbers = sorted(rng.choice(30, 8, replace=False).tolist())
        at, score = AT + hour * clock.HOUR, hour / 100
        ids = [f"p{hour}-{number}" for number in numbers]
        write(settings.predictions_dir, batch(*numbers, at=at, prediction_ids=ids, scores=np.full(8, score)))
        latest |= {number: (at, score) for number in numbers if hour >= 16}
    expected = sorted((at, f"p{(at - AT) // clock.HOUR}-{n}", n, score) for n, (at, score) in latest.items())
    for size in (1, 20, 100_000):
        monkeypatch.setattr(scans, "_SLICE_ROWS", size)
        found = read_window(
            settings, "spam", "1", ("a", "b", "c", "score"), clock_=lambda: AT + 50 * clock.HOUR, length=clock.DAY
        )
        assert (found.since, found.until) == (AT + 15 * clock.HOUR + 1, AT + 39 * clock.HOUR + 1)
        assert found.predictions == 24 * 8
        assert found.sample.rows[:, 0].tolist() == [n for _, _, n, _ in expected]
        assert found.sample.rows[:, 3].tolist() == [score for *_, score in expected]
