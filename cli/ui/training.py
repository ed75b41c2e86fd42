"""Training and retraining: progress, the new versions, what to do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cli.checks.places import mlflow_opens, mlflow_pages
from cli.ui.corpora import print_corpora
from cli.ui.database import opened
from cli.ui.models.encoders import refresh_if_due
from cli.ui.models.figures import on_two_lines
from cli.ui.models.gate import print_side_by_side
from cli.ui.terminal import console, escape, next_steps, note, table, working
from cli.ui.worker import note_never_scored
from leads.db.model_changes import CHALLENGER, CHAMPION
from leads.errors import NotEnoughData
from leads.policies import HarmPolicy, Policies
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from training.config import load_config
from training.data.gathered import gather
from training.data.history import History
from training.fit.search import Tuned
from training.lifecycle.retraining import due
from training.progress import OnProgress
from training.report.paired import Interval
from training.report.slices import behind
from training.train import TrainResult, retrain, train
from training.tune import tune_harm

_COLUMNS = ("version", "labels", "held out", "AP", "random\nAP", "Brier", "ECE", "review\nfrom", "auto\nfrom")
_CAPTION = (
    "Figures are measured on the held-out rows and have 95% intervals. AP: average precision; random AP: the AP of a "
    "random order. ECE: expected calibration error; p: how often a calibrated model has an ECE this large. Review and "
    "auto: the scores at which these tiers start."
)


@dataclass(frozen=True)
class TrainOptions:
    """What was asked for on the command line; None: as configured."""

    tune: bool = False
    trials: int | None = None
    minutes: float | None = None
    as_challenger: bool = False
    with_texts: bool = False


def train_harms(
    settings: Settings, policies: Policies, harms: Sequence[str] | None, options: TrainOptions, *, quiet: bool
) -> None:
    """Train the named harms, or all that have enough labels, and show their new versions.

    Raises:
        NotFound: an unknown harm.
        NotEnoughData: a named harm, or every harm, has too few labels.
    """
    print_corpora(settings)
    history = History(settings, _named(policies, harms))
    first = CHALLENGER if options.as_challenger else CHAMPION

    def train_one(harm: str) -> TrainResult:
        tuned = _tune(settings, policies, harm, options, history) if options.tune else None
        return _run(
            harm,
            lambda tell: train(
                settings,
                policies,
                harm,
                tuned=tuned,
                first=first,
                with_texts=options.with_texts,
                on_progress=tell,
                history=history,
            ),
        )

    results = _for_each(policies, harms, train_one)
    if not results:
        raise NotEnoughData(
            "No harm has enough labels.", remedy="Simulate a platform with `leads simulate`, or set LEADS_CORPORA."
        )
    _show(results)
    note_never_scored(settings, policies, _champions(results))
    if not quiet:
        _show_next(settings, results)


def retrain_harms(
    settings: Settings,
    policies: Policies,
    harms: Sequence[str] | None,
    *,
    force: bool = False,
    dry_run: bool = False,
    alert: int | None = None,
    quiet: bool = False,
) -> None:
    """Refresh the encoder if it is due, retrain those of the harms that are due, and show their new versions.

    Args:
        force: as soon as one label is new.
        dry_run: only say what is due.
        alert: the number of the alert that started this.

    Raises:
        NotFound: an unknown harm.
        NotEnoughData: a named harm has too few labels, or with `force` none that is new.
    """
    print_corpora(settings)
    with opened(settings) as engine:
        registry = MlflowRegistry(settings)
        registry.prepare()
        named = _named(policies, harms)
        encoder, refreshed = refresh_if_due(settings, policies, engine, alert=alert, dry_run=dry_run)
        history = History(settings, named)
        are_due: list[str] = []

        def retrain_one(harm: str) -> TrainResult | None:
            policy = policies.harm(harm)
            found = due(settings, engine, registry, harm, policy, history, encoder=encoder, refreshed=refreshed)
            if dry_run and found.is_due:
                # Without enough labels, a harm without a version is due but can't be trained.
                gather(settings, engine, harm, policy, load_config(settings, harm), history)
            if not (found.is_due or force):
                note(f"  {harm} is not due: {escape(found.why)}")
                return None
            reason = "is due" if found.is_due else "is not due, but --force was given"
            note(f"  {harm} {reason}: {escape(found.why)}")
            if dry_run:
                are_due.append(harm)
                return None
            promote, why = policy.retrain.promote, f"retrained: {found.why}"
            return _run(
                harm,
                lambda tell: retrain(
                    settings, policies, harm, promote=promote, why=why, on_progress=tell, history=history
                ),
            )

        results = _for_each(policies, harms, retrain_one)
        if results:
            _show(results)
            note_never_scored(settings, policies, _champions(results))
    if quiet:
        return
    if results:
        _show_next(settings, results)
    elif are_due:
        what = " ".join(are_due) if harms else "--all"
        next_steps((f"leads retrain {what}{' --force' if force else ''}", "refresh and retrain what is due"))
    elif dry_run:
        next_steps(("leads models list", "see which versions serve"))
    else:
        next_steps(
            ("leads retrain --all --force", "retrain with the new labels there are"),
            ("leads models list", "see which versions serve"),
        )


def _named(policies: Policies, harms: Sequence[str] | None) -> dict[str, HarmPolicy]:
    """The policies of the named harms, or of all."""
    return {harm: policies.harm(harm, field="HARM") for harm in harms or policies.harms}


def _for_each(
    policies: Policies, harms: Sequence[str] | None, run: Callable[[str], TrainResult | None]
) -> list[TrainResult]:
    """Run for the named harms, or for all; then say which of all were skipped because they have too few labels."""
    results, skipped = [], []
    for harm in harms or policies.harms:
        try:
            results.append(run(harm))
        except NotEnoughData as error:
            if harms:
                raise
            skipped.append((harm, str(error).removeprefix(f"{harm}: ")))
    for harm, why in skipped:
        note(f"[yellow]Skipped {harm}:[/yellow] {escape(why)}")
    return [result for result in results if result is not None]


def _tune(settings: Settings, policies: Policies, harm: str, options: TrainOptions, history: History) -> Tuned:
    """Search for a configuration, and say what was found."""
    with working(harm) as tell:
        kept = tune_harm(
            settings,
            policies,
            harm,
            trials=options.trials,
            minutes=options.minutes,
            on_progress=tell,
            history=history,
        )
    tuned = kept.tuned
    verdict = "found a better configuration" if tuned.better else "no better configuration found"
    losses = f"cross-validated log loss {tuned.before:.4f}"
    if tuned.better:
        losses += f" → {tuned.after:.4f} (standard error of the difference: {tuned.error:.4f})"
    stopped = "" if tuned.in_time else ", stopped by the time limit"
    note(
        f"  {harm}: {verdict} in {tuned.trials} trials ({tuned.pruned} stopped early), {tuned.seconds:.0f} s{stopped}; "
        f"{losses}"
    )
    if tuned.better:
        saved = f"Saved to {kept.path}. Copy it to {settings.training} to use it from now on."
        note(f"  [dim]{escape(saved)}[/dim]")
    return tuned


def _run(harm: str, run: Callable[[OnProgress], TrainResult]) -> TrainResult:
    with working(harm) as tell:
        result = run(tell)
    if result.reused:
        note(f"  {harm}: same data and configuration as v{result.version}, which is kept")
    else:
        note(f"  {harm}: trained v{result.version} in {result.seconds:.0f} s")
    return result


def _champions(results: Sequence[TrainResult]) -> list[str]:
    return [result.harm for result in results if result.alias == CHAMPION]


def _show(results: Sequence[TrainResult]) -> None:
    title = "Model versions, measured on held-out labels"
    console.print(table(title, _COLUMNS, map(_row, results), right=_COLUMNS[1:], caption=_CAPTION))
    for result in results:
        if result.gate:
            print_side_by_side(result.gate)
    for result in results:
        role = result.alias or "neither champion nor challenger"
        note(f"  [dim]{result.harm} v{result.version} is {role}. {escape(result.why)}[/dim]")
        if result.metrics.test.missing and result.gate is None:
            note(f"  [yellow]{result.harm} is not measured:[/yellow] {escape(result.metrics.test.missing)}")
        for check in result.gate.failed if result.gate else ():
            note(f"  [yellow]{result.harm} needs a person, {check.name}:[/yellow] {escape(check.why)}")
        for tier, why in result.thresholds.why.items():
            if getattr(result.thresholds, tier) is None:
                note(f"  [dim]{result.harm} has no {tier} tier: {escape(why)}[/dim]")
        for one in behind(result.metrics.slices):
            slice_ = f"{one.dimension} {escape(one.value)}"
            note(f"  [yellow]{result.harm} is worse on {slice_}:[/yellow] {escape(one.why)}.")


def _row(result: TrainResult) -> tuple[str, ...]:
    test, tiers = result.metrics.test, result.thresholds
    rows = test.evidence
    return (
        f"{result.harm}\nv{result.version}",
        f"{result.metrics.rows:,}",
        f"{rows.rows:,} rows\n{rows.distinct:,} distinct\n{rows.positives:,} violating",
        _figure(test.ap),
        f"{rows.positives / rows.rows:.3f}",
        _figure(test.brier),
        _figure(test.ece) + ("" if test.chance is None else f"\np = {test.chance.p:.3f}"),
        *("–" if start is None else f"{start:.3f}" for start in (tiers.review, tiers.auto)),
    )


def _figure(found: Interval | None) -> str:
    return "not\nmeasured" if found is None else on_two_lines(found)


def _show_next(settings: Settings, results: Sequence[TrainResult]) -> None:
    waiting = [result for result in results if result.alias == CHALLENGER]
    steps = [("leads models list", "see all versions, and which one serves")]
    if waiting:
        first = waiting[0]
        steps = [(f"leads models show {first.harm} {first.version}", "see its training data and metrics")]
        # A version that the gate has blocked needs a person's reasons, not a command to paste.
        steps += [
            (f"leads models promote {one.harm} {one.version}", "make it the champion, if it passes the gate")
            for one in waiting
            if one.gate is None or one.gate.passed
        ]
    registry = MlflowRegistry(settings)
    serves = any(CHAMPION in registry.aliases(result.harm) for result in results)
    next_steps(
        *steps,
        *([("leads serve", "score with the champions over HTTP")] if serves else ()),
        (mlflow_pages(settings), f"see runs, plots and errors{mlflow_opens(settings)}"),
        settings=settings,
    )
