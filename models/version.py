"""A model version, loaded from its folder: features and text → vector → margin → score → tier.

Serving's request path imports this module, so it imports neither MLflow nor pandas nor scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from features.contract import FeatureContract
from leads.errors import InvalidInput, ModelRefused
from leads.language.detection import UNKNOWN
from leads_client.fields import Tier
from models import golden, languages, manifest
from models.calibrator import Calibrator
from models.scores import Scores
from models.text.sentence import Place
from models.text.stage import TextStage
from models.thresholds import Thresholds
from models.trees import margins

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

UNREGISTERED = "unregistered"
# In log-odds; single precision is more exact.
_NO_DIFFERENCE = 1e-5


@dataclass(frozen=True)
class ModelVersion:
    """One version of a harm's model. Scoring is deterministic and thread-safe.

    Args:
        uses_text: whether the text is scored.
        starts_from: where the margin starts before the trees; see `models.manifest.Manifest`.
        input_names: the booster's m columns in order.
        text_stage: None if the text isn't scored.
        languages: those that it was trained on; None if that isn't known.
    """

    harm: str
    version: str
    contract: FeatureContract
    uses_text: bool
    starts_from: manifest.StartsFrom
    input_names: tuple[str, ...]
    thresholds: Thresholds
    calibrator: Calibrator
    prior_log_odds: float
    booster: xgboost.Booster
    text_stage: TextStage | None
    folder: Path
    languages: frozenset[str] | None = None

    @cached_property
    def name(self) -> str:
        """The name of the harm's registered model."""
        return model_name(self.harm)

    @cached_property
    def contract_hash(self) -> str:
        """The contract's hash, computed once."""
        return self.contract.hash

    @property
    def encodes(self) -> bool:
        """Whether the text stage uses sentence vectors, which take time and differ slightly between processors."""
        return self.text_stage is not None and self.text_stage.sentence is not None

    def saw(self, language: str) -> bool:
        """Whether it was trained on texts in this language. True if its languages or the text's aren't known."""
        return self.languages is None or language == UNKNOWN or language in self.languages

    def text_scores(self, texts: Sequence[str | None]) -> Floats:
        """(n,) log-odds of n texts, which become `text.score` in the vector; NaN without text. Texts don't affect each
        other."""
        if self.text_stage is None:
            return np.full(len(texts), np.nan, dtype=np.float32)
        return self.text_stage.log_odds(texts)

    def score(self, features: Floats, texts: Sequence[str | None]) -> Scores:
        """Score n subjects.

        Args:
            features: (n, k) float32, the contract's columns in order; NaN where a value is missing.
            texts: n texts; None where there is none. Ignored if the version doesn't use text.

        Raises:
            InvalidInput: the shapes don't fit the contract or each other.
        """
        if len(texts) != len(features):
            raise InvalidInput(
                f"There are {len(features)} rows of features but {len(texts)} texts; give one text or None per row."
            )
        if not self.uses_text:
            return self.score_vector(features)
        return self.score_vector(np.column_stack((features, self.text_scores(texts))))

    def score_vector(self, vector: Floats) -> Scores:
        """Score (n, m) booster inputs, as `score` returns them or the prediction log stores them.

        Raises:
            InvalidInput: the number of columns isn't that of `input_names`.
        """
        vector = self._checked(vector)
        if not len(vector):
            return Scores(vector, np.empty(0), np.empty(0))
        margin = margins(self.booster, vector)
        if self.starts_from != "booster":
            # Cheaper than passing a base margin to XGBoost, which would double its time.
            margin = margin - self._own_start + self._base_margin(vector)
        return Scores(vector, margin, self.calibrator.score(margin))

    def contributions(self, vector: Floats) -> Floats:
        """(n, m + 1) contributions of the inputs of (n, m) vectors to their margins, in log-odds; the last is the bias.

        Each row sums to its margin. The text's own log-odds count as the contribution of `text.score`. Takes about 1 ms
        per row, so compute it on demand.

        Raises:
            InvalidInput: the number of columns isn't that of `input_names`.
        """
        vector = self._checked(vector)
        if not len(vector):
            return np.empty((0, vector.shape[1] + 1), dtype=np.float32)
        base = None if self.starts_from == "booster" else self._base_margin(vector)
        matrix = xgboost.DMatrix(vector, base_margin=base, nthread=1)
        parts: Floats = self.booster.predict(matrix, pred_contribs=True, validate_features=False)
        if base is not None and self.starts_from == "text":
            from_text = base - np.float32(self.prior_log_odds)
            parts[:, -2] += from_text
            parts[:, -1] -= from_text
        return parts

    def tier(self, score: float) -> Tier:
        """The tier of a score."""
        return self.thresholds.tier(score)

    def tiers(self, scores: Scores) -> list[Tier]:
        """The tiers of n scores.

        The tier is "none" where nothing was read: there is no text, and the trees add nothing. Such a score is the
        share of violating rows among the labels, whatever the subject is.
        """
        found = [self.tier(score) for score in scores.score.tolist()]
        if self.starts_from == "text":
            without_text = np.isnan(scores.vector[:, -1])
            nothing = without_text & (np.abs(scores.margin - self.prior_log_odds) < _NO_DIFFERENCE)
            for n in np.flatnonzero(nothing).tolist():
                found[n] = "none"
        return found

    def verify(self) -> None:
        """Check that the files are those that were registered and that the golden rows reproduce on this machine.

        Raises:
            ModelRefused: a file's hash is wrong, or a golden row differs by more than `models.golden.TOLERANCE`.
        """
        manifest.check_files(self.folder, manifest.read_manifest(self.folder))
        golden.check(
            self.score,
            golden.GoldenRows.from_json(manifest.read_file(self.folder, manifest.GOLDEN)),
            tolerance=golden.tolerance(self.encodes),
        )

    def _checked(self, vector: Floats) -> Floats:
        if vector.ndim != 2 or vector.shape[1] != len(self.input_names):
            raise InvalidInput(f"The input has shape {vector.shape}; {self.name} needs (n, {len(self.input_names)}).")
        return np.ascontiguousarray(vector, dtype=np.float32)

    @cached_property
    def _own_start(self) -> float:
        """The booster's own base margin, which it uses if it is given none."""
        row = np.zeros((1, len(self.input_names)), dtype=np.float32)
        options: dict[str, Any] = {"predict_type": "margin", "validate_features": False}
        own = self.booster.inplace_predict(row, **options)
        from_zero = self.booster.inplace_predict(row, base_margin=np.zeros(1, dtype=np.float32), **options)
        return float(own.item()) - float(from_zero.item())

    def _base_margin(self, vector: Floats) -> Floats:
        prior = np.float32(self.prior_log_odds)
        if self.starts_from != "text":
            return np.full(len(vector), prior, dtype=np.float32)
        return np.where(np.isnan(vector[:, -1]), prior, vector[:, -1])


