"""Searches for a better configuration of one harm with Optuna: first the text heads, then the trees on top of them.

A trial is scored on rows that its fits didn't see, and pruned after a fold if it does worse there than most. The
whole models of the initial and of the best configuration are compared on the same folds, and the initial one is kept
unless the best one is better by more than one standard error of their paired difference. Equal data, seed and number
of trials give the same configuration; if the time limit ends the search, the number of trials depends on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.manifest import TEXT_SCORE
from training.config import TextConfig, TrainingConfig, TreesConfig
from training.data import split
from training.data.dataset import Dataset
from training.fit.calibrate import fit_calibrator, log_loss
from training.fit.counts import TextCounts
from training.fit.text import TextFitter, stack
from training.fit.trees import TreeRows, boost, fit_without, losses, params_of

if TYPE_CHECKING:
    from optuna import Study, Trial

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
# Called with (stage, trials done, trials in all).
OnTrial = Callable[[str, int, int], None]

# Trials that finish before pruning starts.
_WARM_UP = 4


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Args:
        config: the best configuration, or the initial one if none is better by more than `error`.
        before, after: mean out-of-fold log loss of the whole model (text stage and trees) with the initial
            configuration and with `config`, on the same folds.
        error: standard error of the paired difference between the initial configuration and the best one tried. It
            doesn't allow for the choice of the best among many.
        trials, pruned: number of trials, and how many of them were pruned.
        in_time: False if the time limit ended the search.
        seconds: how long it took.
        losses: (number, out-of-fold log loss) of each stage's finished trials, by stage.
    """

    config: TrainingConfig
    before: float
    after: float
    error: float
    trials: int
    pruned: int
    in_time: bool
    seconds: float
    losses: Mapping[str, tuple[tuple[int, float], ...]]

    @property
    def better(self) -> bool:
        return self.after < self.before


class _FoundText(NamedTuple):
    """The best heads, and (n,) out-of-fold log-odds of the initial and of the best ones; NaN for rows without text."""

    best: TextConfig
    first_base: Doubles
    best_base: Doubles


def search(
    data: Dataset, counts: TextCounts | None, config: TrainingConfig, *, threads: int, seed: int, on_trial: OnTrial
) -> Tuned:
    """Search from `config` on the training set. Held-out rows aren't used.

    Args:
        counts: n-gram counts of the data's texts; None for a harm whose policy doesn't use text.
    """
    started = time.monotonic()
    stages = _Search(data, config, threads, seed, started, on_trial)
    heads = stages.text(counts) if counts is not None else None
    if heads is not None:
        config = config.model_copy(update={"text": heads.best})
    trees = stages.trees(config, heads and heads.best_base)
    config = config.model_copy(update={"trees": trees})
    first = stages.whole(stages.config, heads and heads.first_base)
    best = stages.whole(config, heads and heads.best_base)
    error = float((first - best).std() / np.sqrt(len(first)))
    if first.mean() - best.mean() <= error:
        config, best = stages.config, first
    return Tuned(
        config,
        float(first.mean()),
        float(best.mean()),
        error,
        stages.tried,
        stages.pruned,
        stages.in_time,
        time.monotonic() - started,
        stages.losses,
    )


