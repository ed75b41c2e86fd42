"""One harm's data set: its rows with the features of their time, and which of them only measure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from features.contract import FeatureContract
from features.evaluate.columns import contract_for, text_only
from features.offline.frames import Frame
from leads import corpora
from leads.clock import Micros
from leads.errors import NotEnoughData
from leads.events import Subject
from leads.policies import HarmPolicy
from leads.settings import Settings
from training.config import DEFAULTS, TrainingConfig
from training.data import split
from training.data.label_times import scored_at
from training.data.labelled_rows import CORPUS, PLATFORM, Row, corpus_rows, deduplicated, platform_rows
from training.data.labels import decided
from training.data.own_labels import imported

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Instants = npt.NDArray[np.int64]

MIN_OF_EACH = 30
MIN_HELD_OUT = 5
FrameSource = Callable[
    [Settings, FeatureContract, Sequence[Subject], Sequence[str | None], Instants],
    Frame,
]


@dataclass(frozen=True)
class Dataset:
    """All rows of one harm.

    Args:
        features: (n, k) float32 by the contract; NaN for a row without a subject but for the text counts.
        held_out: (n,) rows that only measure.
        labels_until: when the newest decision among the labels became visible, µs; 0 without any.
        removed: copies of texts that were left out.
        disputed: labels about which humans passed both verdicts, or copies of a text bore both in equal number.
        never_scored: labels left out because the worker could not have scored their subject before the verdict.
        hash: of everything above, hex.
    """

    harm: str
    contract: FeatureContract
    rows: tuple[Row, ...]
    features: Floats
    held_out: Bools
    labels_until: Micros
    removed: int
    disputed: int
    hash: str
    never_scored: int = 0

    @cached_property
    def labels(self) -> Bools:
        return np.array([row.violating for row in self.rows], dtype=np.bool_)

    @cached_property
    def weights(self) -> Doubles:
        """(n,) how much each label counts in fitting."""
        return np.array([row.weight for row in self.rows], dtype=np.float64)

    @cached_property
    def groups(self) -> npt.NDArray[np.uint64]:
        """(n,) equal for equal texts."""
        return np.array([row.group for row in self.rows], dtype=np.uint64)

    @cached_property
    def clusters(self) -> npt.NDArray[np.uint64]:
        """(n,) equal for rows that belong in one fold: equal texts, one maker's items."""
        return split.clusters(self.groups, [row.maker for row in self.rows])

    @cached_property
    def texts(self) -> list[str | None]:
        return [row.text for row in self.rows]

    @cached_property
    def on_platform(self) -> Bools:
        return np.array([row.source == PLATFORM for row in self.rows], dtype=np.bool_)

    @cached_property
    def served(self) -> Bools:
        """(n,) rows that stand for what will be scored: the platform's own as soon as they can carry it, else all."""
        own, labels = self.on_platform, self.labels
        enough = _enough(labels[own & ~self.held_out], MIN_OF_EACH) and _enough(
            labels[own & self.held_out], 2 * MIN_HELD_OUT
        )
        return own if enough else np.ones(len(self.rows), dtype=np.bool_)

    @cached_property
    def borrowed(self) -> bool:
        """Whether rows of public corpora stand for what will be scored: then nobody knows yet how it will fare here."""
        return any(row.source.startswith(CORPUS) for row, served in zip(self.rows, self.served, strict=True) if served)

    @cached_property
    def sources(self) -> dict[str, int]:
        """How many rows each source gave."""
        return dict(sorted(Counter(row.source for row in self.rows).items()))


def assemble(
    settings: Settings,
    engine: Engine,
    harm: str,
    policy: HarmPolicy,
    *,
    config: TrainingConfig = DEFAULTS,
    frame: FrameSource,
    seed: int,
) -> Dataset:
    """Everything there is to learn a harm from.

    Raises:
        InvalidInput: labels kept from a file of one's own can't be read.
        NotEnoughData: fewer than 30 rows of either kind, or fewer than five held out; names what is missing.
        NotFound: there are decisions but no features were derived yet.
    """
    known = decided(engine, harm, policy.subject_types)
    times = scored_at(engine, known)
    labels = [label for label, at in zip(known, times, strict=True) if at is not None]
    as_of = np.array([at for at in times if at is not None], dtype=np.int64)
    rows, on_platform = platform_rows(engine, labels, as_of.tolist(), config.labels)
    contract = contract_for(text=policy.text, rules=policy.features)
    parts = []
    if labels:
        subjects, texts = [label.subject for label in labels], [row.text for row in rows]
        parts.append(frame(settings, contract, subjects, texts, as_of).matrix)
    texts_alone = [*corpus_rows(settings, policy, config.labels, on_platform), *imported(settings, harm)]
    distinct = deduplicated(texts_alone if policy.text else ())
    parts.append(text_only(contract, [row.text for row in distinct.rows]))
    rows += distinct.rows
    groups = np.array([row.group for row in rows], dtype=np.uint64)
    late = split.held_out([row.source for row in rows], [row.order for row in rows], groups, seed=seed)
    _check(settings, harm, policy, rows, late)
    features = np.concatenate(parts)
    return Dataset(
        harm,
        contract,
        tuple(rows),
        features,
        late,
        labels_until=max((label.at for label in labels), default=0),
        removed=distinct.removed,
        never_scored=len(known) - len(labels),
        disputed=distinct.undecided + sum(label.disputed for label in labels),
        hash=_hash(contract, rows, features, late),
    )


def _enough(labels: Bools, of_each: int) -> bool:
    return bool(min(labels.sum(), (~labels).sum()) >= of_each)


def _check(settings: Settings, harm: str, policy: HarmPolicy, rows: Sequence[Row], late: Bools) -> None:
    positives = sum(row.violating for row in rows)
    held = [row.violating for row, is_late in zip(rows, late, strict=True) if is_late]
    few = min(positives, len(rows) - positives) < MIN_OF_EACH
    if not few and min(sum(held), len(held) - sum(held)) >= MIN_HELD_OUT:
        return
    decisions = sum(row.source == PLATFORM for row in rows)
    lacking = [key for key in policy.corpora if key.partition(":")[0] not in corpora.available(settings.corpora_dir)]
    also = f" Without its corpora: {', '.join(lacking)} (set LEADS_CORPORA)." if lacking else ""
    what = (
        f"{len(rows)} labels, {positives} of them violating, {decisions} from decisions"
        if few
        else f"{len(held)} labels to measure with, {sum(held)} of them violating"
    )
    raise NotEnoughData(
        f"There are {what}; it takes {MIN_OF_EACH} of each kind, {MIN_HELD_OUT} of each among the latest fifth.{also}",
        field=harm,
        remedy="Ingest or make more decisions, or bring labels of your own: leads train HARM --csv FILE.",
    )


def _hash(contract: FeatureContract, rows: Sequence[Row], features: Floats, late: Bools) -> str:
    digest = hashlib.sha256(contract.to_json())
    for row, is_late in zip(rows, late.tolist(), strict=True):
        digest.update(repr((*row, is_late)).encode())
    digest.update(features.tobytes())
    return digest.hexdigest()
