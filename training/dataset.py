"""One harm's rows: texts of the public corpora, and the platform's decided subjects with the features of their time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from features.columns import contract_for, evaluate
from features.contract import FeatureContract
from features.frames import Frame
from features.rows import missing
from leads import corpora, event_log
from leads.clock import Micros
from leads.errors import NotEnoughData
from leads.policies import HarmPolicy
from leads.records import ItemCreated, Subject
from leads.settings import Settings
from leads.text import normal_form, text_hash
from training import split
from training.labels import Label, decided

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Instants = npt.NDArray[np.int64]

PLATFORM = "platform"
MIN_OF_EACH = 30
MIN_HELD_OUT = 5
FrameSource = Callable[
    [Settings, FeatureContract, Sequence[Subject], Sequence[str | None], Instants],
    Frame,
]


class Row(NamedTuple):
    """`source` is `platform` or `corpus:<name>`; `order` ranks within it; equal `group`s are equal texts."""

    text: str | None
    violating: bool
    source: str
    order: int | None
    group: int


@dataclass(frozen=True)
class Dataset:
    """All rows of one harm.

    Args:
        features: (n, k) float32 by the contract; NaN for a corpus' rows but for the text counts.
        held_out: (n,) rows that only measure.
        labels_until: when the newest decision among the labels became visible, µs; 0 without any.
        hash: of everything above, hex.
    """

    harm: str
    contract: FeatureContract
    rows: tuple[Row, ...]
    features: Floats
    held_out: Bools
    labels_until: Micros
    hash: str

    @property
    def labels(self) -> Bools:
        return np.array([row.violating for row in self.rows], dtype=np.bool_)

    @property
    def groups(self) -> npt.NDArray[np.uint64]:
        return np.array([row.group for row in self.rows], dtype=np.uint64)

    @property
    def texts(self) -> list[str | None]:
        return [row.text for row in self.rows]

    @property
    def on_platform(self) -> Bools:
        return np.array([row.source == PLATFORM for row in self.rows], dtype=np.bool_)

    @property
    def sources(self) -> dict[str, int]:
        """How many rows each source gave."""
        return dict(sorted(Counter(row.source for row in self.rows).items()))


def assemble(
    settings: Settings, engine: Engine, harm: str, policy: HarmPolicy, *, frame: FrameSource, seed: int
) -> Dataset:
    """Everything there is to learn a harm from.

    Raises:
        NotEnoughData: fewer than 30 rows of either kind, or fewer than five held out; names what is missing.
        NotFound: there are decisions but no features were derived yet.
    """
    labels = decided(engine, harm, policy.subject_types)
    texts, on_platform = _platform_texts(engine, labels)
    rows = [_platform_row(label, text) for label, text in zip(labels, texts, strict=True)]
    contract = contract_for(text=policy.text, rules=policy.features)
    # What serving could have known at the last instant before the verdict became visible.
    as_of = np.array([label.at - 1 for label in labels], dtype=np.int64)
    parts = []
    if labels:
        parts.append(frame(settings, contract, [label.subject for label in labels], texts, as_of).matrix)
    corpus_rows = _corpus_rows(settings, policy, on_platform) if policy.text else []
    parts.append(_without_features(contract, corpus_rows))
    rows += corpus_rows
    groups = np.array([row.group for row in rows], dtype=np.uint64)
    late = split.held_out([row.source for row in rows], [row.order for row in rows], groups, seed=seed)
    _check(settings, harm, policy, rows, late)
    features = np.concatenate(parts)
    until = max((label.at for label in labels), default=0)
    return Dataset(harm, contract, tuple(rows), features, late, until, _hash(contract, rows, features, late))


def _platform_texts(engine: Engine, labels: Sequence[Label]) -> tuple[list[str | None], set[int]]:
    """Each labelled subject's text as it was just before its decision, and the hashes of all texts ever seen."""
    when = {label.subject: label.at for label in labels}
    texts: dict[Subject, str] = {}
    seen: set[int] = set()
    for logged in event_log.read_kind(engine, "item_created"):
        body = logged.event.body
        assert isinstance(body, ItemCreated)
        if body.text:
            seen.add(text_hash(body.text))
        subject = body.subject.subject
        if logged.visible_at < when.get(subject, 0):
            texts[subject] = body.text
    return [_present(texts.get(label.subject)) for label in labels], seen


def _present(text: str | None) -> str | None:
    return text if text and normal_form(text) else None


def _platform_row(label: Label, text: str | None) -> Row:
    group = text_hash(text if text is not None else f"without text: {label.subject.key}")
    return Row(text, label.violating, PLATFORM, label.at, group)


def _corpus_rows(settings: Settings, policy: HarmPolicy, on_platform: Collection[int]) -> list[Row]:
    """The corpora's rows whose text is not on the platform, where its own decisions say more about it."""
    folder = settings.corpora_dir
    there = corpora.available(folder)
    keys = [key for key in policy.corpora if key.partition(":")[0] in there]
    if folder is None or not keys:
        return []
    rows = []
    for text in corpora.read_for(folder, keys):
        label = text.label(keys)
        present = _present(text.text)
        if label is not None and present is not None and text.group not in on_platform:
            rows.append(Row(present, label, f"corpus:{text.corpus}", text.order, text.group))
    return rows


def _without_features(contract: FeatureContract, rows: Sequence[Row]) -> Floats:
    at = np.zeros(len(rows), dtype=np.int64)
    return evaluate(contract, missing(len(rows)), at, [row.text for row in rows]).matrix


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
        remedy="Ingest or make more decisions.",
    )


def _hash(contract: FeatureContract, rows: Sequence[Row], features: Floats, late: Bools) -> str:
    digest = hashlib.sha256(contract.to_json())
    for row, is_late in zip(rows, late.tolist(), strict=True):
        digest.update(repr((row.group, row.violating, row.source, row.order, is_late, row.text)).encode())
    digest.update(features.tobytes())
    return digest.hexdigest()
