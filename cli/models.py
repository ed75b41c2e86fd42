"""`leads models`: what is registered, what answers, and the changes to that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from leads.errors import InvalidInput

if TYPE_CHECKING:
    from leads.policies import Policies
    from leads.settings import Settings
    from training.lifecycle.outcomes import ChangeReason

models_app = typer.Typer(help="Registered model versions.", no_args_is_help=True)

Harm = Annotated[str, typer.Argument(help="A harm declared in policies.yaml.")]
Version = Annotated[str, typer.Argument(help="A version's number, as `leads models list` shows it.")]
Why = Annotated[str | None, typer.Option("--why", help="Kept in the history.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it; default: the user of this system.")]
Override = Annotated[bool, typer.Option("--override", help="Do it nevertheless; takes --why, and is kept.")]


@models_app.command("list")
def models_list() -> None:
    """The versions of each harm, and which one answers."""
    from cli.ui.models import list_on_screen

    list_on_screen(*_read())


@models_app.command("show")
def models_show(
    harm: Harm,
    version: Annotated[str | None, typer.Argument(help="Its number; default: the champion.")] = None,
) -> None:
    """How a version came to be, what was measured, its tiers, what the gate said, its files."""
    from cli.ui.models import show_on_screen

    show_on_screen(*_read(), harm, version)


@models_app.command("compare")
def models_compare(harm: Harm, a: Version, b: Version) -> None:
    """Two versions on the same held-out rows, now."""
    from cli.ui.models import compare_on_screen

    compare_on_screen(*_read(), harm, a, b)


@models_app.command("promote")
def models_promote(harm: Harm, version: Version, why: Why = None, by: By = None, override: Override = False) -> None:
    """Let a version answer if the gate passes it. Exit code 1 when it doesn't."""
    from cli.ui.model_changes import promote_on_screen

    reason = _reason(why, by, override=override, default="Promoted by hand.")
    if not promote_on_screen(*_read(), harm, version, reason, override=override):
        raise typer.Exit(1)


@models_app.command("rollback")
def models_rollback(harm: Harm, why: Why = None, by: By = None) -> None:
    """Let the champion before answer again; once more, the one before that. Needs no labels."""
    from cli.ui.model_changes import rollback_on_screen

    rollback_on_screen(*_read(), harm, _reason(why, by, override=False, default="Rolled back by hand."))


@models_app.command("retire")
def models_retire(harm: Harm, version: Version, why: Why = None, by: By = None, override: Override = False) -> None:
    """Never let a version answer again. After a champion, which takes --override, the one before answers."""
    from cli.ui.model_changes import retire_on_screen

    reason = _reason(why, by, override=override, default="Retired by hand.")
    retire_on_screen(*_read(), harm, version, reason, override=override)


@models_app.command("canary")
def models_canary(
    harm: Harm,
    version: Annotated[str | None, typer.Argument(help="The version that shall answer for the policy's share.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Let the champion answer everything again.")] = False,
    why: Why = None,
    by: By = None,
) -> None:
    """Let a version answer for a share of the subjects; it retreats by itself when it fails, lags or drifts away."""
    from cli.ui.model_changes import canary_on_screen, stop_canary_on_screen

    if stop == (version is not None):
        raise InvalidInput("Name a version, or --stop.", field="VERSION", remedy="See: leads models list")
    reason = _reason(why, by, override=False, default="Stopped by hand." if stop else "Tried by hand.")
    if version is None:
        stop_canary_on_screen(*_read(), harm, reason)
    else:
        canary_on_screen(*_read(), harm, version, reason)


@models_app.command("history")
def models_history(harm: Harm) -> None:
    """Who changed which version, when and why."""
    from cli.ui.models import history_on_screen

    history_on_screen(*_read(), harm)


def _read() -> tuple[Settings, Policies]:
    """Only when a command runs: `leads --help` answers at once."""
    from leads.policies import configured

    return configured()


def _reason(why: str | None, by: str | None, *, override: bool, default: str) -> ChangeReason:
    from leads.db.model_changes import current_actor
    from training.lifecycle.outcomes import ChangeReason

    if override and not (why or "").strip():
        raise InvalidInput("Overriding takes a reason.", field="--why", remedy='Say why: --override --why "…"')
    return ChangeReason((by or "").strip() or current_actor(), (why or "").strip() or default)
