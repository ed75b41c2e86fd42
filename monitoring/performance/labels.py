"""Verdicts as arrays, and how much they tell: leads of one account, or with equal texts, are one observation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leads.clock import Micros
from leads.db.monitoring.decided import Verdict
from leads.estimates.clusters import observations
from leads.estimates.intervals import Interval, clopper_pearson
from leads.events import Subject

Doubles = npt.NDArray[np.float64]
FLAGGED = ("review", "auto")


@dataclass(frozen=True)
class Labels:
    """n verdicts on flagged leads, oldest first.

    Args:
        at: (n,) µs; scores: (n,); violating: (n,).
        groups: (n,) equal for verdicts that are one observation.
        types, tiers, versions: (n,). subjects: n.
    """

    at: npt.NDArray[np.int64]
    scores: Doubles
    violating: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.str_]
    types: npt.NDArray[np.str_]
    tiers: npt.NDArray[np.str_]
    versions: npt.NDArray[np.str_]
    subjects: tuple[Subject, ...]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def worth(self) -> float:
        """The effective number of observations; 0 without verdicts."""
        return observations(self.groups) if len(self) else 0.0

    @property
    def version(self) -> str:
        """The version of all predictions; empty if there are several."""
        found = set(self.versions.tolist())
        return found.pop() if len(found) == 1 else ""

    def where(self, chosen: npt.NDArray[np.bool_]) -> Labels:
        """The chosen verdicts."""
        return Labels(
            self.at[chosen],
            self.scores[chosen],
            self.violating[chosen],
            self.groups[chosen],
            self.types[chosen],
            self.tiers[chosen],
            self.versions[chosen],
            tuple(subject for subject, one in zip(self.subjects, chosen.tolist(), strict=True) if one),
        )

    def precision(self, confidence: float = 0.95) -> Interval:
        """The share that violates; there must be verdicts."""
        share, worth = float(self.violating.mean()), self.worth
        return clopper_pearson(min(share * worth, worth), worth, confidence=confidence)

    def first_of_each(self) -> Labels:
        """The first verdict of each group."""
        _, first = np.unique(self.groups, return_index=True)
        return self.where(np.isin(np.arange(len(self)), first))


def labels(verdicts: Iterable[Verdict], *, since: Micros = 0) -> Labels:
    """The verdicts on leads that were flagged, from `since` on.

    Verdicts on equal texts are one observation, and so are those on the items of one account.
    """
    found = [one for one in verdicts if one.tier in FLAGGED and one.at >= since]
    # The texts of an account are of its group; an equal text by another account joins the group of the first one.
    by_text: dict[str, str] = {}
    groups = [by_text.setdefault(one.content, one.account) if one.content else one.account for one in found]
    return Labels(
        np.array([one.at for one in found], dtype=np.int64),
        np.array([one.score for one in found], dtype=np.float64),
        np.array([one.violating for one in found], dtype=bool),
        np.array(groups, dtype=np.str_),
        np.array([one.subject.type_id for one in found], dtype=np.str_),
        np.array([one.tier for one in found], dtype=np.str_),
        np.array([one.version for one in found], dtype=np.str_),
        tuple(one.subject for one in found),
    )
