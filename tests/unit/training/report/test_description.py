"""Descriptions fit into MLflow's column, and say what is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.ui.models import figures
from leads.policies import HarmPolicy, TierPolicy
from models.version import ModelVersion, load
from tests.support.training.fake_registry import write_model
from tests.support.training.scripted import CONTRACT, HARM
from training.evidence import Evidence
from training.report import card, description
from training.report.calibration import Chance
from training.report.evaluate import AtTier, Evaluation
from training.report.measure import Metrics
from training.report.paired import Interval
from training.report.slices import Slice

ROWS = Evidence(100, 40, 100, 40, 60)
HALF = Interval(0.5, 0.4, 0.6)
URI = "https://ann:secret@mlflow.example.com/"
POLICY = HarmPolicy(
    title="Made",
    subject_types=("account", "track"),
    severity=2.5,
    dsa_category="STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
    text=False,
    review=TierPolicy(precision=0.6),
)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    folder = tmp_path_factory.mktemp("version") / "made"
    write_model(folder, HARM, CONTRACT, skilled=True)
    return load(folder)


def metrics_of(slices: int) -> Metrics:
    test = Evaluation(ROWS, "", HALF, HALF, HALF, HALF, Chance(0.4, 0.3), ())
    sliced = (
        Slice("language", f"language number {i}", i, i, 2, HALF, 0.8, 0.02, 0.8, 0.4, HALF, i == 3, "ROC AUC 0.5")
        for i in range(slices)
    )
    return Metrics(100, 40, None, 5, ROWS, ROWS, ROWS, test, {}, tuple(sliced))


@pytest.mark.parametrize("slices", [0, 1, 7, 60, 600])
def test_as_many_slices_are_shown_as_there_is_room_for(
    version: ModelVersion, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(description, "metrics_of", lambda _: metrics_of(slices))
    text = description.of_version(
        POLICY, version, {"trained_by": "ana"}, mlflow_uri=URI, number="7", gate="### Gate\n\nPassed."
    )
    assert len(text) <= description.LONGEST
    for part in ("by ana", "0.500 (0.400 to 0.600)", "### Gate", "leads-made/7", "`language_unseen`"):
        assert part in text
    shown = text.count("| language: ")
    assert shown == slices if slices < 10 else 5 < shown < slices
    # The one that is far behind comes first, whatever its size.
    assert ("language number 3" in text) == (slices > 3)
    assert ("smaller slices are in the model card" in text) == (shown < slices)


def test_a_gate_that_says_a_lot_takes_the_room(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "metrics_of", lambda _: metrics_of(5))
    text = description.of_version(POLICY, version, {}, mlflow_uri=URI, gate="### Gate\n\n" + "x" * 6_000)
    assert len(text) == description.LONGEST
    assert "models:/leads-made/VERSION" in text


def test_what_an_earlier_release_wrote_is_described_as_far_as_it_can_be_read(version: ModelVersion) -> None:
    text = description.of_version(POLICY, version, {"leads.why": "a | b\nc"}, mlflow_uri=URI)
    assert "Its figures were written by an earlier release." in text
    assert "- **why**: a | b c\n" in text
    assert "labels" not in text.partition("### Use")[0]


def test_recall_is_of_the_violating_rows() -> None:
    test = Evaluation(ROWS, "", HALF, HALF, HALF, HALF, Chance(0.4, 0.3), (AtTier("review", 0.3, 18, 17, HALF, HALF),))
    rows = Evidence(100, 30, 90, 25, 65)
    found = Metrics(100, 30, None, 5, rows, rows, rows, replace(test, evidence=rows), {}, ())
    text = card.measures(found)
    assert "| precision of tier review, 18 rows (17 distinct) |" in text
    assert "| recall of tier review, 30 violating rows (25 distinct) |" in text
    assert card.measured_on(found) == "Measured on the held-out rows of every source."
    more = replace(found, held_out=Evidence(120, 40, 110, 35, 75))
    assert "labels of this platform; 20 held-out rows of other sources don't count" in card.measured_on(more)
    assert "measured on: labels of the platform, a part of the above" in [row[0] for row in figures.row_counts(more)]
    shown = dict(figures.metrics(found))
    assert shown["recall of review"] == "0.500 (0.400 to 0.600), 30 violating rows (25 distinct)"


def test_a_harm_is_described_by_its_policy() -> None:
    text = description.of_harm(HARM, POLICY, uses_text=True, mlflow_uri=URI)
    for line in (
        "- **scores**: account, track\n",
        "- **severity**: 2.5 of 10\n",
        "- **review tier**: precision of at least 0.6\n",
        "- **auto tier**: none: people decide everything\n",
        "`leads/made`",
        "models:/leads-made@champion",
        'mlflow.set_tracking_uri("https://mlflow.example.com/")  # add',
    ):
        assert line in text
    assert "secret" not in text
    assert len(text) < description.LONGEST


def test_the_card_of_a_data_set_is_read_back_or_none(tmp_path: Path) -> None:
    from training.report import dataset_card

    assert dataset_card.read(tmp_path) is None
    (tmp_path / dataset_card.FILE).write_text("{}")
    assert dataset_card.read(tmp_path) is None
