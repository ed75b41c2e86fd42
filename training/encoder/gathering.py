"""Gathers the examples of all harms that have labels and read texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sqlalchemy.engine import Engine

from leads.errors import NotEnoughData
from leads.policies import Policies
from leads.settings import Settings
from training.config import SEED, load_config
from training.data import split
from training.data.gathered import gather, groups_of, held_out_rows
from training.data.history import History
from training.data.labelled_rows import LabelledRow
from training.encoder.examples import Examples, HarmRows, examples_of


class Gathered(NamedTuple):
    """What an encoder is trained on, and what it is measured on.

    Args:
        learned: texts that are held out for no harm.
        held_out: texts that are held out for the harms that they are labelled for.
        about_groups: the harms for which it makes no difference which group a text is about.
        skipped: the harms without enough labels, and why.
    """

    learned: Examples
    held_out: Examples
    about_groups: frozenset[str]
    skipped: dict[str, str]


def gather_examples(
    settings: Settings, engine: Engine, policies: Policies, tell: Callable[[str], None] = lambda _: None
) -> Gathered:
    """Gather the labels of all harms whose policies read texts. No harm's held-out texts are learned for any harm.

    Raises:
        NotEnoughData: no harm has enough labels.
        InvalidInput: imported labels or a corpus can't be read.
    """
    reading = {harm: policy for harm, policy in policies.harms.items() if policy.text}
    history = History(settings, reading)
    learn: dict[str, HarmRows] = {}
    held: dict[str, HarmRows] = {}
    skipped: dict[str, str] = {}
    for harm, policy in reading.items():
        try:
            rows = gather(settings, engine, harm, policy, load_config(settings, harm), history, tell).rows
            is_held_out = held_out_rows(harm, rows, seed=SEED)
        except NotEnoughData as error:
            skipped[harm] = error.message
            continue
        groups = groups_of(rows)
        clusters = split.clusters(groups, [row.maker for row in rows])
        learn[harm] = _some(rows, clusters, ~is_held_out)
        held[harm] = _some(rows, clusters, is_held_out)
    if not learn:
        raise NotEnoughData(
            "No harm has enough labels to fine-tune an encoder: " + " ".join(skipped.values()),
            field="harms",
            remedy="Decide leads, or import labels of your own: leads labels import HARM FILE",
        )
    left_out = np.array(sorted({row.group for one in held.values() for row in one.rows}), np.uint64)
    nothing = np.empty(0, np.uint64)
    about_groups = frozenset(harm for harm in learn if load_config(settings, harm).about_groups)
    learned, held_out = examples_of(learn, left_out, seed=SEED), examples_of(held, nothing, seed=SEED)
    return Gathered(learned, held_out, about_groups, skipped)


def _some(rows: list[LabelledRow], clusters: np.ndarray, chosen: np.ndarray) -> HarmRows:
    return HarmRows([row for row, kept in zip(rows, chosen.tolist(), strict=True) if kept], clusters[chosen])
