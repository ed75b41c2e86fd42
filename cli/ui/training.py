"""What the command line shows of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.markup import escape

from cli.ui.terminal import console, next_steps, note, table
from leads.db.model_changes import CHALLENGER, CHAMPION
from leads.db.tables import open_engine
from leads.errors import NotEnoughData
from leads.policies import Policies
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from training.lifecycle.retraining import due
from training.progress import OnProgress
from training.report.slices import behind
from training.train import TrainResult, retrain, train
from training.tune import tune_harm

T = TypeVar("T")

_COLUMNS = (
    "harm",
    "version",
    "labels",
    "positive",
    "AP",
    "chance",
    "Brier",
    "ECE",
    "p",
    "review from",
    "auto from",
    "s",
)


@dataclass(frozen=True)
class HowToTrain:
    """What was asked for on the command line; None: as configured."""

    tune: bool = False
    trials: int | None = None
    minutes: float | None = None
    as_challenger: bool = False


def train_on_screen(
    settings: Settings, policies: Policies, harms: Sequence[str] | None, how: HowToTrain, *, quiet: bool
) -> None:
    """Train the named harms, or all that have enough labels, then show one table.

    Raises:
        NotEnoughData: a named harm, or every harm, has too few labels.
    """

    def one(harm: str) -> TrainResult:
        return _train(settings, policies, harm, how)

    results = _each(policies, harms, one)
    if not results:
        raise NotEnoughData("No harm has enough labels.", remedy="Begin with: leads simulate, or set LEADS_CORPORA.")
    _show(results)
    if not quiet:
        _next(settings, results)


def retrain_on_screen(
    settings: Settings, policies: Policies, harms: Sequence[str] | None, *, force: bool, quiet: bool
) -> None:
    """Train again those of the harms that are due, then show what became of them.

    Args:
        force: as soon as one label is new.

    Raises:
        NotEnoughData: a named harm has too few labels, or with `force` none that is new.
    """
    registry, engine = MlflowRegistry(settings), open_engine(settings)
    registry.prepare()

    def one(harm: str) -> TrainResult | None:
        policy = policies.harm(harm)
        found = due(settings, engine, registry, harm, policy)
        if not (found.is_due or force):
            note(f"  {harm} is not due: {escape(found.why)}")
            return None
        why = f"retrained: {found.why}"
        promote = policy.retrain.promote
        return _with_spinner(
            harm, lambda tell: retrain(settings, policies, harm, promote=promote, why=why, on_progress=tell)
        )

    try:
        results = _each(policies, harms, one)
    finally:
        engine.dispose()
    if results:
        _show(results)
        if not quiet:
            _next(settings, results)
    elif not quiet:
        next_steps(
            ("leads retrain --all --force", "train with whatever is new"), ("leads models list", "what answers now")
        )


def _each(
    policies: Policies, harms: Sequence[str] | None, one: Callable[[str], TrainResult | None]
) -> list[TrainResult]:
    """What `one` gives for the named harms, or for all; then those without enough labels are named and passed over."""
    for harm in harms or ():
        policies.harm(harm, field="HARM")
    results, skipped = [], []
    for harm in harms or policies.harms:
        try:
            results.append(one(harm))
        except NotEnoughData as error:
            if harms:
                raise
            skipped.append((harm, str(error)))
    for harm, why in skipped:
        note(f"[yellow]{harm} skipped:[/yellow] {escape(why)}")
    return [result for result in results if result is not None]


def _show(results: Sequence[TrainResult]) -> None:
    console.print(table("Versions, measured on held-out labels", _COLUMNS, map(_row, results), right=_COLUMNS[2:]))
    for result in results:
        note(f"  [dim]{result.harm} v{result.version} is {result.alias or 'without alias'}: {escape(result.why)}[/dim]")
        for tier, why in result.thresholds.why.items():
            if getattr(result.thresholds, tier) is None:
                note(f"  [dim]{result.harm} offers no {tier} tier: {escape(why)}[/dim]")
        for one in behind(result.metrics.slices):
            slice_ = f"{one.dimension} {escape(one.value)}"
            note(f"  [yellow]{result.harm} falls behind on {slice_}:[/yellow] {escape(one.why)}")


def _next(settings: Settings, results: Sequence[TrainResult]) -> None:
    waiting = next((result for result in results if result.alias == CHALLENGER), None)
    steps = [("leads models list", "every version, and which one answers")]
    if waiting:
        steps = [
            (f"leads models show {waiting.harm} {waiting.version}", "what it learned from and how good it is"),
            (f"leads models promote {waiting.harm} {waiting.version}", "let it answer, if the gate passes it"),
        ]
    next_steps(
        *steps,
        (f"mlflow ui --backend-store-uri {settings.mlflow}", "curves, reliability, importances, model cards"),
        ("leads serve", "answer over HTTP"),
    )


def _train(settings: Settings, policies: Policies, harm: str, how: HowToTrain) -> TrainResult:
    config = None
    if how.tune:
        kept = _with_status(
            harm,
            lambda tell: tune_harm(settings, policies, harm, trials=how.trials, minutes=how.minutes, on_progress=tell),
        )
        tuned, config = kept.tuned, kept.tuned.config
        verdict = "found better" if tuned.better else "nothing is better beyond chance, it stays as it was"
        loss = f"log loss {tuned.before:.4f} → {tuned.after:.4f} (± {tuned.error:.4f})"
        end = "" if tuned.in_time else ", time was up"
        note(
            f"  {harm}: tuned in {tuned.seconds:.0f} s, {tuned.trials} trials, {tuned.pruned} given up early{end}; "
            f"{verdict}; {loss}"
        )
        if tuned.better:
            note(f"  [dim]Kept in {kept.path}; copy it to {settings.training} to train so from now on.[/dim]")
    first = CHALLENGER if how.as_challenger else CHAMPION
    return _with_spinner(
        harm, lambda tell: train(settings, policies, harm, config=config, first=first, on_progress=tell)
    )


def _with_spinner(harm: str, run: Callable[[OnProgress], TrainResult]) -> TrainResult:
    result = _with_status(harm, run)
    how = "nothing new to learn, version used again" if result.reused else "trained"
    note(f"  {harm}: {how} in {result.seconds:.0f} s")
    return result


def _with_status(harm: str, run: Callable[[OnProgress], T]) -> T:
    """Run something under a line that says what it is doing."""
    with console.status(harm) as spinner:

        def tell(step: str, done: int, total: int) -> None:
            of = f" ({min(done + 1, total)} of {total})" if total > 1 else ""
            spinner.update(f"{harm}: {step}{of}")

        return run(tell)


def _row(result: TrainResult) -> tuple[str, ...]:
    metrics, test, tiers = result.metrics, result.metrics.test, result.thresholds
    return (
        result.harm,
        f"v{result.version}",
        f"{metrics.rows:,}",
        f"{metrics.positives:,}",
        f"{test.ap:.3f}",
        f"{test.positives / test.rows:.3f}",
        f"{test.brier:.3f}",
        f"{test.ece:.3f}",
        f"{test.ece_p:.2f}",
        *("–" if start is None else f"{start:.3f}" for start in (tiers.review, tiers.auto)),
        f"{result.seconds:.0f}",
    )
