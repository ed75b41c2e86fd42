"""`leads train` and `leads retrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from leads.policies import Policies
    from leads.settings import Settings

Harms = Annotated[list[str] | None, typer.Argument(help="Harms declared in policies.yaml.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no next steps.")]
_FILE = "A file of one's own"


def train(
    harms: Harms = None,
    every: Annotated[bool, typer.Option("--all", help="All harms; those without enough labels are skipped.")] = False,
    tune: Annotated[bool, typer.Option("--tune", help="Look for a better configuration first: some minutes.")] = False,
    trials: Annotated[int | None, typer.Option(min=1, help="With --tune: how many to try.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="With --tune: the longest it may take.")] = None,
    challenger: Annotated[
        bool, typer.Option("--challenger", help="Let a harm's first version wait for `leads models promote`.")
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Learn from this file too: a row per text.", rich_help_panel=_FILE),
    ] = None,
    harm: Annotated[
        str | None, typer.Option(help="The harm, where it isn't an argument.", rich_help_panel=_FILE)
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the texts.", rich_help_panel=_FILE)] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the verdicts: 1/0, yes/no, …", rich_help_panel=_FILE)
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the ids.", rich_help_panel=_FILE)] = None,
    time: Annotated[
        str | None, typer.Option(help="Column of the times: the latest measure.", rich_help_panel=_FILE)
    ] = None,
    author: Annotated[str | None, typer.Option(help="Column of who wrote it.", rich_help_panel=_FILE)] = None,
    weight: Annotated[str | None, typer.Option(help="Column of how much a row counts.", rich_help_panel=_FILE)] = None,
    target: Annotated[str | None, typer.Option(help="Column of whom it is about.", rich_help_panel=_FILE)] = None,
    name: Annotated[str | None, typer.Option(help="Keep the labels under this name.", rich_help_panel=_FILE)] = None,
    quiet: Quiet = False,
) -> None:
    """Train, calibrate, evaluate and register a version per harm."""
    from cli.ui.training import HowToTrain, train_on_screen

    named = list(dict.fromkeys([*(harms or []), *([harm] if harm else [])]))
    settings, policies = _read()
    if csv is not None:
        from cli.ui.own_labels import import_on_screen
        from training.data.own_labels import Columns

        if len(named) != 1 or every:
            raise typer.BadParameter("Name the one harm that the file's labels are about.", param_hint="HARM")
        if text is None or label is None:
            raise typer.BadParameter("Name the columns of texts and verdicts.", param_hint="--text, --label")
        columns = Columns(text, label, id_, time, author, weight, target)
        import_on_screen(settings, policies, named[0], csv, columns, name=name, quiet=True)
    elif any((text, label, id_, time, author, weight, target, name)):
        raise typer.BadParameter("It goes with --csv.", param_hint="--text, --label, …")
    if bool(named) == every:
        raise typer.BadParameter("Name the harms to train, or give --all.", param_hint="HARMS")
    # One's own first model is looked at before it answers.
    how = HowToTrain(tune=tune, trials=trials, minutes=minutes, as_challenger=challenger or csv is not None)
    train_on_screen(settings, policies, named or None, how, quiet=quiet)


def retrain(
    harms: Harms = None,
    every: Annotated[bool, typer.Option("--all", help="All harms; those without enough labels are skipped.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Don't wait for as many new labels as the policy asks for.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train again where enough labels are new or drift was found; promote what the gate passes, if policy says so."""
    from cli.ui.training import retrain_on_screen

    if bool(harms) == every:
        raise typer.BadParameter("Name the harms to train, or give --all.", param_hint="HARMS")
    settings, policies = _read()
    retrain_on_screen(settings, policies, harms or None, force=force, quiet=quiet)


def _read() -> tuple[Settings, Policies]:
    """Only when a command runs: `leads --help` answers at once."""
    from leads.policies import configured

    return configured()
