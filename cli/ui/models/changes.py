"""Changes to which versions serve: promote, roll back, retire, canary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cli.ui.database import opened
from cli.ui.models.gate import print_gate
from cli.ui.models.versions import assemble_dataset, rollbacks
from cli.ui.terminal import console, escape, next_steps, note
from cli.ui.worker import note_never_scored
from leads.db.model_changes import CHAMPION
from leads.policies import Policies
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from training.lifecycle import canary
from training.lifecycle.lifecycle import Lifecycle
from training.lifecycle.outcomes import ChangeReason, Moved

_SOON = "Running services switch within seconds."
_HISTORY = "see who changed what"


def promote(
    settings: Settings, policies: Policies, harm: str, number: str, reason: ChangeReason, *, override: bool
) -> bool:
    """Check a version in the gate and promote it if it passes; returns whether it is the champion now.

    Raises:
        NotFound, Conflict, ModelRefused, NotEnoughData, Unavailable: as `Lifecycle.promote`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle, console.status("checking the gate"):
        settled = lifecycle.promote(
            number, lambda: assemble_dataset(settings, policies, harm), reason, override=override
        )
        champion, changes = lifecycle.registry.aliases(harm).get(CHAMPION), lifecycle.moves.history(harm)
    report = settled.gate
    assert report is not None
    print_gate(report)
    if settled.alias != CHAMPION:
        stays = f"v{champion} stays champion." if champion else f"{harm} has no champion."
        note(f"[red]{harm} v{number} was not promoted.[/red] {stays}")
        note('A person can overrule the gate: --override --why "…". The history keeps the reason.')
        next_steps(
            (f"leads models show {harm} {number}", "see its training data and metrics"),
            (f"leads train {harm}", "train again, with more or corrected labels"),
        )
        return False
    overridden = "" if report.passed else " (gate overridden)"
    note(f"[green]v{number} is now champion of {harm}{overridden}.[/green] {_SOON}")
    note_never_scored(settings, policies, [harm])
    next_steps(*rollbacks(harm, changes, champion), (f"leads models history {harm}", _HISTORY))
    return True


def roll_back(settings: Settings, policies: Policies, harm: str, reason: ChangeReason) -> None:
    """Make the previous champion the champion again.

    Raises:
        Conflict, Unavailable: as `Lifecycle.rollback`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        moved = lifecycle.rollback(reason)
        changes = lifecycle.moves.history(harm)
    _print_skipped(moved)
    replaced = f", replacing v{moved.before}" if moved.before else ""
    note(f"[green]v{moved.champion} is now champion of {harm}[/green]{replaced}. {_SOON}")
    steps = [
        *rollbacks(harm, changes, moved.champion, "go back one more"),
        (f"leads models history {harm}", _HISTORY),
    ]
    if moved.before:
        steps.append((f"leads models retire {harm} {moved.before}", "make sure that version never serves again"))
    next_steps(*steps)


def retire(
    settings: Settings, policies: Policies, harm: str, number: str, reason: ChangeReason, *, override: bool
) -> None:
    """Retire a version, so that it never serves again.

    Raises:
        NotFound, Conflict, Unavailable: as `Lifecycle.retire`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        moved = lifecycle.retire(number, reason, override=override)
    _print_skipped(moved)
    serving = f"v{moved.champion} is the champion." if moved.champion else "No version serves now."
    note(f"Retired {harm} v{number}. {serving}")
    steps = [("leads models list", "see all versions"), (f"leads models history {harm}", _HISTORY)]
    if not moved.champion:
        steps.insert(0, (f"leads models promote {harm} VERSION", "choose a new champion"))
    next_steps(*steps)


def start_canary(
    settings: Settings, policies: Policies, harm: str, number: str, reason: ChangeReason, *, share: float | None
) -> None:
    """Let a version serve a share of the subjects; without one, the policy's.

    Raises:
        InvalidInput, NotFound, Conflict, ModelRefused, Unavailable: as `canary.start`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        share = policies.harm(harm).canary.share if share is None else share
        before = canary.start(lifecycle, number, reason, share=share)
    replaced = f", replacing v{before}" if before else ""
    served = f"{100 * share:.3g}% of subjects"
    note(f"[green]v{number} is now canary of {harm} and serves {served}[/green]{replaced}. {_SOON}")
    note("It retreats by itself if it fails, is slow or scores differently; see `canary:` in policies.yaml.")
    next_steps(
        ("leads models list", "see whether it retreated, and why"),
        (f"leads models promote {harm} {number}", "make it the champion, if it passes the gate"),
        (f"leads models canary {harm} --stop", "stop the canary"),
    )


def stop_canary(settings: Settings, policies: Policies, harm: str, reason: ChangeReason) -> None:
    """Let the champion serve all subjects again.

    Raises:
        Conflict, Unavailable: as `canary.stop`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        number = canary.stop(lifecycle, reason)
    note(f"Stopped the canary of {harm}, v{number}. The champion serves all subjects. {_SOON}")
    next_steps(("leads models list", "see all versions"), (f"leads models history {harm}", _HISTORY))


@contextmanager
def _lifecycle(settings: Settings, policies: Policies, harm: str) -> Iterator[Lifecycle]:
    policy = policies.harm(harm, field="HARM")
    with opened(settings) as engine:
        yield Lifecycle(settings, policy, harm, MlflowRegistry(settings), engine)


def _print_skipped(moved: Moved) -> None:
    for one in moved.passed_over:
        note(f"[yellow]{escape(one)}[/yellow]")
