"""Metrics have names that MLflow accepts, whatever slices are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from models.thresholds import Thresholds
from training.config import TrainingConfig
from training.evidence import Evidence
from training.fit.search import Tuned
from training.report import logged
from training.report.evaluate import AtTier, Evaluation
from training.report.measure import Metrics
from training.report.paired import Interval
from training.report.slices import Slice

ROWS = Evidence(100, 40, 100, 40, 60)
HALF = Interval(0.5, 0.4, 0.6)
# As MLflow's server checks them, on every system but Windows.
ACCEPTED = re.compile(r"^[/\w.\- :]{1,250}$")


def slice_of(value: str, *, ap: Interval | None = HALF) -> Slice:
    return Slice(
        "target group",
        value,
        50,
        50,
        20,
        ap,
        0.8 if ap else None,
        0.02,
        0.8,
        0.4,
        HALF,
        False,
        "",
        HALF if ap else None,
    )


def metrics_of(*slices: Slice) -> Metrics:
    test = Evaluation(ROWS, "", HALF, HALF, HALF, HALF, None, (AtTier("review", 0.3, 50, 50, HALF, None),))
    return Metrics(100, 40, None, 5, ROWS, ROWS, ROWS, test, {"corpus:edos": HALF}, slices)


def test_every_figure_has_its_interval_and_what_is_not_measured_is_left_out() -> None:
    found = logged.metrics(metrics_of(slice_of("women"), slice_of("few", ap=None)), Thresholds(0.3, None, {}))
    assert [found[f"ap{end}"] for end in ("", "_low", "_high")] == [0.5, 0.4, 0.6]
    assert [found[f"precision_review{end}"] for end in ("", "_low", "_high")] == [0.5, 0.4, 0.6]
    assert [found[f"slice_ap{end}/target group: women"] for end in ("", "_low", "_high")] == [0.5, 0.4, 0.6]
    assert [found[f"slice_roc_auc{end}/target group: women"] for end in ("", "_low", "_high")] == [0.5, 0.4, 0.6]
    assert found["slice_rows/target group: few"] == 50
    assert found["ap_corpus_edos"] == 0.5
    missing = {"recall_review", "slice_ap/target group: few", "slice_roc_auc/target group: few", "threshold_auto"}
    assert not missing & set(found)


def test_names_of_slices_are_accepted_and_distinct() -> None:
    names = ["a/b=1", "a b/1", "a/b:1", "..", ".", " ", "", "ünï", "日本", "x" * 400, "a|b\nc", "$5 & more"]
    found = logged.metrics(metrics_of(*map(slice_of, names)), Thresholds(None, None, {}))
    sliced = [name for name in found if name.startswith("slice_rows/")]
    assert len(sliced) == len(names)
    for name in found:
        assert ACCEPTED.fullmatch(name), name
        assert not {"", ".", ".."} & set(name.split("/")), name


@dataclass(frozen=True)
class Fitted:
    losses: Any


def test_searches_and_fits_are_curves_and_parameters_are_flat() -> None:
    config = TrainingConfig.model_validate({"trees": {"max_depth": 4}})
    tuned = Tuned(config, 0.5, 0.4, 0.01, 3, 1, True, 2.0, {"trees": ((0, 0.5), (2, 0.4))})
    assert logged.curves(Fitted(np.array([0.6, 0.5, 0.55])), tuned) == {  # type: ignore[arg-type]
        "fit/out-of-fold log loss by tree": [(1, 0.6), (2, 0.5), (3, 0.55)],
        "search/trees - out-of-fold log loss by trial": ((0, 0.5), (2, 0.4)),
    }
    found = logged.parameters(config, tuned)
    assert (found["trees.max_depth"], found["search.trials"], found["search.result"]) == ("4", 3, "better")
    assert "search.trials" not in logged.parameters(config, None)


@pytest.mark.parametrize("name", ["", "...", "/"])
def test_a_name_is_never_empty(name: str) -> None:
    assert logged.safe_name(name) == "_"
