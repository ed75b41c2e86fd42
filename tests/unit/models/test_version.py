from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads.errors import Conflict, InvalidInput, ModelRefused
from models import manifest
from models.golden import GoldenRows
from models.version import ModelVersion, load

pytestmark = pytest.mark.slow

Write = Callable[..., ModelVersion]


def features_of(version: ModelVersion, n: int, seed: int = 3) -> np.ndarray:
    rows = np.random.default_rng(seed).exponential(size=(n, len(version.contract.columns))).astype(np.float32)
    rows[::4] = np.nan
    return rows


def test_a_written_version_loads_and_proves_itself(version: ModelVersion) -> None:
    again = load(version.folder)
    again.verify()
    assert (again.harm, again.name, again.version) == ("spam", "leads-spam", "unregistered")
    assert again.input_names == (*again.contract.names, "text.score")


def test_the_number_given_by_the_registry_is_the_versions(write: Write) -> None:
    folder = write().folder
    (folder / manifest.VERSION).write_text("7\n")
    again = load(folder)
    again.verify()
    assert again.version == "7"


def test_a_logged_vector_gives_the_same_score(version: ModelVersion) -> None:
    scores = version.score(features_of(version, 9), ["free money", None, "", *["lovely song"] * 6])
    again = version.score_vector(scores.vector)
    assert np.array_equal(again.score, scores.score)
    assert np.array_equal(again.margin, scores.margin)
    assert scores.vector.shape == (9, len(version.input_names))
    assert scores.vector.dtype == np.float32
    assert ((scores.score > 0) & (scores.score < 1)).all()


def test_a_row_scores_alone_as_it_does_among_others(version: ModelVersion) -> None:
    features = features_of(version, 12)
    texts = [f"free money {i} at www.example.com" for i in range(12)]
    together = version.score(features, texts).score
    alone = [version.score(features[i : i + 1], texts[i : i + 1]).score[0] for i in range(12)]
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("rounds", [0, 8])
@pytest.mark.parametrize("text", [True, False])
def test_contributions_add_up_to_the_margin(write: Write, text: bool, rounds: int) -> None:
    version = write(text=text, rounds=rounds)
    texts = ["free money", None, "you are an idiot", "lovely"]
    scores = version.score(features_of(version, 4), texts)
    parts = version.contributions(scores.vector)
    assert parts.shape == (4, len(version.input_names) + 1)
    assert np.allclose(parts.sum(axis=1), scores.margin, atol=1e-5)


def test_the_text_contributes_as_text_and_not_as_bias(write: Write) -> None:
    version = write(rounds=0)
    scores = version.score(features_of(version, 2), ["free money", None])
    parts = version.contributions(scores.vector)
    assert np.allclose(parts[:, -1], version.prior_log_odds)
    assert parts[0, -2] == pytest.approx(scores.vector[0, -1] - version.prior_log_odds)
    assert parts[1, -2] == 0


def test_without_text_and_trees_the_margin_is_the_prior(write: Write) -> None:
    version = write(text=False, rounds=0)
    scores = version.score(features_of(version, 3), [None] * 3)
    assert np.array_equal(scores.margin, [-2.0] * 3)
    assert np.isnan(version.text_scores(["free"])).all()


def test_no_rows_give_no_scores(version: ModelVersion) -> None:
    scores = version.score(features_of(version, 0), [])
    assert scores.vector.shape == (0, len(version.input_names))
    assert scores.score.shape == (0,)
    assert version.contributions(scores.vector).shape == (0, len(version.input_names) + 1)


