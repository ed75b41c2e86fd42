"""Writes a version's folder. The files are read back before the golden rows are computed, so the rows verify them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost

from features.contract import FeatureContract
from leads import clock
from leads.clock import Micros
from leads.errors import Conflict
from leads.files import private_folder
from models import golden, languages, manifest
from models.calibrator import Calibrator
from models.manifest import Manifest, sha256
from models.reference_columns import About
from models.text.sentence import Place
from models.text.stage import TextStage
from models.thresholds import Thresholds
from models.training_rows import to_bytes
from models.version import ModelVersion, input_names, load

Floats = npt.NDArray[np.float32]
Groups = npt.NDArray[np.uint64]
MAX_REFERENCE_ROWS = 5_000


@dataclass(frozen=True)
class Parts:
    """The parts of a version.

    Args:
        text_stage: None if the text isn't scored.
        reference: (r, m) booster inputs, the sample that drift is measured against. At most 5,000 rows are kept.
        reference_labels: (r,) their labels, None where unknown.
        reference_about: what else is known of them; None: nothing.
        metrics: JSON.
        card: Markdown.
        trained_on: (t,) hashes of the rows that it was trained on, see `models.training_rows`; None if unknown.
        languages: the number of distinct rows that it was trained on by language, see `models.languages`; None if
            unknown.
        own_start: the booster starts from its own base score instead of the text's log-odds or the prior.
        extra: further files by name, JSON.
    """

    harm: str
    contract: FeatureContract
    booster: xgboost.Booster
    text_stage: TextStage | None
    prior_log_odds: float
    calibrator: Calibrator
    thresholds: Thresholds
    reference: Floats
    reference_labels: Sequence[bool | None]
    metrics: bytes
    card: str
    trained_on: Groups | None = None
    languages: Mapping[str, int] | None = None
    own_start: bool = False
    reference_about: About | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def input_names(self) -> tuple[str, ...]:
        return input_names(self.contract, uses_text=self.text_stage is not None)

    @property
    def starts_from(self) -> manifest.StartsFrom:
        if self.own_start:
            return "booster"
        return "text" if self.text_stage else "prior"


def write_version(
    folder: Path, parts: Parts, *, created_at: Micros | None = None, place: Place | None = None
) -> ModelVersion:
    """Write a version to `folder`, which must not exist, then load and verify it.

    Args:
        created_at: µs since epoch; default: now.
        place: where the sentence encoder is, for a text stage that needs one.

    Raises:
        Conflict: the folder exists.
        ModelRefused: the written version doesn't reproduce its own scores.
    """
    if folder.exists():
        raise Conflict("The folder already exists.", field=str(folder), remedy="Choose another, or remove it.")
    draft = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(draft, ignore_errors=True)
    private_folder(draft)
    about = Manifest(
        harm=parts.harm,
        contract_hash=parts.contract.hash,
        uses_text=parts.text_stage is not None,
        input_names=parts.input_names,
        starts_from=parts.starts_from,
        prior_log_odds=parts.prior_log_odds,
        created_at=clock.now() if created_at is None else created_at,
        files={},
    )
    _write(draft, about, _files(parts))
    version = load(draft, place)
    sample = parts.reference[:, : len(parts.contract.columns)]
    about = _write(
        draft,
        manifest.read_manifest(draft),
        {manifest.GOLDEN: golden.make(version.score, len(version.contract.columns), sample).to_json()},
    )
    _write(draft, about, {manifest.REFERENCE: _reference(version, parts)})
    draft.rename(folder)
    version = load(folder, place)
    version.verify()
    return version


def _files(parts: Parts) -> dict[str, bytes]:
    files = {
        manifest.CONTRACT: parts.contract.to_json(),
        manifest.BOOSTER: bytes(parts.booster.save_raw("ubj")),
        manifest.CALIBRATOR: parts.calibrator.to_json(),
        manifest.THRESHOLDS: parts.thresholds.to_json(),
        manifest.METRICS: msgspec.json.format(parts.metrics, indent=2),
        manifest.CARD: parts.card.encode(),
    }
    if parts.trained_on is not None:
        files[manifest.TRAINED_ON] = to_bytes(parts.trained_on)
    if parts.languages is not None:
        files[manifest.LANGUAGES] = languages.to_bytes(parts.languages)
    if parts.text_stage:
        files[manifest.TEXT] = parts.text_stage.to_bytes()
    files |= {name: msgspec.json.format(raw, indent=2) for name, raw in parts.extra.items()}
    return files


def _write(folder: Path, about: Manifest, files: dict[str, bytes]) -> Manifest:
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    about = msgspec.structs.replace(about, files={**about.files, **{name: sha256(raw) for name, raw in files.items()}})
    (folder / manifest.MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2))
    return about


def _reference(version: ModelVersion, parts: Parts) -> bytes:
    """The drift reference as Parquet: one float column per input, `score`, `label`, and what is known of the rows."""
    scores = version.score_vector(parts.reference[:MAX_REFERENCE_ROWS])
    columns = {name: pa.array(scores.vector[:, j]) for j, name in enumerate(version.input_names)}
    columns["score"] = pa.array(scores.score)
    columns["label"] = pa.array(list(parts.reference_labels[:MAX_REFERENCE_ROWS]), type=pa.bool_())
    if parts.reference_about is not None:
        columns |= parts.reference_about.columns(len(scores.vector))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue().to_pybytes())
