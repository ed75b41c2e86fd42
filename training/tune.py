"""Tunes one harm on its own data and keeps what was found as a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

from features.offline.frames import point_in_time
from leads.db.tables import open_engine
from leads.policies import Policies
from leads.settings import Settings
from training.build import encoder_of
from training.config import TrainingConfig, load_config
from training.data import dataset
from training.data.dataset import FrameSource
from training.fit.text import count_texts
from training.fit.tune import Tuned, tune
from training.train import SEED, OnProgress


class Kept(NamedTuple):
    """What was found, and the file that holds it."""

    tuned: Tuned
    path: Path


def tune_harm(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    on_progress: OnProgress | None = None,
    frame: FrameSource = point_in_time,
) -> Kept:
    """Search from the harm's configuration; what is found is written to `tuned/<harm>.yaml` below LEADS_HOME.

    Args:
        trials, minutes: instead of the configuration's.

    Raises:
        NotFound, NotEnoughData, ConfigurationError, Unavailable: as `train`.
    """
    policy, config = policies.harm(harm), load_config(settings, harm)
    given = {name: value for name, value in (("trials", trials), ("minutes", minutes)) if value is not None}
    config = config.model_copy(update={"tuning": config.tuning.model_copy(update=given)})

    def tell(step: str, done: int, total: int) -> None:
        if on_progress:
            on_progress(step, done, total)

    engine = open_engine(settings)
    try:
        tell("gathering labels and features", 0, 1)
        data = dataset.assemble(settings, engine, harm, policy, config=config, frame=frame, seed=SEED)
    finally:
        engine.dispose()
    counts = None
    if policy.text:
        encoder = encoder_of(settings, config)
        counts = count_texts(
            data.texts, encoder, on_encoded=lambda done, new: tell(f"encoding new texts, {done:,} of {new:,}", 0, 1)
        )
    tuned = tune(data, counts, config, threads=settings.threads, seed=SEED, on_trial=tell)
    return Kept(tuned, _write(settings, harm, tuned))


def _write(settings: Settings, harm: str, tuned: Tuned) -> Path:
    path = settings.root / "tuned" / f"{harm}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    said = (
        f"# Found by leads train {harm} --tune: {tuned.trials} trials, {tuned.pruned} given up early.\n"
        f"# Held-out log loss {tuned.after:.5f} instead of {tuned.before:.5f}.\n"
    )
    path.write_text(said + as_yaml(tuned.config), encoding="utf-8")
    return path


def as_yaml(config: TrainingConfig) -> str:
    """What differs from the defaults, as `LEADS_TRAINING` has it."""
    return yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True) or {}, sort_keys=False)
