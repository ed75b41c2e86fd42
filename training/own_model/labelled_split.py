"""A harm's labelled rows for fitting a model of your own: training set, calibration set and test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.offline.frames import point_in_time
from leads.db.engine import open_engine
from leads.errors import InvalidInput, NotEnoughData
from leads.policies import HarmPolicy, Policies, load_policies
from leads.settings import Settings
from models.manifest import TEXT_SCORE
from models.text.stage import TextStage
from training.config import SEED, TrainingConfig, load_config
from training.data import dataset, split
from training.data.dataset import Dataset
from training.data.gathered import MIN_HELD_OUT
from training.fit.counts import TextCounts
from training.fit.text import fit_text
from training.fit.training_set import encoder_of, text_counts, training_rows
from training.joining import FrameSource
from training.own_model.checks import HOW_TO_DECLARE

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class SplitPart:
    """One part of a harm's labelled rows.

    Args:
        X: (n, columns) float32 data frame; NaN where a value is missing.
        y: (n,) True for violating rows.
        texts: n texts; None for a row without text.
        weights: (n,) the weight of each label in fitting.
        at: (n,) positions of the rows in the data set.
    """

    X: pd.DataFrame
    y: Bools
    texts: list[str | None]
    weights: Doubles
    at: Ints

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        return f"{len(self):,} rows, {int(self.y.sum()):,} violating"


@dataclass(frozen=True, repr=False)
class LabelledSplit:
    """One harm's labelled rows in three parts. Equal texts are always in the same part.

    Args:
        columns: of every `X`: the features of the harm's contract, those requested in addition, then `text.score` if it
            was requested.
        train: the training set.
        calibration: a fifth of the rows that aren't held out, to fit the calibrator and choose the tiers. Don't fit
            the model on it.
        test: held out, as for every version of this harm. Use it neither to fit the model nor to choose one.
        text_stage: computes `text.score`; None if it wasn't requested.
    """

    settings: Settings
    policy: HarmPolicy
    config: TrainingConfig
    data: Dataset
    columns: tuple[str, ...]
    train: SplitPart
    calibration: SplitPart
    test: SplitPart
    text_stage: TextStage | None
    frame: FrameSource

    @property
    def harm(self) -> str:
        return self.data.harm

    @cached_property
    def learned_text_scores(self) -> dict[int, float]:
        """Out-of-fold text log-odds by text hash of the texts that the text stage was fitted on."""
        if self.text_stage is None:
            return {}
        groups = self.data.groups[self.train.at].tolist()
        return dict(zip(groups, self.train.X[TEXT_SCORE].tolist(), strict=True))

    def __repr__(self) -> str:
        parts = "\n".join(f"  {name:<11} {getattr(self, name)!r}" for name in ("train", "calibration", "test"))
        return f"{self.harm}: {len(self.columns)} columns\n{parts}"


def labelled(
    harm: str,
    *,
    settings: Settings | None = None,
    policies: Policies | None = None,
    text_score: bool = False,
    extra_features: Sequence[str] = (),
    frame: FrameSource = point_in_time,
) -> LabelledSplit:
    """All of a harm's labels with the features each subject had when it was scored, in three parts.

    Args:
        settings: default: from the environment, with a relative home resolved against the project's folder.
        policies: default: the file that the settings name.
        text_score: add the column `text.score`, the log-odds of the text alone. In the training set it is
            out-of-fold; in the other parts it comes from the stage fitted on the whole training set, which the
            registered version carries.
        extra_features: add these features as columns. They exist, but the harm's contract leaves them out because they
            are declared with `default: false`.
        frame: how features at given instants are looked up.

    Raises:
        NotFound: the harm doesn't exist, or there are decisions but no features yet.
        NotEnoughData: too few labels; says how many there are and what is missing.
        InvalidInput: `text_score` for a harm whose policy doesn't use text, a feature that doesn't exist, or imported
            labels that can't be read.
        ConfigurationError: settings, policies or the harm's training configuration are invalid.
    """
    settings = settings or _project_settings()
    policy = (policies or load_policies(settings.policies)).harm(harm)
    if text_score and not policy.text:
        raise InvalidInput(f"The policy of {harm} doesn't use text.", field="text_score", remedy="Omit text_score.")
    config = load_config(settings, harm)
    engine = open_engine(settings)
    try:
        data = dataset.assemble(settings, engine, harm, policy, config=config, frame=frame, seed=SEED)
    finally:
        engine.dispose()
    data = _with_extra(data, extra_features)
    train, calibration, test = _split(data)
    matrix, columns, stage = data.features, data.contract.names, None
    counts = text_counts(policy, config, data.texts, encoder_of(settings, policy, config)) if text_score else None
    if counts is not None:
        scores, stage = _text_scores(counts, config, data, train)
        matrix, columns = np.column_stack((matrix, scores)), (*columns, TEXT_SCORE)
    return LabelledSplit(
        settings=settings,
        policy=policy,
        config=config,
        data=data,
        columns=columns,
        train=_part(data, matrix, columns, train),
        calibration=_part(data, matrix, columns, calibration),
        test=_part(data, matrix, columns, test),
        text_stage=stage,
        frame=frame,
    )


def _project_settings() -> Settings:
    # This imports Feast, which the frames need anyway.
    from features.feast.repo_settings import project_settings

    return project_settings()


def _with_extra(data: Dataset, names: Sequence[str]) -> Dataset:
    """The data set with these features as well."""
    known, optional = data.contract.names, [one.column.name for one in data.optional]
    for name in names:
        if name not in known and name not in optional:
            raise InvalidInput(
                f"There is no feature {name!r}.",
                field="extra_features",
                remedy=f"Features that can be added: {', '.join(sorted(optional))}. {HOW_TO_DECLARE}",
            )
    return data.with_features(list(dict.fromkeys((*known, *names)))) if names else data


def _split(data: Dataset) -> tuple[Ints, Ints, Ints]:
    """The positions of training, calibration and test set."""
    rest = training_rows(data)
    clusters, labels = data.clusters[rest], data.labels[rest]
    fold = split.folds(clusters, seed=SEED)
    drawn = split.draw(clusters, SEED) / 2.0**64
    chosen = split.at_least(fold == 0, drawn, clusters, labels, least=MIN_HELD_OUT)
    train, calibration = rest[~chosen], rest[chosen]
    for name, part in (("training", train), ("calibration", calibration)):
        labels = data.labels[part]
        fewest = min(labels.sum(), (~labels).sum())
        if fewest < MIN_HELD_OUT:
            raise NotEnoughData(
                f"The {name} set has {len(labels)} labels, {int(labels.sum())} of them violating; "
                f"{MIN_HELD_OUT} violating and {MIN_HELD_OUT} others are needed.",
                field=data.harm,
                remedy="Ingest or make more decisions, or run leads train, which needs fewer.",
            )
    return train, calibration, np.flatnonzero(data.held_out)


def _text_scores(counts: TextCounts, config: TrainingConfig, data: Dataset, train: Ints) -> tuple[Floats, TextStage]:
    """(n,) text log-odds of all rows, NaN for rows without usable text; and the stage fitted on the training set."""
    with_text = train[counts.present[train]]
    # With the split's own seed all of these rows would fall into four of the five folds.
    folds = split.folds(data.clusters[with_text], seed=SEED + 1)
    labels, weights = data.labels[with_text], data.weights[with_text]
    fitted = fit_text(counts, with_text, labels, folds, config=config.text, weights=weights, seed=SEED)
    scores = np.full(len(data.rows), np.nan, dtype=np.float32)
    scores[with_text] = fitted.out_of_fold
    others = np.setdiff1d(np.arange(len(data.rows)), train)
    texts = data.texts
    scores[others] = fitted.stage.log_odds([texts[i] for i in others.tolist()])
    return scores, fitted.stage


def _part(data: Dataset, matrix: Floats, columns: tuple[str, ...], at: Ints) -> SplitPart:
    import pandas as pd

    texts = data.texts
    frame = pd.DataFrame(matrix[at], columns=list(columns))
    return SplitPart(frame, data.labels[at], [texts[i] for i in at.tolist()], data.weights[at], at)