class _Search:
    """The two stages of a search, which share rows, time limit and counts of trials."""

    def __init__(
        self, data: Dataset, config: TrainingConfig, threads: int, seed: int, started: float, on_trial: OnTrial
    ) -> None:
        self.config, self.seed, self.on_trial, self.threads = config, seed, on_trial, threads
        self.rows = np.flatnonzero(~data.held_out)
        self.features, self.labels = data.features[self.rows], data.labels[self.rows]
        self.weights = data.weights[self.rows]
        self.folds = split.folds(data.clusters[self.rows], seed=seed)
        self.names = data.contract.names
        self.until = started + 60 * config.tuning.minutes
        self.tried = self.pruned = 0
        self.losses: dict[str, tuple[tuple[int, float], ...]] = {}
        self.in_time = True

    def text(self, counts: TextCounts) -> _FoundText:
        """Search for text heads."""
        has_text = counts.present[self.rows]
        labels, weights, folds = self.labels[has_text], self.weights[has_text], self.folds[has_text]
        fitter = TextFitter(counts, self.rows[has_text], labels, weights, self.seed)
        made: dict[int, tuple[TextConfig, Doubles]] = {}

        def objective(trial: Trial) -> float:
            config = self.config.text.model_copy(
                update=_text_choice(trial, self.config.text, sentences=fitter.encoded is not None)
            )
            step = iter(range(split.FOLDS))

            def on_fold(done: Bools, margins: Doubles) -> None:
                _report(trial, next(step), float(_stacked(margins[done], labels[done], weights[done])[1].mean()))

            log_odds, found = _stacked(fitter.out_of_fold(folds, config, on_fold), labels, weights)
            made[trial.number] = config, log_odds
            return float(found.mean())

        first = {name: getattr(self.config.text, name) for name in _TEXT}
        if fitter.encoded is None:
            del first["sentence_c"]
        study = self._study("text heads", objective, first, share=0.7 if self.names else 1.0)
        best, best_log_odds = made[study.best_trial.number]
        bases = np.full((2, len(self.rows)), np.nan)
        bases[:, has_text] = made[0][1], best_log_odds
        return _FoundText(best, *bases)

    def trees(self, config: TrainingConfig, base: Doubles | None) -> TreesConfig:
        """Search for trees on top of `base` (n,) log-odds; where it is None or NaN, of the share of violating rows."""
        rows, names = self._tree_rows(base)
        made: dict[int, TreesConfig] = {}

        def objective(trial: Trial) -> float:
            chosen = config.model_copy(
                update={"trees": config.trees.model_copy(update=_trees_choice(trial, config.trees))}
            )
            params = params_of(chosen, names, self.threads, self.seed)
            found = np.zeros(len(self.labels))
            for step, fold in enumerate(np.unique(self.folds)):
                inside = self.folds == fold
                booster, history = fit_without(rows, inside, params, chosen)
                margin = booster.inplace_predict(
                    rows.vector[inside],
                    predict_type="margin",
                    base_margin=rows.base[inside],
                    iteration_range=(0, int(np.argmin(history)) + 1),
                )
                found[inside] = np.logaddexp(0, margin) - margin * self.labels[inside]
                _report(trial, step, float(found[self.folds <= fold].mean()))
            made[trial.number] = chosen.trees
            return float(found.mean())

        study = self._study(
            "trees", objective, {name: max(getattr(config.trees, name), 1e-3) for name in _TREES}, share=1.0
        )
        return made[study.best_trial.number]

    def whole(self, config: TrainingConfig, base: Doubles | None) -> Doubles:
        """(n,) out-of-fold losses of the model that training makes, whose trees start from `base` as in `trees`."""
        rows, names = self._tree_rows(base)
        return losses(boost(rows, params_of(config, names, self.threads, self.seed), config).margin, rows)

    def _tree_rows(self, base: Doubles | None) -> tuple[TreeRows, tuple[str, ...]]:
        prior = float(np.log(self.labels.mean() / (1 - self.labels.mean())))
        start = np.full(len(self.labels), prior) if base is None else np.where(np.isnan(base), prior, base)
        vector = self.features if base is None else np.column_stack((self.features, base)).astype(np.float32)
        names = self.names if base is None else (*self.names, TEXT_SCORE)
        weights = self.weights * np.where(self.labels, self.config.positive_weight, 1.0)
        rows = TreeRows(vector, self.labels, start.astype(np.float32), weights.astype(np.float32), self.folds)
        return rows, names

    def _study(self, stage: str, objective: Callable[[Trial], float], first: dict[str, Any], *, share: float) -> Study:
        """Minimise. The first trial is the initial configuration, so the best is never worse."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_WARM_UP, n_warmup_steps=0)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=self.seed), pruner=pruner)
        study.enqueue_trial(first)
        trials, ends = self.config.tuning.trials, time.monotonic() + share * max(0, self.until - time.monotonic())

        def after(study_: Study, _trial: object) -> None:
            self.on_trial(stage, len(study_.trials), trials)
            if time.monotonic() >= ends and len(study_.trials) < trials:
                self.in_time = False
                study_.stop()

        study.optimize(objective, n_trials=trials, callbacks=[after])
        self.tried += len(study.trials)
        self.pruned += sum(each.state == optuna.trial.TrialState.PRUNED for each in study.trials)
        finished = (each for each in study.trials if each.state == optuna.trial.TrialState.COMPLETE)
        self.losses[stage] = tuple((each.number, float(each.value or 0.0)) for each in finished)
        return study


_TEXT = ("plain_c", "nb_c", "nb_damping", "sentence_c")
_TREES = ("max_depth", "eta", "min_child_weight", "reg_lambda", "colsample_bytree")


def _text_choice(trial: Trial, now: TextConfig, *, sentences: bool) -> dict[str, float]:
    chosen = {
        "plain_c": _near(trial, "plain_c", 0.1, 30, now.plain_c),
        "nb_c": _near(trial, "nb_c", 0.03, 10, now.nb_c),
        "nb_damping": trial.suggest_float("nb_damping", min(0.3, now.nb_damping), 1.0),
    }
    if sentences:
        chosen["sentence_c"] = _near(trial, "sentence_c", 0.1, 30, now.sentence_c)
    return chosen


def _trees_choice(trial: Trial, now: TreesConfig) -> dict[str, float]:
    return {
        "max_depth": trial.suggest_int("max_depth", min(2, now.max_depth), max(6, now.max_depth)),
        "eta": _near(trial, "eta", 0.03, 0.3, now.eta),
        "min_child_weight": _near(trial, "min_child_weight", 1, 50, max(now.min_child_weight, 1e-3)),
        "reg_lambda": _near(trial, "reg_lambda", 0.5, 50, max(now.reg_lambda, 1e-3)),
        "colsample_bytree": trial.suggest_float("colsample_bytree", min(0.4, now.colsample_bytree), 1.0),
    }


def _near(trial: Trial, name: str, low: float, high: float, now: float) -> float:
    """Suggest on a logarithmic scale. The range is widened to include the current value."""
    value: float = trial.suggest_float(name, min(low, now), max(high, now), log=True)
    return value


def _stacked(margins: Doubles, labels: Bools, weights: Doubles) -> tuple[Doubles, Doubles]:
    """(n,) the stack's log-odds and (n,) log losses after calibration, since every version is calibrated."""
    shares, offset = stack(margins, labels, weights)
    log_odds = margins @ shares + offset
    folds = np.zeros(len(labels), dtype=np.int64)
    return log_odds, log_loss(fit_calibrator(log_odds, labels, folds, ("platt",)).score(log_odds), labels)


def _report(trial: Trial, step: int, loss: float) -> None:
    """Report a trial's loss so far. Raises TrialPruned if it is worse than the median of earlier trials."""
    import optuna

    trial.report(loss, step)
    if trial.should_prune():
        raise optuna.TrialPruned
