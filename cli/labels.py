"""`leads labels`: verdicts on items, and label files that were imported with `leads train --csv`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Quiet, read_configuration, read_settings

labels_app = typer.Typer(
    help="Add verdicts on items; list, show and remove the label files that `leads train --csv` imported.",
    no_args_is_help=True,
)
ImportedHarm = Annotated[str, typer.Argument(help="Harm of the labels.")]


@labels_app.command("add")
def labels_add(
    harm: Annotated[str, typer.Argument(help="Harm that the verdicts are about.")],
    file: Annotated[Path, typer.Argument(help="CSV file: one item of the platform per row.")],
    type_id: Annotated[str, typer.Option("--type", help="Type of the items, as in platform.yaml.")],
    id_: Annotated[str, typer.Option("--id", help="Column with the items' ids.")] = "id",
    label: Annotated[
        str, typer.Option(help="Column with the verdicts: 1/0, yes/no, true/false; rows without one are skipped.")
    ] = "label",
    time: Annotated[str | None, typer.Option(help="Column with the time of each verdict. Default: now.")] = None,
    reviewer: Annotated[str, typer.Option(help="Who passed the verdicts.")] = "imported",
    force: Annotated[
        bool, typer.Option("--force", help="Add them even if more than half of the ids aren't in the event log.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Add verdicts on the platform's items, as if reviewers had passed them. Training then uses every feature."""
    from cli.ui.labels.verdicts import add_verdicts
    from training.data.own_labels_csv import Columns

    columns = Columns(text=id_, label=label, time=time)
    add_verdicts(
        *read_configuration(), harm, file, columns, type_id=type_id, reviewer=reviewer, force=force, quiet=quiet
    )


@labels_app.command("list")
def labels_list(
    harm: Annotated[str | None, typer.Argument(help="Harm of the labels. Default: every harm.")] = None,
) -> None:
    """List imported label files and added verdicts: rows, violating rows, dates, time of import, and file."""
    from cli.ui.labels.files import list_files

    list_files(read_settings(), harm)


@labels_app.command("show")
def labels_show(
    harm: ImportedHarm,
    name: Annotated[str | None, typer.Argument(help="Name of the labels. Default: all of the harm's files.")] = None,
) -> None:
    """Show how many rows of each file count, and which texts were imported with both labels."""
    from cli.ui.labels.files import show_files

    show_files(read_settings(), harm, name)


@labels_app.command("remove")
def labels_remove(
    harm: ImportedHarm, name: Annotated[str, typer.Argument(help="Name, as shown by `leads labels list`.")]
) -> None:
    """Stop training on a file's labels. Versions trained on them and the original file are kept."""
    from cli.ui.labels.files import remove_file

    remove_file(read_settings(), harm, name)
