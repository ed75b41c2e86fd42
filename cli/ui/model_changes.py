"""The commands that change which versions answer, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape

from cli.ui.models import assembled, gate_on_screen
from cli.ui.terminal import console, next_steps, note
from leads.db.tables import open_engine
from leads.policies import Policies
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from training.lifecycle import canary
from training.lifecycle.lifecycle import Lifecycle
from training.lifecycle.outcomes import ChangeReason, Moved

_FOLLOWED = "A running service follows within seconds."


def promote_on_screen(
    settings: Settings, policies: Policies, harm: str, number: str, reason: ChangeReason, *, override: bool
) -> bool:
    """Ask the gate and promote what it passes; returns whether the version answers now.

    Raises:
        NotFound, Conflict, ModelRefused, NotEnoughData, Unavailable: as `Lifecycle.promote`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle, console.status("the gate is judging"):
        settled = lifecycle.promote(number, lambda: assembled(settings, policies, harm), reason, override=override)
    report = settled.gate
    assert report is not None
    gate_on_screen(report)
    promoted = settled.alias == "champion"
    if not promoted:
        note(f"[red]Version {number} of {harm} is not promoted.[/red] The champion stays.")
        next_steps(
            (f"leads models compare {harm} {report.champion or 'A'} {number}", "both versions in every measure"),
            (f'leads models promote {harm} {number} --override --why "…"', "promote it nevertheless; that is kept"),
        )
        return False
    nevertheless = "" if report.passed else ", over the gate's no"
    note(f"[green]Version {number} is champion of {harm}[/green]{nevertheless}. {_FOLLOWED}")
    next_steps(
        (f"leads models rollback {harm}", "let the champion before answer again"),
        (f"leads models history {harm}", "who changed what"),
    )
    return True


def rollback_on_screen(settings: Settings, policies: Policies, harm: str, reason: ChangeReason) -> None:
    """Let the champion before answer again.

    Raises:
        Conflict, Unavailable: as `Lifecycle.rollback`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        moved = lifecycle.rollback(reason)
    _passed_over(moved)
    before = f" instead of version {moved.before}" if moved.before else ""
    note(f"[green]Version {moved.champion} answers for {harm}[/green]{before}. {_FOLLOWED}")
    steps = [
        (f"leads models rollback {harm}", "one further back"),
        (f"leads models history {harm}", "who changed what"),
    ]
    if moved.before:
        steps.append((f"leads models retire {harm} {moved.before}", "never let that one answer again"))
    next_steps(*steps)


def retire_on_screen(
    settings: Settings, policies: Policies, harm: str, number: str, reason: ChangeReason, *, override: bool
) -> None:
    """Never let a version answer again.

    Raises:
        NotFound, Conflict, Unavailable: as `Lifecycle.retire`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        moved = lifecycle.retire(number, reason, override=override)
    _passed_over(moved)
    answers = f"Version {moved.champion} answers." if moved.champion else "No version answers any more."
    note(f"Version {number} of {harm} is retired. {answers}")
    steps = [("leads models list", "what there is"), (f"leads models history {harm}", "who changed what")]
    if not moved.champion:
        steps.insert(0, (f"leads models promote {harm} VERSION", "let another answer"))
    next_steps(*steps)


def canary_on_screen(settings: Settings, policies: Policies, harm: str, number: str, reason: ChangeReason) -> None:
    """Let a version answer for the policy's share.

    Raises:
        NotFound, Conflict, ModelRefused, Unavailable: as `canary.start`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        before = canary.start(lifecycle, number, reason)
    instead = f" instead of version {before}" if before else ""
    share = policies.harm(harm).canary.share
    note(f"[green]Version {number} answers for {share:.0%} of the subjects of {harm}[/green]{instead}. {_FOLLOWED}")
    note("It retreats by itself when it fails, is slow or says other things, as `canary:` in policies.yaml has it.")
    next_steps(
        ("leads models list", "whether it retreated, and why"),
        (f"leads models promote {harm} {number}", "let it answer everything, if the gate passes it"),
        (f"leads models canary {harm} --stop", "end the trial"),
    )


def stop_canary_on_screen(settings: Settings, policies: Policies, harm: str, reason: ChangeReason) -> None:
    """Let the champion answer everything again.

    Raises:
        Conflict, Unavailable: as `canary.stop`.
    """
    with _lifecycle(settings, policies, harm) as lifecycle:
        number = canary.stop(lifecycle, reason)
    note(f"Version {number} of {harm} is no canary any more; the champion answers everything. {_FOLLOWED}")
    next_steps(("leads models list", "what there is"), (f"leads models history {harm}", "who changed what"))


@contextmanager
def _lifecycle(settings: Settings, policies: Policies, harm: str) -> Iterator[Lifecycle]:
    policy = policies.harm(harm, field="HARM")
    engine = open_engine(settings)
    try:
        yield Lifecycle(settings, policy, harm, MlflowRegistry(settings), engine)
    finally:
        engine.dispose()


def _passed_over(moved: Moved) -> None:
    for one in moved.passed_over:
        note(f"[yellow]{escape(one)}[/yellow]")
