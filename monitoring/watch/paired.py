"""What champion and challenger say of the same subjects at the same instants, in this host's prediction log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from leads.clock import Micros
from leads.db.model_changes import CHALLENGER
from leads.events import Subject
from leads.predictions.scan import PredictionScan

_KEY = ["type_id", "subject_id", "at"]
_COLUMNS = [*_KEY, "model_version", "role", "score", "tier"]
_VERSIONS = ["model_version", "model_version_other"]


class Tiers(NamedTuple):
    """The type of a subject, and the tiers that champion and challenger gave it."""

    type_id: str
    champion: str
    challenger: str


class Agreement(NamedTuple):
    """How many predictions both made with which tiers.

    Args:
        champion, challenger: the newest versions; predictions of others aren't counted. Where a canary answered for the
            champion, it is the canary's version.
    """

    champion: str
    challenger: str
    counts: Mapping[Tiers, int]


class ScorePair(NamedTuple):
    """Both scores of a subject at an instant (µs)."""

    subject: Subject
    at: Micros
    champion: float
    challenger: float


def read_agreement(folder: Path, harm: str, since: Micros, until: Micros) -> Agreement | None:
    """The tiers of what both scored in since ≤ at < until (µs); None without any."""
    found: dict[tuple[str, str], Counter[Tiers]] = {}
    newest: tuple[str, str] | None = None
    for both in _both(folder, harm, since, until):
        newest = _newest(both)
        counts = both.group_by([*_VERSIONS, "type_id", "tier", "tier_other"]).aggregate([([], "count_all")])
        for row in counts.to_pylist():
            tiers = Tiers(row["type_id"], row["tier"], row["tier_other"])
            found.setdefault((row["model_version"], row["model_version_other"]), Counter())[tiers] += row["count_all"]
    return None if newest is None else Agreement(*newest, found[newest])


def read_pairs(
    folder: Path, harm: str, since: Micros, until: Micros, subjects: Collection[Subject]
) -> tuple[str, list[ScorePair]]:
    """The newest challenger, and its scores of these subjects with the champion's, oldest first."""
    ids = pa.array(sorted({subject.id for subject in subjects}), pa.string())
    wanted, found, challenger = frozenset(subjects), list[tuple[str, ScorePair]](), ""
    for both in _both(folder, harm, since, until, ids):
        challenger = _newest(both)[1]
        for row in both.to_pylist():
            subject = Subject(row["type_id"], row["subject_id"])
            if subject in wanted:
                pair = ScorePair(subject, row["at"], row["score"], row["score_other"])
                found.append((row["model_version_other"], pair))
    return challenger, [pair for version, pair in found if version == challenger]


def _both(folder: Path, harm: str, since: Micros, until: Micros, ids: pa.Array | None = None) -> Iterator[pa.Table]:
    """What both scored, in slices of time. A prediction and its double have the same `at`, so they share a slice."""
    for table in PredictionScan(folder, harm, since, until).slices(_COLUMNS):
        own = table if ids is None else table.filter(pc.is_in(table["subject_id"], ids))
        is_challenger = pc.field("role") == CHALLENGER
        theirs = own.filter(is_challenger)
        both = own.filter(~is_challenger).join(theirs, _KEY, join_type="inner", right_suffix="_other")
        if both.num_rows:
            yield both.sort_by([(name, "ascending") for name in ("at", "type_id", "subject_id")])


def _newest(both: pa.Table) -> tuple[str, str]:
    last = both.slice(both.num_rows - 1).select(_VERSIONS).to_pylist()[0]
    return last["model_version"], last["model_version_other"]