def test_shapes_that_do_not_fit_are_refused(version: ModelVersion) -> None:
    with pytest.raises(InvalidInput, match="2 rows of features but 1 texts"):
        version.score(features_of(version, 2), ["one"])
    with pytest.raises(InvalidInput, match="needs"):
        version.score_vector(np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(InvalidInput, match="needs"):
        version.contributions(np.zeros(3, dtype=np.float32))


@pytest.mark.parametrize(
    ("score", "tier"), [(0.0, "none"), (0.2999, "none"), (0.3, "review"), (0.9, "auto"), (1.0, "auto")]
)
def test_a_tier_starts_at_its_threshold(version: ModelVersion, score: float, tier: str) -> None:
    assert version.tier(score) == tier


def test_a_subject_of_which_nothing_was_read_has_no_tier(write: Write, version: ModelVersion) -> None:
    """Half of the labels violate, so that the share alone would reach the tier."""
    on_text = replace(write(rounds=0), prior_log_odds=0.0)
    scores = on_text.score(features_of(on_text, 3), ["free", "lovely", None])
    assert scores.score[2] > 0.3
    assert on_text.tiers(scores)[2] == "none"
    assert on_text.tiers(scores)[:2] == [on_text.tier(score) for score in scores.score[:2].tolist()]
    # Trees that read something about it give it a tier.
    with_trees = replace(version, prior_log_odds=0.0)
    scores = with_trees.score(features_of(with_trees, 3), [None] * 3)
    assert with_trees.tiers(scores) == [with_trees.tier(score) for score in scores.score.tolist()]


@pytest.mark.parametrize(
    "name", ["booster.ubj", "text.npz", "calibrator.json", "thresholds.json", "contract.json", "golden.json"]
)
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "gone"])
def test_a_file_that_is_not_what_was_registered_is_refused(write: Write, name: str, how: str) -> None:
    version = write()
    path = version.folder / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"flip": bytes(raw), "cut": bytes(raw[:-20]), "empty": b""}[how])
    with pytest.raises(ModelRefused, match=name):
        load(version.folder)
    with pytest.raises(ModelRefused, match=name):
        version.verify()


@pytest.mark.parametrize(("name", "raw"), [("text.npz", b"PK"), ("calibrator.json", b"{}"), ("booster.ubj", b"{}")])
def test_a_file_that_matches_its_hash_but_holds_nothing_usable_is_refused(write: Write, name: str, raw: bytes) -> None:
    folder = write().folder
    (folder / name).write_bytes(raw)
    about = manifest.read_manifest(folder)
    changed = msgspec.structs.replace(about, files={**about.files, name: manifest.sha256(raw)})
    (folder / manifest.MANIFEST).write_bytes(msgspec.json.encode(changed))
    with pytest.raises(ModelRefused, match=name.partition(".")[0]):
        load(folder)


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff\xfe", b'{"format": 2}'])
def test_a_manifest_that_is_none_is_refused(write: Write, raw: bytes) -> None:
    folder = write().folder
    (folder / manifest.MANIFEST).write_bytes(raw)
    with pytest.raises(ModelRefused, match=r"model\.json"):
        load(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="can't be read"):
        load(tmp_path / "nowhere")


def test_golden_rows_that_do_not_reproduce_are_refused(write: Write) -> None:
    folder = write().folder
    golden = GoldenRows.from_json((folder / manifest.GOLDEN).read_bytes())
    off = msgspec.structs.replace(golden, score=(golden.score[0] + 1e-4, *golden.score[1:]))
    (folder / manifest.GOLDEN).write_bytes(off.to_json())
    about = manifest.read_manifest(folder)
    files = {**about.files, manifest.GOLDEN: manifest.sha256(off.to_json())}
    (folder / manifest.MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(about, files=files)))
    with pytest.raises(ModelRefused, match="golden rows' score doesn't reproduce"):
        load(folder).verify()


def test_golden_rows_hold_missing_values_and_every_kind_of_text(version: ModelVersion) -> None:
    golden = GoldenRows.from_json((version.folder / manifest.GOLDEN).read_bytes())
    assert len(golden.score) >= 20
    assert any(all(value is None for value in row) for row in golden.features)
    assert None in golden.texts
    assert len(set(golden.score)) > 10


def test_the_reference_sample_names_the_inputs(version: ModelVersion) -> None:
    table = pq.read_table(version.folder / manifest.REFERENCE)
    assert table.column_names == [*version.input_names, "score", "label"]
    vector = np.column_stack([table[name].to_numpy() for name in version.input_names]).astype(np.float32)
    assert np.array_equal(version.score_vector(vector).score, table["score"].to_numpy())


def test_a_version_never_overwrites_another(write: Write) -> None:
    write()
    with pytest.raises(Conflict):
        write()


def test_equal_parts_give_equal_files(write: Write, tmp_path: Path) -> None:
    files = manifest.read_manifest(write().folder).files
    (tmp_path / "version").rename(tmp_path / "first")
    assert manifest.read_manifest(write().folder).files == files


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=60)), min_size=1, max_size=5))
def test_any_text_gives_a_probability(version: ModelVersion, texts: list[str | None]) -> None:
    scores = version.score(features_of(version, len(texts)), texts)
    assert np.isfinite(scores.score).all()


@pytest.mark.slow
def test_loading_brings_in_neither_mlflow_nor_feast() -> None:
    code = "import sys, models.version; sys.exit(any(m in sys.modules for m in ('mlflow', 'feast', 'bentoml')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
