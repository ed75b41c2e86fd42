"""A harm's labelled rows from all sources, and which of them are held out, before any features are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from leads import corpora
from leads.errors import NotEnoughData
from leads.messages.wording import counted
from leads.platform.declaration import load_platform
from leads.policies import HarmPolicy
from leads.settings import Settings
from training.config import TrainingConfig
from training.data import split
from training.data.history import History, ScoredLabels, Tell
from training.data.label_files import IMPORT
from training.data.labelled_rows import PLATFORM, Deduplicated, LabelledRow, corpus_rows, deduplicated, platform_rows
from training.data.observations import observations
from training.evidence import MIN_DISTINCT

Bools = npt.NDArray[np.bool_]

MIN_OF_EACH = 30
MIN_HELD_OUT = 5
# Of each label: enough for both sides of the split, where equal texts are on one side.
MIN_TEXTS = 2 * MIN_HELD_OUT


class Gathered(NamedTuple):
    """All labelled rows of a harm.

    Args:
        known: the platform's labels; their rows come first, in the same order.
        texts: the rows behind them, which are texts without a subject.
    """

    known: ScoredLabels
    rows: list[LabelledRow]
    texts: Deduplicated


def gather(
    settings: Settings,
    engine: Engine,
    harm: str,
    policy: HarmPolicy,
    config: TrainingConfig,
    history: History,
    tell: Tell = lambda _: None,
) -> Gathered:
    """Gather all labels of a harm from decisions, public corpora and imported files.

    Raises:
        InvalidInput: imported labels can't be read.
        NotEnoughData: fewer than 30 rows or ten different texts of either kind; says how many there are and what is
            missing. It depends on what there is and not on which rows are held out.
    """
    known = history.scored(engine, harm, tell)
    rows = platform_rows(engine, known, config.labels, load_platform(settings.platform).language_fields)
    texts = _texts(settings, engine, harm, history, config) if policy.text else Deduplicated([], 0, 0)
    rows += texts.rows
    _check(settings, harm, policy, rows)
    return Gathered(known, rows, texts)


def held_out_rows(harm: str, rows: Sequence[LabelledRow], *, seed: int) -> Bools:
    """(n,) True for rows that are only used to measure.

    Raises:
        NotEnoughData: too few rows of either kind would be on one side.
    """
    groups, labelled = groups_of(rows), labels_of(rows)
    sources, orders = [row.source for row in rows], [row.order for row in rows]
    held_out = split.held_out(sources, orders, groups, labelled, least=MIN_DISTINCT, seed=seed)
    _check_sides(harm, labelled, held_out, timed=None not in orders)
    return held_out


def labels_of(rows: Sequence[LabelledRow]) -> Bools:
    """(n,) True for violating rows."""
    return np.array([row.violating for row in rows], dtype=np.bool_)


def groups_of(rows: Sequence[LabelledRow]) -> npt.NDArray[np.uint64]:
    """(n,) equal for rows with equal texts."""
    return np.array([row.group for row in rows], dtype=np.uint64)


def _texts(settings: Settings, engine: Engine, harm: str, history: History, config: TrainingConfig) -> Deduplicated:
    """The rows of corpora and imported files, which are texts without a subject."""
    own = observations(settings, harm)
    groups = {row.group for row in own.rows}
    found = history.corpus_texts(engine, harm)
    corpus = deduplicated(corpus_rows(found, history.corpus_keys(harm), config.labels, groups))
    return Deduplicated([*corpus.rows, *own.rows], corpus.removed + own.removed, corpus.disputed + len(own.conflicts))


def enough(labels: Bools, of_each: int) -> bool:
    """Whether there are as many labels of each kind."""
    return bool(min(labels.sum(), (~labels).sum()) >= of_each)


def _check(settings: Settings, harm: str, policy: HarmPolicy, rows: Sequence[LabelledRow]) -> None:
    """Count what there is before rows are held out."""
    missing = []
    for name, violating in (("violating", True), ("not violating", False)):
        groups = [row.group for row in rows if row.violating == violating]
        if len(groups) < MIN_OF_EACH:
            missing.append(counted(MIN_OF_EACH - len(groups), "more that is", "more that are") + f" {name}")
        elif (texts := len(set(groups))) < MIN_TEXTS:
            of = counted(MIN_TEXTS - texts, "more different text that is", "more different texts that are")
            missing.append(f"{of} {name}")
    if not missing:
        return
    positives, decisions = sum(row.violating for row in rows), sum(row.source == PLATFORM for row in rows)
    lacking = [key for key in policy.corpora if key.partition(":")[0] not in corpora.available(settings.corpora_dir)]
    why, what = ("turned off", "by LEADS_CORPORA") if settings.without_corpora else ("not found", "set LEADS_CORPORA")
    hint = f" Corpora {why}: {', '.join(lacking)} ({what})." if lacking else ""
    raise NotEnoughData(
        f"{harm} has {counted(len(rows), 'label')}, {positives} of them violating, {decisions} from "
        f"decisions. Training needs {' and '.join(missing)}; the minimum is {MIN_OF_EACH} labels of each kind, on "
        f"{MIN_TEXTS} different texts.{hint}",
        field=harm,
        remedy=f"Ingest or make more decisions, or import labels of your own: {IMPORT}",
    )


def _check_sides(harm: str, labels: Bools, held_out: Bools, *, timed: bool) -> None:
    if all(enough(labels[side], MIN_HELD_OUT) for side in (held_out, ~held_out)):
        return
    chosen = "the latest fifth" if timed else "a random fifth"
    raise NotEnoughData(
        f"{harm} has too few different texts: equal texts are held out together, so {chosen} can't hold out "
        f"{MIN_HELD_OUT} violating and {MIN_HELD_OUT} other labels and leave as many to train on.",
        field=harm,
        remedy=f"Ingest or make decisions on other texts, or import labels of your own: {IMPORT}",
    )
