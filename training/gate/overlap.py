"""Finds the held-out rows that a version was trained on: on them, its figures would be too good.

A growing data set has none, see `training.data.split`. There are some once a file of labels was removed or replaced, or
a verdict was revised.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from models import training_rows
from models.version import ModelVersion

Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]


class Overlap(msgspec.Struct, frozen=True):
    """Held-out rows that were left out because a version was trained on them.

    Args:
        versions: the versions that are measured.
        rows: held-out rows before any was left out, and `left_out` of them.
        trained: the versions that were trained on rows that were left out.
        unknown: the versions that don't record which rows they were trained on.
    """

    versions: tuple[str, ...] = ()
    rows: int = 0
    left_out: int = 0
    trained: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def text(self) -> str:
        """What was left out, and what is known of the remaining rows.

        >>> Overlap(("1", "2"), 594, 306, ("2",)).text()
        '306 of 594 held-out rows were left out, because version 2 was trained on them.'
        >>> Overlap(("1", "2"), 594).text()
        'Neither version was trained on these rows.'
        >>> Overlap(("1",), 594, unknown=("1",)).text()
        "Version 1 doesn't record which rows it was trained on, so some of these rows may be among them."
        """
        said = []
        if self.left_out:
            were = "row was" if self.left_out == 1 else "rows were"
            who = " or ".join(self.trained)
            them = "it" if self.left_out == 1 else "them"
            said.append(
                f"{self.left_out:,} of {self.rows:,} held-out {were} left out, because version {who} was trained on "
                f"{them}."
            )
        if self.unknown:
            who = " and ".join(self.unknown)
            record, it = ("doesn't record", "it was") if len(self.unknown) == 1 else ("don't record", "they were")
            plural = "s" * (len(self.unknown) > 1)
            said.append(
                f"Version{plural} {who} {record} which rows {it} trained on, so some of these rows may be among them."
            )
        if said:
            return " ".join(said)
        if len(self.versions) == 1:
            return f"Version {self.versions[0]} wasn't trained on these rows."
        return "Neither version was trained on these rows."


def trained_on(versions: Sequence[ModelVersion], groups: Groups) -> tuple[Bools, tuple[str, ...], tuple[str, ...]]:
    """(n,) True for rows that any of the versions was trained on; which versions were, and of which it is unknown.

    Args:
        groups: (n,) of the rows, as `Dataset.groups`.

    Raises:
        ModelRefused: a version's record can't be read.
    """
    seen, trained, unknown = np.zeros(len(groups), dtype=np.bool_), [], []
    for version in versions:
        its = training_rows.read(version)
        if its is None:
            unknown.append(version.version)
        elif (among := np.isin(groups, its)).any():
            seen |= among
            trained.append(version.version)
    return seen, tuple(trained), tuple(unknown)
