"""One harm's data set: labelled rows, each with the features it had when it was scored, and which rows are held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from features.contract import Column, FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.generations import live
from leads.clock import Micros
from leads.policies import HarmPolicy
from leads.settings import Settings
from training.config import DEFAULTS, TrainingConfig
from training.contracts import harm_contract, whole_contract
from training.data import split
from training.data.gathered import MIN_OF_EACH, enough, gather, groups_of, held_out_rows, labels_of
from training.data.history import History, Tell
from training.data.labelled_rows import CORPUS, PLATFORM, LabelledRow
from training.evidence import evidence
from training.joining import FrameSource, fill_texts, join_features

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class OptionalFeature(NamedTuple):
    """A stored feature that the harm's contract leaves out, with the (n,) values of a data set's rows."""

    column: Column
    values: Floats


@dataclass(frozen=True)
class Dataset:
    """All labelled rows of one harm.

    Args:
        features: (n, k) float32 by the contract. A row that is only a text has NaN except in features of the text.
        held_out: (n,) True for rows that are only used to measure.
        labels_until: when the newest decision among the labels became visible, µs; 0 if there is none.
        removed: copies of texts within their source that were dropped.
        disputed: labels on which human reviewers disagreed, texts of imported files with both labels, and texts of
            corpora with both labels equally often.
        hash: hex SHA-256 of contract, rows, features and the split.
        never_scored: number of labels dropped because the worker can't have scored the subject before the verdict.
        optional: the features with `default: false`, which versions of your own may take.
        feature_set: the features that existed when the rows were gathered.
    """

    harm: str
    contract: FeatureContract
    rows: tuple[LabelledRow, ...]
    features: Floats
    held_out: Bools
    labels_until: Micros
    removed: int
    disputed: int
    hash: str
    never_scored: int = 0
    optional: tuple[OptionalFeature, ...] = ()
    feature_set: FeatureSet = BUILTIN

    @cached_property
    def labels(self) -> Bools:
        """(n,) True for violating rows."""
        return labels_of(self.rows)

    @cached_property
    def weights(self) -> Doubles:
        """(n,) the weight of each label in fitting."""
        return np.array([row.weight for row in self.rows], dtype=np.float64)

    @cached_property
    def groups(self) -> npt.NDArray[np.uint64]:
        """(n,) equal for rows with equal texts."""
        return groups_of(self.rows)

    @cached_property
    def clusters(self) -> npt.NDArray[np.uint64]:
        """(n,) equal for rows that must be in the same fold: equal texts, and items made by one account."""
        return split.clusters(self.groups, [row.maker for row in self.rows])

    @cached_property
    def texts(self) -> list[str | None]:
        """The text of each of the n rows; None for a row without text."""
        return [row.text for row in self.rows]

    @cached_property
    def languages(self) -> dict[str, int]:
        """The number of distinct texts by language among the rows that aren't held out."""
        trained = (row for row, held_out in zip(self.rows, self.held_out.tolist(), strict=True) if not held_out)
        languages = {row.group: language for row in trained if (language := row.language) is not None}
        return dict(Counter(languages.values()))

    @cached_property
    def on_platform(self) -> Bools:
        """(n,) True for rows labelled by decisions on this platform."""
        return np.array([row.source == PLATFORM for row in self.rows], dtype=np.bool_)

    @cached_property
    def served(self) -> Bools:
        """(n,) True for rows that represent what will be scored: the platform's own if there are enough, else all."""
        own, labels = self.on_platform, self.labels
        measured = own & self.held_out
        has_own = (
            enough(labels[own & ~self.held_out], MIN_OF_EACH)
            and not evidence(labels[measured], self.groups[measured]).missing
        )
        return own if has_own else np.ones(len(self.rows), dtype=np.bool_)

    @cached_property
    def borrowed(self) -> bool:
        """Whether rows of public corpora represent what will be scored. Quality on this platform is unknown then."""
        return any(row.source.startswith(CORPUS) for row, served in zip(self.rows, self.served, strict=True) if served)

    @cached_property
    def sources(self) -> dict[str, int]:
        """Number of rows by source."""
        return dict(sorted(Counter(row.source for row in self.rows).items()))

    def with_features(self, names: Sequence[str]) -> Dataset:
        """The data set with exactly these features, in this order: of its contract, or optional ones."""
        columns = zip(self.contract.columns, self.features.T, strict=True)
        known = {column.name: (column, values) for column, values in (*columns, *self.optional)}
        contract = msgspec.structs.replace(self.contract, columns=tuple(known[name][0] for name in names))
        return replace(self, contract=contract, features=np.column_stack([known[name][1] for name in names]))


def assemble(
    settings: Settings,
    engine: Engine,
    harm: str,
    policy: HarmPolicy,
    *,
    config: TrainingConfig = DEFAULTS,
    frame: FrameSource,
    seed: int,
    history: History | None = None,
    tell: Tell = lambda _: None,
) -> Dataset:
    """Gather all labels of a harm from decisions, public corpora and imported files, with their features.

    Args:
        history: reads the event log once for several harms; None: for this one.
        tell: called now and then with what is being done.

    Raises:
        InvalidInput: imported labels can't be read.
        NotEnoughData: fewer than 30 rows or ten different texts of either kind; says how many there are and what is
            missing. It depends on what there is and not on which rows are held out.
        NotFound: there are decisions, but no features have been derived yet.
    """
    history = history or History(settings, {harm: policy})
    known, rows, texts = gather(settings, engine, harm, policy, config, history, tell)
    held_out = held_out_rows(harm, rows, seed=seed)
    feature_set = live(engine)
    contract, whole = harm_contract(policy, feature_set), whole_contract(policy, feature_set)
    matrix = np.empty((len(rows), len(whole.columns)), np.float32)
    subjects = [label.subject for label in known.labels]
    own = len(subjects)
    judged = [row.text for row in rows[:own]]
    join_features(settings, whole, subjects, judged, known.as_of, feature_set, frame=frame, into=matrix, tell=tell)
    fill_texts(whole, [row.text for row in texts.rows], feature_set, into=matrix[own:])
    k = len(contract.columns)
    features = matrix[:, :k]
    return Dataset(
        harm,
        contract,
        tuple(rows),
        features,
        held_out,
        labels_until=max((label.at for label in known.labels), default=0),
        removed=texts.removed,
        never_scored=known.never_scored,
        disputed=texts.disputed + sum(label.disputed for label in known.labels),
        hash=_hash(contract, rows, features, held_out),
        optional=tuple(map(OptionalFeature, whole.columns[k:], matrix.T[k:])),
        feature_set=feature_set,
    )


def _hash(contract: FeatureContract, rows: Sequence[LabelledRow], features: Floats, held_out: Bools) -> str:
    digest = hashlib.sha256(contract.to_json())
    for row, is_held_out in zip(rows, held_out.tolist(), strict=True):
        # Not the subject: no score depends on it, and hashes stay those of earlier releases.
        digest.update(repr((*row[:-1], is_held_out)).encode())
    digest.update(features.tobytes())
    return digest.hexdigest()
