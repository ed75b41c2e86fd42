"""What the command line shows of training and of the registered versions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from leads.errors import NotEnoughData
from leads.policies import Policies
from leads.screens import console, next_steps, note, table
from leads.settings import Settings
from training.train import TrainResult, retrain, train

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


def train_on_screen(
    settings: Settings, policies: Policies, harms: Sequence[str] | None, *, again: bool, quiet: bool
) -> None:
    """Train the named harms, or all that have enough labels, then show one table.

    Raises:
        NotEnoughData: a named harm, or every harm, has too few labels.
    """
    for harm in harms or ():
        policies.harm(harm, field="HARM")
    results, skipped = [], []
    for harm in harms or policies.harms:
        try:
            results.append(_train(settings, policies, harm, again=again))
        except NotEnoughData as error:
            if harms:
                raise
            skipped.append((harm, str(error)))
    for harm, why in skipped:
        note(f"[yellow]{harm} skipped:[/yellow] {escape(why)}")
    if not results:
        raise NotEnoughData("No harm has enough labels.", remedy="Begin with: leads simulate, or set LEADS_CORPORA.")
    console.print(table("Versions, measured on held-out labels", _COLUMNS, map(_row, results), right=_COLUMNS[2:]))
    for result in results:
        note(f"  [dim]{result.harm} v{result.version} is {result.alias or 'without alias'}: {escape(result.why)}[/dim]")
        for tier, why in result.thresholds.why.items():
            if getattr(result.thresholds, tier) is None:
                note(f"  [dim]{result.harm} offers no {tier} tier: {escape(why)}[/dim]")
    if not quiet:
        next_steps(
            ("leads models list", "every version, and which one answers"),
            (f"mlflow ui --backend-store-uri {settings.mlflow}", "curves, reliability, importances"),
            ("leads serve", "answer over HTTP"),
        )


def _train(settings: Settings, policies: Policies, harm: str, *, again: bool) -> TrainResult:
    made = retrain if again else train
    with console.status(harm) as spinner:

        def tell(step: str, done: int, total: int) -> None:
            spinner.update(f"{harm}: {step} ({done + 1} of {total})")

        result = made(settings, policies, harm, on_progress=tell)
    how = "nothing new to learn, version used again" if result.reused else "trained"
    note(f"  {harm}: {how} in {result.seconds:.0f} s")
    return result


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
