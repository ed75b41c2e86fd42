"""Batches of tokenized texts of similar length, so that there is little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Tokens per batch, so that activations stay in the CPU's cache.
BATCH_TOKENS = 1_024


class Batch(NamedTuple):
    """n texts.

    Args:
        places: (n,) their positions among all texts.
        ids: (n, length) their tokens, filled up with zeros.
        lengths: (n,) numbers of tokens.
    """

    places: Ints
    ids: Ints
    lengths: Ints


def batch_of(tokens: Sequence[Sequence[int]], places: Ints) -> Batch:
    """The texts at some positions, as one batch."""
    own = [tokens[i] for i in places.tolist()]
    lengths = np.array([len(ids) for ids in own], dtype=np.int64)
    ids = np.zeros((len(own), int(lengths.max())), dtype=np.int64)
    for i, one in enumerate(own):
        ids[i, : len(one)] = one
    return Batch(places, ids, lengths)


def batches(tokens: Sequence[Sequence[int]], most: int = BATCH_TOKENS) -> Iterator[Batch]:
    """All texts, each with at least one token, shortest first; at most `most` tokens in a batch of several texts."""
    order = np.array(sorted(range(len(tokens)), key=lambda i: len(tokens[i])), dtype=np.int64)
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * len(tokens[order[end]]) <= most:
            end += 1
        yield batch_of(tokens, order[start:end])
        start = end
