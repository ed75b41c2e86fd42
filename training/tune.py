"""Tunes one harm on its own data and saves the result as a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

from features.offline.frames import point_in_time
from leads.db.engine import open_engine
from leads.files import private_folder
from leads.policies import Policies
from leads.settings import Settings
from training.config import SEED, TrainingConfig, load_config
from training.data import dataset
from training.data.history import History
from training.fit.search import Tuned, search
from training.fit.training_set import encoder_of, text_counts
from training.joining import FrameSource
from training.progress import OnProgress


class SavedTuning(NamedTuple):
    """The result of a search, and the file it was saved to."""

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
    history: History | None = None,
) -> SavedTuning:
    """Search for a better configuration than the harm's, and save the result to `tuned/<harm>.yaml` under LEADS_HOME.

    Args:
        trials, minutes: limits of the search; default: the configuration's.
        on_progress: called with (step, number done, number in all).
        frame: how features at given instants are looked up.
        history: reads the event log once for several harms; None: for this one.

    Raises:
        NotFound, NotEnoughData, ConfigurationError, Unavailable: as `training.train.train`.
    """
    policy, config = policies.harm(harm), load_config(settings, harm)
    given = {name: value for name, value in (("trials", trials), ("minutes", minutes)) if value is not None}
    config = config.model_copy(update={"tuning": config.tuning.model_copy(update=given)})

    def tell(step: str, done: int = 0, total: int = 1) -> None:
        if on_progress:
            on_progress(step, done, total)

    engine = open_engine(settings)
    try:
        tell("gathering labels and features")
        data = dataset.assemble(
            settings, engine, harm, policy, config=config, frame=frame, seed=SEED, history=history, tell=tell
        )
    finally:
        engine.dispose()
    counts = text_counts(policy, config, data.texts, encoder_of(settings, policy, config), tell)
    tuned = search(data, counts, config, threads=settings.threads, seed=SEED, on_trial=tell)
    return SavedTuning(tuned, _save(settings, harm, tuned))


def as_yaml(config: TrainingConfig) -> str:
    """The values that differ from the defaults, as a harm's file in `LEADS_TRAINING`."""
    return yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True) or {}, sort_keys=False)


def _save(settings: Settings, harm: str, tuned: Tuned) -> Path:
    path = settings.root / "tuned" / f"{harm}.yaml"
    private_folder(path.parent)
    comment = (
        f"# Found by leads train {harm} --tune in {tuned.trials} trials, {tuned.pruned} of them pruned.\n"
        f"# Cross-validated log loss {tuned.after:.5f}, before {tuned.before:.5f}.\n"
    )
    path.write_text(comment + as_yaml(tuned.config), encoding="utf-8")
    return path
