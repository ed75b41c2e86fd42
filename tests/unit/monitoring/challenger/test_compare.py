"""The job `challenger`, on a prediction log."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from leads import clock
from leads.clock import Micros
from leads.db.model_changes import CHALLENGER
from leads.db.monitoring.decided import Verdict
from leads.settings import load_settings
from monitoring.challenger.compare import AGREEMENT, CHALLENGERS, GAIN, LEFT, MOVED
from monitoring.summaries.summary import Summary
from monitoring.watch.world import Hour
from tests.support.monitoring.planned_world import NOW, PlannedWorld, named, verdict
from tests.support.prediction_world import batch, write


class LoggedWorld(PlannedWorld):
    """A planned world with a prediction log."""

    def __init__(self, home: Path, verdicts: list[Verdict]) -> None:
        super().__init__(verdicts=verdicts)
        self.settings = load_settings(home=home, corpora=Path())

    def hours(self, harm: str, since: Micros, until: Micros, *, role: str = "", slice_: str = "") -> list[Hour]:
        first = NOW - 20 * clock.DAY
        return [Hour(first, "2", Summary(1, 1))] if role == CHALLENGER and since <= first else []


def logged(home: Path, at: Micros, champion: list[float], challenger: list[float]) -> None:
    """Both score c0, c1, … at an instant; subjects of the challenger alone and of the champion alone are no pairs."""
    folder = load_settings(home=home, corpora=Path()).predictions_dir
    for role, version, scores in (("champion", "1", champion), ("challenger", "2", challenger)):
        tiers = ["review" if score >= 0.5 else "none" for score in scores]
        ids = [f"{version}-{at}-{i}" for i in range(len(scores))]
        given: dict[str, Any] = {"role": role, "model_version": version, "scores": np.array(scores), "tiers": tiers}
        write(folder, batch(*range(len(scores)), at=at, prediction_ids=ids, **given), owner=f"{role}{at}")


def test_where_both_agree_and_where_they_differ(tmp_path: Path) -> None:
    logged(tmp_path, NOW - clock.HOUR, [0.9, 0.8, 0.1, 0.2], [0.9, 0.2, 0.7, 0.1, 0.9])
    rows = LoggedWorld(tmp_path, []).run(CHALLENGERS, "spam", NOW)
    agreed = named(rows, AGREEMENT)
    assert (agreed.value, agreed.n, agreed.version) == (0.5, 4, "2")
    assert named(rows, AGREEMENT, "type=comment").n == 4
    assert named(rows, MOVED, "challenger=none;champion=review").value == 0.25
    assert named(rows, MOVED, "challenger=review;champion=none").value == 0.25


def test_without_a_challenger_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert PlannedWorld().run(CHALLENGERS, "spam", NOW) == []
    assert LoggedWorld(tmp_path, []).run(CHALLENGERS, "spam", NOW) == []


@pytest.mark.parametrize(("better", "decided"), [(True, True), (False, False)])
def test_the_gain_on_what_was_decided(tmp_path: Path, better: bool, decided: bool) -> None:
    draw = np.random.default_rng(3)
    n = 300
    champion = draw.uniform(0.3, 0.9, n)
    labels = draw.random(n) < 0.5
    challenger = np.where(labels, 0.9, 0.2) if better else champion + draw.normal(0, 0.02, n)
    logged(tmp_path, NOW - 2 * clock.DAY, champion.tolist(), challenger.clip(0, 1).tolist())
    # Scored again after the verdict: not what was judged.
    logged(tmp_path, NOW - clock.HOUR, [0.5] * n, [0.5] * n)
    verdicts = [verdict(NOW - clock.DAY, float(champion[i]), bool(labels[i]), i) for i in range(n)]
    rows = LoggedWorld(tmp_path, verdicts).run(CHALLENGERS, "spam", NOW)
    gain, left = named(rows, GAIN), named(rows, LEFT)
    assert gain.n == n
    assert ((gain.lo or 0) > 0) is decided
    assert (left.value == 0) is decided
    assert cast(float, left.value) >= 0


def test_a_few_verdicts_are_too_few_for_an_estimate(tmp_path: Path) -> None:
    logged(tmp_path, NOW - 2 * clock.DAY, [0.6, 0.7], [0.5, 0.8])
    rows = LoggedWorld(tmp_path, [verdict(NOW - clock.DAY, 0.6, True, 0)]).run(CHALLENGERS, "spam", NOW)
    assert named(rows, LEFT).value == 9
    assert not [row for row in rows if row.name == GAIN]
