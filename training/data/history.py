"""What training needs of the event log and of the public corpora, read once for all the harms that are trained.

The log is read up to where it ends at first, so all harms are trained on the same events even if it grows meanwhile.
What stays in memory grows with the number of labels and with the corpora, and not with the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from leads import corpora
from leads.corpora import CorpusText
from leads.db import event_log
from leads.db.engine import reading
from leads.db.scans.rows import TOUCHING, scan, text_of
from leads.policies import HarmPolicy
from leads.settings import Settings
from leads.text import text_hash
from training.data.label_times import LastTouches, scored_as_leads
from training.data.labels import Label, decided_by_harm

Instants = npt.NDArray[np.int64]
Tell = Callable[[str], None]

# Events between two reports of progress.
_TOLD_EVERY = 50_000


class ScoredLabels(NamedTuple):
    """A harm's labels whose subject the worker can have scored before the verdict.

    Args:
        as_of: (n,) when it last did, µs.
        never_scored: the number of labels that were dropped.
        up_to: offset of the last event that was read.
    """

    labels: list[Label]
    as_of: Instants
    never_scored: int
    up_to: int


class History:
    """Reads on demand, for all its harms at once. Not thread-safe.

    Args:
        policies: of the harms that will be asked for.
    """

    def __init__(self, settings: Settings, policies: Mapping[str, HarmPolicy]) -> None:
        self._policies = policies
        self._folder = settings.corpora_dir
        self._up_to: int | None = None
        self._decided: dict[str, list[Label]] = {}
        self._scored: dict[str, ScoredLabels] | None = None
        self._on_platform: set[int] = set()
        self._corpora: dict[str, list[CorpusText]] = {}

    def decided(self, engine: Engine, harm: str) -> list[Label]:
        """A harm's labels; see `training.data.labels.decided`."""
        self._read_decisions(engine)
        return self._decided[harm]

    def scored(self, engine: Engine, harm: str, tell: Tell = lambda _: None) -> ScoredLabels:
        """A harm's labels that can be trained on, and the instants of their features.

        Raises:
            InvalidInput: a corpus of one of the harms can't be read.
        """
        if self._scored is None:
            up_to = self._read_decisions(engine)
            self._scored = self._read_log(engine, up_to, tell)
        return self._scored[harm]

    def corpus_texts(self, engine: Engine, harm: str) -> list[CorpusText]:
        """The texts of the corpora in a harm's policy, without those that are on this platform too.

        Raises:
            InvalidInput: a corpus of one of the harms can't be read.
        """
        self.scored(engine, harm)
        return [text for text in self._texts(harm) if text.group not in self._on_platform]

    def corpus_keys(self, harm: str) -> list[str]:
        """The corpora in a harm's policy that are there."""
        there = corpora.available(self._folder)
        return [key for key in self._policies[harm].corpora if key.partition(":")[0] in there]

    def _texts(self, harm: str) -> list[CorpusText]:
        if self._folder is None:
            return []
        names = corpora.corpora_of(self.corpus_keys(harm))
        for name in names:
            if name not in self._corpora:
                self._corpora[name] = corpora.read_corpus(self._folder, name)
        return [text for name in names for text in self._corpora[name]]

    def _read_decisions(self, engine: Engine) -> int:
        """Read the labels of all harms; returns the offset up to which the log is read."""
        if self._up_to is None:
            with reading(engine) as connection:
                up_to = event_log.head(connection).offset
            types = {harm: policy.subject_types for harm, policy in self._policies.items()}
            self._decided, self._up_to = decided_by_harm(engine, types, up_to=up_to), up_to
        return self._up_to

    def _read_log(self, engine: Engine, up_to: int, tell: Tell) -> dict[str, ScoredLabels]:
        """Find the instants of all labels, and the corpora's texts that are on the platform, in one pass."""
        as_of = {harm: scored_as_leads(engine, labels) for harm, labels in self._decided.items()}
        touches = LastTouches(
            [
                label
                for harm, labels in self._decided.items()
                for label, at in zip(labels, as_of[harm].tolist(), strict=True)
                if not at
            ]
        )
        groups = {text.group for harm, policy in self._policies.items() if policy.text for text in self._texts(harm)}
        self._scan(engine, up_to, touches, groups, tell)
        found = iter(touches.found.tolist())
        for at in as_of.values():
            missing = np.flatnonzero(at == 0)
            at[missing] = list(islice(found, len(missing)))
        return {harm: _scored(labels, as_of[harm], up_to) for harm, labels in self._decided.items()}

    def _scan(self, engine: Engine, up_to: int, touches: LastTouches, groups: set[int], tell: Tell) -> None:
        kinds = () if touches.are_all_found else TOUCHING
        if groups:
            kinds = kinds or ("item_created",)
        told = 0
        for row in scan(engine, kinds, up_to=up_to, plays_of=touches.plays_of()) if kinds else ():
            if row.offset >= told + _TOLD_EVERY:
                told = row.offset
                tell(f"reading the event log, {told:,} of {up_to:,} events")
            if not touches.are_all_found:
                touches.add(row)
            elif not groups:
                break
            if groups and row.kind == "item_created" and (group := text_hash(text_of(row))) in groups:
                self._on_platform.add(group)
        touches.end()


def _scored(labels: list[Label], as_of: Instants, up_to: int) -> ScoredLabels:
    kept = [label for label, at in zip(labels, as_of.tolist(), strict=True) if at]
    return ScoredLabels(kept, as_of[as_of > 0], len(labels) - len(kept), up_to)
