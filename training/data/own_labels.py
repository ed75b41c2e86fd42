"""Imports labels from files of your own into `LEADS_HOME`, so that every later training uses them too."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from leads import clock
from leads.clock import Micros
from leads.errors import Conflict as ConflictError
from leads.errors import InvalidInput, NotFound
from leads.policies import Policies
from leads.settings import POLICIES_FILE, Settings
from leads.text import text_hash
from training.data.label_files import (
    LabelFile,
    Origin,
    changing,
    folder_of,
    label_files,
    read_labels,
    write_labels,
)
from training.data.observations import Conflict, observations
from training.data.own_labels_csv import OnBytes, digest_of, read
from training.data.own_labels_values import Columns, LabelledText

_LONGEST_NAME = 64

__all__ = ["Columns", "Imported", "declaration", "import_labels", "safe_name"]


class Imported(NamedTuple):
    """What was imported from a file, and what was skipped.

    Args:
        path: the stored file.
        name: the name the labels are stored under; the rows' source is `file:<name>`.
        replaced: whether other labels of this name were replaced.
        unchanged: whether the same file had been imported in the same way before.
        duplicates: rows whose text an earlier row of the file has. Copies count as one row in training.
        known: different texts of the file that had been imported with the same label before. They count once.
        without_text, without_label: rows that were skipped.
        without_time: rows without a time. If there are any, the held-out rows are drawn at random.
        first, last: earliest and latest time, µs; None if no row has one.
        conflicts: texts of the file that were imported with both labels, in this file or together with others.
    """

    path: Path
    name: str
    replaced: bool
    unchanged: bool
    rows: int
    violating: int
    duplicates: int
    known: int
    without_text: int
    without_label: int
    without_time: int
    first: Micros | None
    last: Micros | None
    conflicts: tuple[Conflict, ...]


def import_labels(
    settings: Settings,
    policies: Policies,
    harm: str,
    path: Path,
    columns: Columns,
    *,
    name: str | None = None,
    delimiter: str | None = None,
    replace: bool = False,
    on_progress: OnBytes | None = None,
) -> Imported:
    """Import the labels of a CSV file for a harm that is declared in `policies.yaml` and uses text.

    The file is imported as a whole or not at all. UTF-8, and UTF-16 with a byte-order mark, are read.

    Args:
        name: the name to store them under; default: the file's own, made safe.
        delimiter: comma, semicolon or tab; default: the one that finds the named columns in the first line.
        replace: replace labels that are stored under the same name.
        on_progress: called with (bytes read, bytes in all).

    Raises:
        NotFound: the harm isn't declared (the error shows what to paste into `policies.yaml`), or the file doesn't
            exist.
        Conflict: another file's labels are stored under this name, and `replace` is False.
        InvalidInput: the harm's policy doesn't use text, or the file is invalid; names file, line and column.
    """
    _check_harm(settings, policies, harm)
    safe, digest = safe_name(path.stem if name is None else name), digest_of(path, columns, delimiter)
    with changing(settings):
        stored = label_files(settings, harm)
        before = next((file for file in stored if file.name == safe), None)
        unchanged = before is not None and before.origin.digest == digest
        if before and not (unchanged or replace):
            raise _name_taken(before)
        now = clock.now()
        imported_at = before.origin.imported_at if before and unchanged else now
        origin = Origin(
            imported_at=imported_at,
            added_at=before.origin.added_at if before else now,
            path=str(path.absolute()),
            columns={role: column for role, column in columns._asdict().items() if column},
            digest=digest,
        )
        seen = _Seen(imported_at, _known(stored))
        kept = folder_of(settings, harm) / f"{safe}.parquet"
        write_labels(
            kept, origin, seen.rows_of(path, read(path, columns, delimiter=delimiter, on_progress=on_progress))
        )
        conflicts = observations(settings, harm).conflicts
    return Imported(
        path=kept,
        name=safe,
        replaced=before is not None and not unchanged,
        unchanged=unchanged,
        rows=seen.rows,
        violating=seen.violating,
        duplicates=seen.rows - len(seen.texts),
        known=seen.known_texts,
        without_text=seen.without_text,
        without_label=seen.without_label,
        without_time=seen.without_time if columns.time else 0,
        first=min(seen.times, default=None),
        last=max(seen.times, default=None),
        conflicts=tuple(each for each in conflicts if any(row.file == safe for row in each.rows)),
    )


def safe_name(name: str) -> str:
    """Convert a name to one that files, tables and MLflow accept.

    Names that are long or not ASCII end with a hash, so that different names stay different.

    Raises:
        InvalidInput: the name has no letter or digit.

    >>> safe_name("Étude 2 (final)")
    'etude_2_final_22db5c7a'
    >>> safe_name("データ1") == safe_name("ラベル1")
    False
    """
    # macOS writes accents in file names as separate characters.
    name = unicodedata.normalize("NFC", name)
    if not any(map(str.isalnum, name)):
        raise InvalidInput(
            "The name has no letter or digit.", field="name", remedy="Use letters or digits in the name."
        )
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    safe = re.sub(r"[^a-z0-9-]+", "_", plain).strip("_-")
    if name.isascii() and len(safe) <= _LONGEST_NAME:
        return safe
    digest = hashlib.blake2b(name.encode(errors="replace"), digest_size=4).hexdigest()
    return f"{safe[: _LONGEST_NAME - len(digest) - 1].rstrip('_-')}_{digest}".lstrip("_")


def declaration(harm: str) -> str:
    """YAML that declares a harm, to paste below `harms:`."""
    return f"""  {harm}:
    title: {harm.replace("_", " ").capitalize()}
    subject_types: [comment]
    severity: 5
    dsa_category: STATEMENT_CATEGORY_OTHER_VIOLATION_TC
    review: {{precision: 0.6, at_least: 0.3}}
