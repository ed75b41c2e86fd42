"""One observation for each text of a harm's imported files, however many files and rows repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leads.clock import Micros
from leads.settings import Settings
from training.data.label_files import StoredLabel, label_files, read_labels
from training.data.labelled_rows import FILE, LabelledRow


class Conflict(NamedTuple):
    """A text that was imported with both labels. `kept` is the row that counts."""

    kept: StoredLabel
    rows: tuple[StoredLabel, ...]


class Observations(NamedTuple):
    """What a harm's imported files say, each text once.

    Args:
        rows: one per text.
        since: of each row, when its text was first imported with its label, µs.
        removed: copies of texts within the file that their row comes from. Copies in other files aren't counted, so
            importing the same rows again changes nothing here.
        conflicts: texts that were imported with both labels.
    """

    rows: list[LabelledRow]
    since: list[Micros]
    removed: int
    conflicts: list[Conflict]


def observations(settings: Settings, harm: str) -> Observations:
    """The observations of all files that were imported for a harm.

    Raises:
        InvalidInput: a stored file can't be read.
    """
    return observe(label for file in label_files(settings, harm) for label in read_labels(file))


def observe(labels: Iterable[StoredLabel]) -> Observations:
    """Merge the rows of a harm's files, given in the order in which the files' names were first imported.

    Equal texts with the same label are one observation. If the labels differ, the newest counts (`_standing`). The
    first of the rows with that label is kept, one with a time before one without, so that importing the same rows
    again changes nothing.
    """
    by_text: dict[int, list[StoredLabel]] = {}
    for label in labels:
        by_text.setdefault(label.group, []).append(label)
    made = Observations([], [], 0, [])
    removed = 0
    for copies in by_text.values():
        violating = _standing(copies)
        agreeing = [copy for copy in copies if copy.violating == violating]
        kept = min(agreeing, key=lambda copy: copy.time is None)
        made.rows.append(_row(kept))
        made.since.append(min(copy.since for copy in agreeing))
        removed += sum(copy.file == kept.file for copy in copies) - 1
        if len(agreeing) < len(copies):
            made.conflicts.append(Conflict(kept, tuple(copies)))
    return made._replace(removed=removed)


def _standing(copies: Sequence[StoredLabel]) -> bool:
    """The newest label: by the rows' times if all of them have one, otherwise that of the file imported last.

    Among equally new rows the majority decides; if there is none, the last row.
    """
    if len({copy.violating for copy in copies}) == 1:
        return copies[0].violating
    newest = _latest(copies)
    last = max(copy.imported_at for copy in newest)
    newest = _latest([copy for copy in newest if copy.imported_at == last])
    violating = sum(copy.violating for copy in newest)
    return newest[-1].violating if 2 * violating == len(newest) else 2 * violating > len(newest)


def _latest(copies: Sequence[StoredLabel]) -> Sequence[StoredLabel]:
    """The copies with the latest time; all of them if one has no time."""
    times = [copy.time for copy in copies if copy.time is not None]
    if len(times) < len(copies):
        return copies
    last = max(times)
    return [copy for copy in copies if copy.time == last]


def _row(kept: StoredLabel) -> LabelledRow:
    return LabelledRow(
        text=kept.text,
        violating=kept.violating,
        source=f"{FILE}{kept.file}",
        order=kept.order,
        group=kept.group,
        weight=kept.weight,
        maker=kept.maker,
        target=kept.target,
    )
