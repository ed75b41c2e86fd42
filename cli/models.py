"""`leads models` and `leads encoder`: registered versions and encoders, which of them are used, and changes to that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.options import Harm, Quiet, read_configuration
from leads.errors import InvalidInput

if TYPE_CHECKING:
    from training.lifecycle.outcomes import ChangeReason

encoder_app = typer.Typer(
    help="Fine-tune an encoder on the labels of all harms, list, promote and roll back encoders.", no_args_is_help=True
)
models_app = typer.Typer(help="List, compare, promote and roll back model versions.", no_args_is_help=True)


def _number(version: str | None) -> str | None:
    """The number without a leading `v`, which tables show and MLflow omits."""
    return version and version.removeprefix("v")


Version = Annotated[str, typer.Argument(help="Version number, as shown by `leads models list`.", callback=_number)]
ChampionOr = Annotated[str | None, typer.Argument(help="Version number. Default: the champion.", callback=_number)]
Why = Annotated[str | None, typer.Option("--why", help="Reason, kept in the history.")]
By = Annotated[str | None, typer.Option("--by", help="Who makes the change. Default: the current user.")]
Override = Annotated[bool, typer.Option("--override", help="Promote the version even if a check fails. Needs --why.")]


@models_app.command("list")
def models_list(
    harm: Annotated[str | None, typer.Argument(help="Harm of the versions. Default: every harm.")] = None,
) -> None:
    """List each harm's versions and their roles."""
    from cli.ui.models.versions import show_versions

    show_versions(*read_configuration(), harm)


@models_app.command("show")
def models_show(
    harm: Harm,
    version: ChampionOr = None,
) -> None:
    """Show a version's history, metrics, tiers, gate checks and files."""
    from cli.ui.models.versions import show_version

    show_version(*read_configuration(), harm, version)


@models_app.command("behaviour")
def models_behaviour(
    harm: Harm,
    version: ChampionOr = None,
    every: Annotated[bool, typer.Option("--all", help="Show every failed check.")] = False,
) -> None:
    """Run the harm's behaviour suite on a version, and show the texts on which it fails."""
    from cli.ui.models.behaviour import show_behaviour

    show_behaviour(*read_configuration(), harm, version, every=every)


@models_app.command("compare")
def models_compare(harm: Harm, a: Version, b: Version) -> None:
    """Compare two versions on the same held-out rows."""
    from cli.ui.models.versions import show_comparison

    show_comparison(*read_configuration(), harm, a, b)


@models_app.command("promote")
def models_promote(harm: Harm, version: Version, why: Why = None, by: By = None, override: Override = False) -> None:
    """Make a version the champion if it passes the gate. Exits with code 1 if it doesn't."""
    from cli.ui.models.changes import promote

    reason = _reason(why, by, override=override, default="Promoted by hand.")
    if not promote(*read_configuration(), harm, version, reason, override=override):
        raise typer.Exit(1)


@models_app.command("rollback")
def models_rollback(harm: Harm, why: Why = None, by: By = None) -> None:
    """Roll back to the previous champion. Run again to go back one more."""
    from cli.ui.models.changes import roll_back

    roll_back(*read_configuration(), harm, _reason(why, by, override=False, default="Rolled back by hand."))


@models_app.command("retire")
def models_retire(
    harm: Harm,
    version: Version,
    why: Why = None,
    by: By = None,
    override: Annotated[
        bool, typer.Option("--override", help="Retire the version even if it is the champion. Needs --why.")
    ] = False,
) -> None:
    """Retire a version: it never serves again. Retiring the champion needs --override, and rolls back."""
    from cli.ui.models.changes import retire

    reason = _reason(why, by, override=override, default="Retired by hand.")
    retire(*read_configuration(), harm, version, reason, override=override)


@models_app.command("canary")
def models_canary(
    harm: Harm,
    version: Annotated[str | None, typer.Argument(help="Version number of the new canary.", callback=_number)] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the canary; the champion serves all subjects.")] = False,
    share: Annotated[
        float | None,
        typer.Option(help="Share of the subjects, between 0 and 1. Default: canary.share in policies.yaml."),
    ] = None,
    why: Why = None,
    by: By = None,
) -> None:
    """Let a version serve a share of the subjects. It stops by itself if it fails, is slow or scores differently."""
    from cli.ui.models.changes import start_canary, stop_canary

    if stop == (version is not None):
        raise InvalidInput("Give either a version, or --stop.", field="VERSION", remedy="Run: leads models list")
    if stop and share is not None:
        raise InvalidInput("--stop takes no share.", field="--share", remedy="Leave --share out, or give a version.")
    reason = _reason(why, by, override=False, default="Stopped by hand." if stop else "Started by hand.")
    if version is None:
        stop_canary(*read_configuration(), harm, reason)
    else:
        start_canary(*read_configuration(), harm, version, reason, share=share)


@models_app.command("history")
def models_history(harm: Harm) -> None:
    """Show who changed which version, when and why."""
    from cli.ui.models.versions import show_history

    show_history(*read_configuration(), harm)


@encoder_app.command("train")
def encoder_train(
    promote: Annotated[
        bool, typer.Option("--promote", help="Train harms with it from now on. The first encoder always is promoted.")
    ] = False,
    precision: Annotated[
        Literal["int8", "float32"] | None, typer.Option(help="Of the weights in serving. Default: int8.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=20, help="How often each text is seen. Default: 2.")] = None,
    quiet: Quiet = False,
) -> None:
    """Fine-tune an encoder on the texts and labels of all harms. Takes half an hour to an hour on two cores. If it
    is killed, the next run goes on at most a minute earlier."""
    from cli.ui.models.encoders import train

    train(*read_configuration(), promote=promote, precision=precision, epochs=epochs, quiet=quiet)


@encoder_app.command("list")
def encoder_list() -> None:
    """List encoders, how well they rank, and the versions of harms that need them."""
    from cli.ui.models.encoders import show

    show(*read_configuration())


@encoder_app.command("promote")
def encoder_promote(
    version: Annotated[str, typer.Argument(help="Number of the encoder, as shown by `leads encoder list`.")],
    why: Why = None,
) -> None:
    """Train harms with this encoder from now on. Versions that serve keep the encoder that they were trained with."""
    from cli.ui.models.encoders import promote

    promote(*read_configuration(), version.removeprefix("v"), why or "Promoted by hand.")


@encoder_app.command("rollback")
def encoder_rollback(why: Why = None) -> None:
    """Train harms with the encoder that was promoted before, or without one. Nothing else is rolled back."""
    from cli.ui.models.encoders import roll_back

    roll_back(*read_configuration(), why or "Rolled back by hand.")


def _reason(why: str | None, by: str | None, *, override: bool, default: str) -> ChangeReason:
    from leads.db.model_changes import current_actor
    from training.lifecycle.outcomes import ChangeReason

    if override and not (why or "").strip():
        raise InvalidInput("--override needs a reason.", field="--why", remedy='Add: --why "…"')
    return ChangeReason((by or "").strip() or current_actor(), (why or "").strip() or default)
