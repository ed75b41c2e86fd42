"""`leads labels`: verdicts on items, and files of labelled texts, which `leads train --csv` imports too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Quiet, read_configuration, read_settings

if TYPE_CHECKING:
    from training.data.own_labels import Columns

labels_app = typer.Typer(
    help="Import labelled texts, list, show and remove what was imported; add verdicts on items.",
    no_args_is_help=True,
)
ImportedHarm = Annotated[str, typer.Argument(help="Harm of the labels.")]


def of_file(name: str, help_: str) -> Any:
    """An option about a file of labelled texts."""
    return typer.Option(name, help=help_, rich_help_panel="Labels from your own file")


TextColumn = Annotated[str | None, of_file("--text", "Text column.")]
LabelColumn = Annotated[
    str | None,
    of_file("--label", "Label column: 1/0, yes/no, y/n, true/false, t/f; rows without a label are skipped."),
]
IdColumn = Annotated[
    str | None,
    of_file("--id", "ID column, shown in lists of conflicting labels. It isn't used to look up items."),
]
TimeColumn = Annotated[
    str | None,
    of_file(
        "--time",
        "Timestamp column: ISO 8601 (UTC if it has no offset), a date, or seconds since 1970. The latest fifth is "
        "held out for evaluation.",
    ),
]
AuthorColumn = Annotated[
    str | None, of_file("--author", "Author column; an author's texts stay together when the rows are split.")
]
WeightColumn = Annotated[
    str | None, of_file("--weight", "Column with the weight of each row, above 0; an empty weight means 1.")
]
TargetColumn = Annotated[
    str | None,
    of_file("--target", "Column that names the group each text is about; figures are also given for each group."),
]
Name = Annotated[str | None, of_file("--name", "Name for these labels. Default: the file's name.")]
Replace = Annotated[bool, of_file("--replace", "Replace labels that have the same name.")]


def columns_of(
    text: str | None,
    label: str | None,
    id_: str | None,
    time: str | None,
    author: str | None,
    weight: str | None,
    target: str | None,
) -> Columns:
    """The columns that options name.

    Raises:
        BadParameter: no text or no label column.
    """
    from training.data.own_labels import Columns

    if text is None or label is None:
        raise typer.BadParameter("Name the text and label columns.", param_hint="--text, --label")
    return Columns(text, label, id_, time, author, weight, target)


@labels_app.command("import")
def labels_import(
    harm: ImportedHarm,
    file: Annotated[
        Path, typer.Argument(help="CSV file: one text per row, in UTF-8, or UTF-16 with a byte-order mark.")
    ],
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
    """Import labelled texts without training on them, for example for several harms before an encoder is trained."""
    from cli.ui.labels.imports import import_file, say_next

    columns = columns_of(text, label, id_, time, author, weight, target)
    settings, policies = read_configuration()
    import_file(settings, policies, harm, file, columns, name=name, replace=replace)
    if not quiet:
        say_next(settings, harm)


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
