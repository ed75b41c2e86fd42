"""A harm's rows as one fits a model of one's own on them: to learn from, to calibrate on, to measure on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.offline.frames import point_in_time
from leads.db.tables import open_engine
from leads.errors import InvalidInput, NotEnoughData
from leads.policies import HarmPolicy, Policies, load_policies
from leads.settings import Settings
from models.manifest import TEXT_SCORE
from models.text.stage import TextStage
from training.build import encoder_of
from training.config import TrainingConfig, load_config
from training.data import dataset, split
from training.data.dataset import MIN_HELD_OUT, Dataset, FrameSource
from training.fit.text import count_texts, fit_text
from training.train import SEED

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Rows:
    """Some of a harm's rows.

    Args:
        X: (n, columns) float32 data frame; NaN where a value is missing.
        y: (n,) True where the row violates.
        texts: n texts, None where there is none.
        weights: (n,) how much each label counts in fitting.
        at: (n,) where the rows stand in the data set.
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
class Labelled:
    """One harm's rows in three parts, none of which shares a text with another.

    Args:
        columns: those of every `X`, by the contract; `text.score` the last where it was asked for.
        learn: to fit on.
        calibrate: a fifth of what isn't held out, for the calibrator and the tiers: leave it out of fitting.
        test: held out, as it is from every version of this harm: leave it out of fitting, and of choosing too.
        text_stage: what gives `text.score`; None where it wasn't asked for.
    """

    settings: Settings
    policy: HarmPolicy
    config: TrainingConfig
    data: Dataset
    columns: tuple[str, ...]
    learn: Rows
    calibrate: Rows
    test: Rows
    text_stage: TextStage | None
    frame: FrameSource

    @property
    def harm(self) -> str:
        return self.data.harm

    @cached_property
    def learned_text_scores(self) -> dict[int, float]:
        """Out-of-fold text log-odds by text hash, of the rows that the text stage learned from."""
        if self.text_stage is None:
            return {}
        groups = self.data.groups[self.learn.at].tolist()
        return dict(zip(groups, self.learn.X[TEXT_SCORE].tolist(), strict=True))

    def __repr__(self) -> str:
        parts = "\n".join(f"  {name:<10} {getattr(self, name)!r}" for name in ("learn", "calibrate", "test"))
        return f"{self.harm}: {len(self.columns)} columns\n{parts}"


def labelled(
    harm: str,
    *,
    settings: Settings | None = None,
    policies: Policies | None = None,
    text_score: bool = False,
    frame: FrameSource = point_in_time,
) -> Labelled:
    """All of a harm's labels with the features of their time, in three parts.

    Args:
        settings: default: the environment's, a relative home taken from the project's folder.
        policies: default: those that the settings name.
        text_score: add the column `text.score`: log-odds by the text alone. For the rows to learn from by stages that
            didn't see them, for the others by the stage fitted on all of those; a version takes that stage along.

    Raises:
        NotFound: no such harm, or decisions but no features yet.
        NotEnoughData: too few labels; says how many there are and what is missing.
        InvalidInput: `text_score` of a harm that isn't judged by text, or kept labels that can't be read.
        ConfigurationError: settings, policies or the harm's training configuration are wrong.
    """
    settings = settings or _project_settings()
    policy = (policies or load_policies(settings.policies)).harm(harm)
    if text_score and not policy.text:
        raise InvalidInput(f"{harm} isn't judged by text.", field="text_score", remedy="Leave text_score out.")
    config = load_config(settings, harm)
    engine = open_engine(settings)
    try:
        data = dataset.assemble(settings, engine, harm, policy, config=config, frame=frame, seed=SEED)
    finally:
        engine.dispose()
    learn, calibrate, test = _split(data)
    matrix, columns, stage = data.features, data.contract.names, None
    if text_score:
        scores, stage = _text_scores(settings, config, data, learn)
        matrix, columns = np.column_stack((matrix, scores)), (*columns, TEXT_SCORE)
    return Labelled(
        settings=settings,
        policy=policy,
        config=config,
        data=data,
        columns=columns,
        learn=_rows(data, matrix, columns, learn),
        calibrate=_rows(data, matrix, columns, calibrate),
        test=_rows(data, matrix, columns, test),
        text_stage=stage,
        frame=frame,
    )


def _project_settings() -> Settings:
    # It imports Feast, which the frames need anyway.
    from features.feast.repo_settings import project_settings

    return project_settings()


def _split(data: Dataset) -> tuple[Ints, Ints, Ints]:
    rest = np.flatnonzero(~data.held_out)
    fold = split.folds(data.clusters[rest], seed=SEED)
    learn, calibrate = rest[fold != 0], rest[fold == 0]
    for name, part in (("learn from", learn), ("calibrate on", calibrate)):
        labels = data.labels[part]
        fewest = min(labels.sum(), (~labels).sum())
        if fewest < MIN_HELD_OUT:
            raise NotEnoughData(
                f"There are {len(labels)} labels to {name}, {int(labels.sum())} of them violating; it takes "
                f"{MIN_HELD_OUT} of each kind.",
                field=data.harm,
                remedy="Ingest or make more decisions, or train it with leads train, which does with fewer.",
            )
    return learn, calibrate, np.flatnonzero(data.held_out)


def _text_scores(settings: Settings, config: TrainingConfig, data: Dataset, learn: Ints) -> tuple[Floats, TextStage]:
    """(n,) log-odds of all rows, NaN where nothing is found in a text, and the stage fitted on the rows `learn`."""
    counts = count_texts(data.texts, encoder_of(settings, config))
    said = learn[counts.present[learn]]
    # Another seed than that of the split, or all of them would be in four folds of five.
    folds = split.folds(data.clusters[said], seed=SEED + 1)
    labels, weights = data.labels[said], data.weights[said]
    fitted = fit_text(counts, said, labels, folds, config=config.text, weights=weights, seed=SEED)
    scores = np.full(len(data.rows), np.nan, dtype=np.float32)
    scores[said] = fitted.out_of_fold
    others = np.setdiff1d(np.arange(len(data.rows)), learn)
    texts = data.texts
    scores[others] = fitted.stage.log_odds([texts[i] for i in others.tolist()])
    return scores, fitted.stage


def _rows(data: Dataset, matrix: Floats, columns: tuple[str, ...], at: Ints) -> Rows:
    import pandas as pd

    texts = data.texts
    frame = pd.DataFrame(matrix[at], columns=list(columns))
    return Rows(frame, data.labels[at], [texts[i] for i in at.tolist()], data.weights[at], at)
