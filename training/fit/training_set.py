"""Fits a harm's model on its training set: the rows of its data set that aren't held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from leads.errors import ConfigurationError
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.registry.encoders import EncoderRegistry
from models.text.sentence import CachedEncoder, open_encoder, place_of
from models.thresholds import Thresholds
from training.config import SEED, TrainingConfig
from training.data import split
from training.data.dataset import Dataset
from training.fit import tiers
from training.fit.counts import TextCounts, count_texts
from training.fit.model import Fit, fit

Ints = npt.NDArray[np.int64]


class FittedOn(NamedTuple):
    """Positions in the data set of the rows that a model was fitted on, and of those for its calibrator and tiers."""

    fit: Ints
    calibration: Ints


def fit_training_set(
    settings: Settings, policy: HarmPolicy, config: TrainingConfig, data: Dataset, counts: TextCounts | None
) -> Fit:
    """Fit text stage, booster and calibrator on the training set.

    Args:
        counts: of all texts of `data`; None for a harm whose policy doesn't use text.
    """
    rows = training_rows(data)
    return fit(
        data.contract,
        data.features[rows],
        data.labels[rows],
        split.folds(data.clusters[rows], seed=SEED),
        counts=counts,
        rows=rows,
        config=config,
        weights=data.weights[rows],
        served=data.served[rows],
        threads=settings.threads,
        seed=SEED,
    )


def choose_thresholds(policy: HarmPolicy, data: Dataset, fitted: Fit) -> Thresholds:
    """Choose the tiers by the out-of-fold scores of those training rows that resemble what will be scored."""
    rows = training_rows(data)
    served = data.served[rows]
    labels, groups = data.labels[rows][served], data.groups[rows][served]
    return tiers.choose(fitted.scores[served], labels, groups, policy, borrowed=data.borrowed)


def fitted_on(data: Dataset) -> FittedOn:
    """The whole training set, and for the calibrator and the tiers those rows of it that resemble what is scored."""
    rows = training_rows(data)
    return FittedOn(fit=rows, calibration=rows[data.served[rows]])


def out_of_fold_text_scores(data: Dataset, fitted: Fit) -> dict[int, float]:
    """The out-of-fold log-odds of each training text by its hash; empty without a text stage."""
    if fitted.text_stage is None:
        return {}
    groups = data.groups[training_rows(data)].tolist()
    return dict(zip(groups, fitted.vector[:, -1].tolist(), strict=True))


def training_rows(data: Dataset) -> Ints:
    """The positions in `data` of the training set."""
    return np.flatnonzero(~data.held_out)


def text_counts(
    policy: HarmPolicy,
    config: TrainingConfig,
    texts: Sequence[str | None],
    encoder: CachedEncoder | None,
    tell: Callable[[str], None] = lambda _: None,
) -> TextCounts | None:
    """Count the n-grams of texts and encode them; None if the policy doesn't use text.

    Args:
        encoder: of `encoder_of`.
        tell: called now and then with how many texts are encoded.
    """
    if not policy.text:
        return None
    return count_texts(
        texts,
        encoder,
        about_groups=config.about_groups,
        on_encoded=lambda done, new: tell(f"encoding new texts, {done:,} of {new:,}"),
    )


def encoder_of(settings: Settings, policy: HarmPolicy, config: TrainingConfig) -> CachedEncoder | None:
    """The encoder that the harm's configuration names, or else the settings; None for none, or if the policy doesn't
    use text.

    A fine-tuned encoder is fetched to this host. Another one may be promoted at any time, so a training asks once.

    Raises:
        ConfigurationError: it isn't installed, or none is promoted.
        ModelRefused: the promoted one can't be fetched.
        Unavailable: the registry can't be reached.
    """
    wanted = encoder_wanted(settings, policy, config)
    if wanted == "minilm":
        return open_encoder(place_of(settings))
    if wanted == "none":
        return None
    registry = EncoderRegistry(settings)
    promoted = registry.promoted()
    if promoted is None:
        if wanted == "auto":
            return None
        raise ConfigurationError(
            "No fine-tuned encoder is promoted.",
            field="LEADS_ENCODER",
            remedy="Promote one: leads encoder promote VERSION, with a version of leads encoder list. Or train one: "
            "leads encoder train",
        )
    registry.ensure(promoted.id)
    return open_encoder(place_of(settings), promoted.id)


def encoder_wanted(
    settings: Settings, policy: HarmPolicy, config: TrainingConfig
) -> Literal["auto", "none", "minilm", "tuned"]:
    """Which kind of encoder a harm is trained with; `auto`: the promoted one, if there is one."""
    return (config.text.encoder or settings.encoder) if policy.text else "none"
