"""`leads train` and `leads retrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.labels import (
    AuthorColumn,
    IdColumn,
    LabelColumn,
    Name,
    Replace,
    TargetColumn,
    TextColumn,
    TimeColumn,
    WeightColumn,
    columns_of,
    of_file,
)
from cli.options import All, Harms, Quiet, read_configuration
from leads.errors import Conflict
from leads.settings import Settings


def train(
    harms: Harms = None,
    every: All = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Search for a better configuration first; takes a few minutes.")
    ] = False,
    trials: Annotated[int | None, typer.Option(min=1, help="With --tune: number of configurations to try.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="With --tune: time limit per harm.")] = None,
    challenger: Annotated[
        bool,
        typer.Option("--challenger", help="Register a harm's first version as challenger; promote it yourself later."),
    ] = False,
    with_texts: Annotated[
        bool,
        typer.Option(
            "--with-texts", help="Show the texts of the version's worst errors in MLflow, to everyone who can read it."
        ),
    ] = False,
    csv: Annotated[
        Path | None,
        of_file("--csv", "CSV file to import first: one text per row, in UTF-8, or in UTF-16 with a byte-order mark."),
    ] = None,
    harm: Annotated[str | None, of_file("--harm", "Harm of the labels, if not given as an argument.")] = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    id_: IdColumn = None,
    time: TimeColumn = None,
    author: AuthorColumn = None,
    weight: WeightColumn = None,
    target: TargetColumn = None,
    name: Name = None,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Train, calibrate, evaluate and register a model version for each harm."""
    from cli.ui.training import TrainOptions, train_harms

    named = list(dict.fromkeys([*(harms or []), *([harm] if harm else [])]))
    settings, policies = read_configuration()
    if csv is not None:
        from cli.ui.labels.imports import import_file

        if len(named) != 1 or every:
            raise typer.BadParameter("Name one harm, to which the labels belong.", param_hint="HARM")
        columns = columns_of(text, label, id_, time, author, weight, target)
        _check_no_other_training(settings)
        import_file(settings, policies, named[0], csv, columns, name=name, replace=replace)
    elif any((text, label, id_, time, author, weight, target, name, replace)):
        raise typer.BadParameter("These options need --csv.", param_hint="--text, --label, …")
    _check_harms(named, every)
    options = TrainOptions(tune=tune, trials=trials, minutes=minutes, as_challenger=challenger, with_texts=with_texts)
    try:
        train_harms(settings, policies, named or None, options, quiet=quiet)
    except Conflict as error:
        if csv is not None:
            error.remedy = f"The labels were imported. When it has finished, run: leads train {named[0]}"
        raise


def retrain(
    harms: Harms = None,
    every: All = False,
    force: Annotated[
        bool, typer.Option("--force", help="Retrain even if there are fewer new labels than the policy asks for.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is due, and why.")] = False,
    alert: Annotated[
        int | None, typer.Option(hidden=True, help="Number of the alert that started this. Monitoring sets it.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Retrain harms with enough new labels, or with drift and at least one new label.

    Versions that pass the gate are promoted, if the policy allows it. The encoder is fine-tuned again before, if
    `encoder.refresh` in policies.yaml says that it is due.
    """
    from cli.ui.training import retrain_harms

    _check_harms(harms or [], every)
    settings, policies = read_configuration()
    retrain_harms(settings, policies, harms or None, force=force, dry_run=dry_run, alert=alert, quiet=quiet)


def _check_no_other_training(settings: Settings) -> None:
    """Fail before anything is imported, and say so."""
    from training.workspace import training_lock

    try:
        with training_lock(settings):
            pass
    except Conflict as error:
        error.remedy = "Nothing was imported. When it has finished, run the same command again."
        raise


def _check_harms(named: list[str], every: bool) -> None:
    if bool(named) == every:
        raise typer.BadParameter("Name the harms to train, or give --all.", param_hint="HARMS")