def unregistered(
    harm: str,
    contract: FeatureContract,
    booster: xgboost.Booster,
    calibrator: Calibrator,
    thresholds: Thresholds,
    *,
    starts_from: manifest.StartsFrom,
    text_stage: TextStage | None = None,
    prior_log_odds: float = 0.0,
) -> ModelVersion:
    """A fitted model as the version it will become, so it can be measured before its folder is written."""
    return ModelVersion(
        harm=harm,
        version=UNREGISTERED,
        contract=contract,
        uses_text=text_stage is not None,
        starts_from=starts_from,
        input_names=input_names(contract, uses_text=text_stage is not None),
        thresholds=thresholds,
        calibrator=calibrator,
        prior_log_odds=prior_log_odds,
        booster=booster,
        text_stage=text_stage,
        folder=Path(),
    )


def input_names(contract: FeatureContract, *, uses_text: bool) -> tuple[str, ...]:
    """The booster's columns in order: the contract's features, then `text.score` if the text is scored."""
    return (*contract.names, manifest.TEXT_SCORE) if uses_text else contract.names


def model_name(harm: str) -> str:
    """The name of a harm's registered model.

    >>> model_name("spam")
    'leads-spam'
    """
    return f"leads-{harm}"


def load(folder: Path, place: Place | None = None, *, every_file: bool = True) -> ModelVersion:
    """Load a version from its folder. `ModelVersion.verify` then checks its golden rows.

    Nothing in memory depends on the folder afterwards, so damage to its files doesn't reach a version that is loaded.

    Args:
        place: where the sentence encoder is, for a version that needs one.
        every_file: also check the files that scoring doesn't need.

    Raises:
        FilesDamaged: a file is missing or differs from what was registered.
        ModelRefused: a file doesn't fit the others, or can't be used here.
    """
    about = manifest.read_manifest(folder)
    if every_file:
        manifest.check_files(folder, about)
    read = partial(manifest.read_checked, folder, about)
    contract = FeatureContract.from_json(read(manifest.CONTRACT))
    inputs = input_names(contract, uses_text=about.uses_text)
    if contract.hash != about.contract_hash or inputs != about.input_names:
        raise ModelRefused(
            "The feature contract isn't the one that the version was trained with.",
            field="contract.json",
            remedy="Fetch the version again, or train the harm again.",
        )
    text_stage = TextStage.from_bytes(read(manifest.TEXT), place) if about.uses_text else None
    known = languages.parse(read(manifest.LANGUAGES)) if manifest.LANGUAGES in about.files else None
    return ModelVersion(
        harm=about.harm,
        version=manifest.number_of(folder) or UNREGISTERED,
        contract=contract,
        uses_text=about.uses_text,
        starts_from=about.starts_from,
        input_names=about.input_names,
        thresholds=Thresholds.from_json(read(manifest.THRESHOLDS)),
        calibrator=Calibrator.from_json(read(manifest.CALIBRATOR)),
        prior_log_odds=about.prior_log_odds,
        booster=_booster(read(manifest.BOOSTER), len(inputs)),
        text_stage=text_stage,
        folder=folder,
        languages=languages.seen(known),
    )


def _booster(raw: bytes, width: int) -> xgboost.Booster:
    try:
        booster = xgboost.Booster(model_file=bytearray(raw))
    except xgboost.core.XGBoostError as error:
        raise ModelRefused(
            "booster.ubj is not a valid XGBoost model.", field="booster.ubj", remedy="Train the harm again."
        ) from error
    if booster.num_features() != width:
        raise ModelRefused(
            f"The booster takes {booster.num_features()} columns, but the contract has {width}.",
            field="booster.ubj",
            remedy="Train the harm again.",
        )
    # Loading resets the booster to use every core, which would starve the other workers.
    booster.set_param({"nthread": 1})
    return booster