"""


def _check_harm(settings: Settings, policies: Policies, harm: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", harm):
        raise InvalidInput(
            "Invalid name of a harm.",
            field="HARM",
            remedy="Begin with a to z and continue with a to z, 0 to 9 or _; use at most 64 characters.",
        )
    if harm not in policies.harms:
        raise NotFound(
            f"Harm {harm!r} not found.",
            field="HARM",
            remedy=f"Use one of {', '.join(policies.harms)}. Or declare it: {_in_your_own_file(settings)}"
            f"paste this below `harms:` there, then set title, subject types and severity:\n\n{declaration(harm)}",
        )
    if not policies.harms[harm].text:
        raise InvalidInput(
            f"The policy of {harm} doesn't use text, so it can't be trained with labelled texts.",
            field="HARM",
            remedy=f"Ingest decisions on it instead. Or {_in_your_own_file(settings)}remove `text: false` from it "
            "there.",
        )


def _in_your_own_file(settings: Settings) -> str:
    """The first half of a remedy that changes policies: an update would replace the packaged file."""
    if settings.policies.resolve() == POLICIES_FILE:
        return f"copy {settings.policies} to a file of your own, set LEADS_POLICIES to its path, and "
    return f"open {settings.policies}, and "


def _name_taken(before: LabelFile) -> ConflictError:
    source = f" from {before.origin.path}" if before.origin.path else ""
    return ConflictError(
        f"{before.harm} already has labels named {before.name!r}, imported on "
        f"{clock.to_text(before.origin.imported_at)[:10]}{source} (rows: {before.rows:,}).",
        field="--name",
        remedy="Choose another name with --name to keep both, or add --replace to replace them.",
    )


def _known(files: list[LabelFile]) -> dict[tuple[int, bool], Micros]:
    """When each text of these files was first imported with each label."""
    known: dict[tuple[int, bool], Micros] = {}
    for row in (row for file in files for row in read_labels(file)):
        key = row.group, row.violating
        known[key] = min(known.get(key, row.since), row.since)
    return known


class _Seen:
    """Counts of a pass over the file, which is imported `now`. `known`: when texts were first imported by label."""

    def __init__(self, now: Micros, known: dict[tuple[int, bool], Micros]) -> None:
        self.rows = self.violating = self.without_text = self.without_label = self.without_time = 0
        self.known_texts = 0
        self.times: tuple[Micros, ...] = ()
        self.texts: set[int] = set()
        self._now, self._known = now, known

    def rows_of(self, path: Path, read: Iterator[LabelledText | str]) -> Iterator[tuple[LabelledText, Micros]]:
        """The rows to store, each with when its text was first imported with its label.

        Raises:
            InvalidInput: there is no row to store.
        """
        for row in read:
            if isinstance(row, LabelledText):
                yield row, self._add(row)
            else:
                self.without_text += row == "no text"
                self.without_label += row == "no label"
        if not self.rows:
            raise InvalidInput(
                f"The file has no row with text and label; {self.without_text} rows have no text, "
                f"{self.without_label} have no label.",
                field=str(path),
                remedy="Check the names of the columns that hold text and label.",
            )

    def _add(self, row: LabelledText) -> Micros:
        group = text_hash(row.text)
        since = self._known.get((group, row.violating))
        self.known_texts += since is not None and group not in self.texts
        self.rows += 1
        self.violating += row.violating
        self.texts.add(group)
        if row.time is None:
            self.without_time += 1
        else:
            self.times = (min(*self.times, row.time), max(*self.times, row.time)) if self.times else (row.time,) * 2
        return self._now if since is None else since
