"""`leads labels`: label files that were imported with `leads train --csv`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import read_settings

labels_app = typer.Typer(
    help="List, show and remove the label files that `leads train --csv` imported.", no_args_is_help=True
)
ImportedHarm = Annotated[str, typer.Argument(help="Harm of the labels.")]


@labels_app.command("list")
def labels_list(
    harm: Annotated[str | None, typer.Argument(help="Harm of the labels. Default: every harm.")] = None,
) -> None:
    """List imported label files: rows, violating rows, dates, when each was imported, and from where."""
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
