"""What an encoder is fine-tuned on: the texts of all harms, each with the labels that it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.text import plain_form
from models.text.ngrams import MAX_CHARS
from training.data.labelled_rows import LabelledRow

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]

# Half of the texts: each half is scored by a network that was fine-tuned on the other one.
HALVES = 2


class Examples(NamedTuple):
    """n distinct texts, in the order of their hashes.

    Args:
        harms: the k harms.
        hashes: (n,) see `leads.text.text_hash`.
        texts: in plain form.
        labels: (n, k) the share of the weight of its labels that is violating; NaN where a text isn't labelled.
        weights: (n, k) the mean weight of its labels; 0 where a text isn't labelled.
        halves: (n,) 0 or 1; rows of one account are in the same half as far as possible.
        own: (n,) False for texts that were added to those that have labels.
    """

    harms: tuple[str, ...]
    hashes: Hashes
    texts: list[str]
    labels: Floats
    weights: Floats
    halves: npt.NDArray[np.int64]
    own: npt.NDArray[np.bool_]

    @property
    def hash(self) -> str:
        """Hex SHA-256 of all of it."""
        digest = hashlib.sha256("\0".join(self.harms).encode())
        for part in (self.hashes, self.labels, self.weights, self.halves):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def only(self, chosen: npt.NDArray[np.bool_]) -> Examples:
        """The texts where `chosen` (n,) is True."""
        return Examples(
            self.harms,
            self.hashes[chosen],
            [text for text, kept in zip(self.texts, chosen.tolist(), strict=True) if kept],
            self.labels[chosen],
            self.weights[chosen],
            self.halves[chosen],
            self.own[chosen],
        )


class HarmRows(NamedTuple):
    """A harm's rows for fitting, and the cluster of each, which keeps rows of one account together."""

    rows: Sequence[LabelledRow]
    clusters: Hashes


def examples_of(by_harm: Mapping[str, HarmRows], left_out: Hashes, *, seed: int) -> Examples:
    """The examples of all harms.

    Args:
        by_harm: rows for fitting, without those that are held out.
        left_out: hashes of texts that are held out for any harm.
        seed: of the halves.
    """
    from training.data.split import folds

    harms = tuple(by_harm)
    held_out = set(left_out.tolist())
    found: dict[int, _Text] = {}
    for j, (rows, clusters) in enumerate(by_harm.values()):
        for row, cluster in zip(rows, clusters.tolist(), strict=True):
            if row.text is None or row.group in held_out:
                continue
            one = found.get(row.group)
            if one is None:
                one = found[row.group] = _Text(row.text, cluster, [[0.0, 0.0, 0.0] for _ in harms])
            of = one.of[j]
            of[0] += row.weight * row.violating
            of[1] += row.weight
            of[2] += 1
    order = sorted(found)
    kept = [found[group] for group in order]
    sums = np.array([one.of for one in kept], np.float64).reshape(len(kept), len(harms), 3)
    labelled = sums[:, :, 1] > 0
    labels = np.divide(sums[:, :, 0], sums[:, :, 1], out=np.full(labelled.shape, np.nan), where=labelled)
    weights = np.divide(sums[:, :, 1], sums[:, :, 2], out=np.zeros(labelled.shape), where=labelled)
    return Examples(
        harms,
        np.array(order, np.uint64),
        [plain_form(one.text, MAX_CHARS) for one in kept],
        labels.astype(np.float32),
        weights.astype(np.float32),
        folds(np.array([one.cluster for one in kept], np.uint64), seed=seed, count=HALVES),
        np.ones(len(order), np.bool_),
    )


class _Text(NamedTuple):
    """A text, its cluster, and for each harm the sums of violating weights, of weights, and the number of labels."""

    text: str
    cluster: int
    of: list[list[float]]
