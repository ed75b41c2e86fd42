"""Texts that n-gram heads are fitted on besides labelled ones, for harms that may be about any group of people.

Each text that names groups gets a copy that names others and has the same label. Friendly sentences about every group,
and the bare names of the groups, count as not violating. So the heads go less by which group a text names. Nothing is
calibrated on these texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leads.text import plain_form
from models.text.ngrams import MAX_CHARS
from training.fit.groups import exchanged, friendly, names

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# The weight of a copy, as a share of that of its text; and of all friendly texts, as a share of that of all rows.
# Beside a fine-tuned encoder, the names of groups can count less, because it reads what is said of them.
COPY, FRIENDLY, FRIENDLY_BESIDE_ENCODER = 0.5, 0.03, 0.3
# A bare name weighs as much as this many sentences: people comment with one word, too.
_PER_NAME = 5
_FRIENDLY_TEXT = -1


class AddedTexts(NamedTuple):
    """m texts that are added to n with labels.

    Args:
        texts: what they say.
        source: (m,) the position of the text that each is a copy of; -1 for a friendly text.
    """

    texts: list[str]
    source: Ints


def added_texts(texts: Sequence[str]) -> AddedTexts:
    """The texts to add to these."""
    copies = ((i, exchanged(plain_form(text, MAX_CHARS))) for i, text in enumerate(texts))
    found = [(i, copy) for i, copy in copies if copy is not None]
    found += [(_FRIENDLY_TEXT, text) for text in (*friendly(), *(list(names()) * _PER_NAME))]
    return AddedTexts([text for _, text in found], np.array([i for i, _ in found], np.int64))


class Beside(NamedTuple):
    """m rows that heads are fitted on beside those with labels.

    Args:
        matrix: (m, grams) their vectors.
        counted: (m,) how much each counts in the log-count ratios, where a row with a label counts 1.
    """

    matrix: Any
    labels: Bools
    weights: Doubles
    counted: Doubles


class AddedRows(NamedTuple):
    """The added texts of the rows that heads are fitted on.

    Args:
        matrix: (m, grams) their vectors.
        source: (m,) the row that each is a copy of; -1 for a friendly text.
    """

    matrix: Any
    source: Ints

    @staticmethod
    def of(source: Ints, rows: Ints, vectors: Callable[[Ints], Any]) -> AddedRows:
        """Those whose text is among `rows`, and the friendly texts.

        Args:
            source: (m,) of `AddedTexts`.
            rows: (n,) positions of the rows' texts.
            vectors: gives the vectors of added texts by their positions.
        """
        order = np.argsort(rows, kind="stable")
        at = order[np.minimum(np.searchsorted(rows[order], source), len(rows) - 1)]
        is_row = rows[at] == source
        kept = np.flatnonzero(is_row | (source == _FRIENDLY_TEXT))
        return AddedRows(vectors(kept), np.where(is_row, at, _FRIENDLY_TEXT)[kept])

    def beside(self, chosen: Bools, labels: Bools, weights: Doubles, *, tuned: bool) -> Beside:
        """What to add to the `chosen` (n,) rows: copies of these, and the friendly texts.

        Args:
            labels, weights: (n,) of all rows.
            tuned: whether a fine-tuned encoder reads the texts too.
        """
        is_copy = self.source >= 0
        kept = ~is_copy | chosen[self.source]
        source, is_copy = self.source[kept], is_copy[kept]
        each = (FRIENDLY_BESIDE_ENCODER if tuned else FRIENDLY) / max(1, (~is_copy).sum())
        return Beside(
            self.matrix[kept],
            np.where(is_copy, labels[source], False),
            np.where(is_copy, COPY * weights[source], each * weights[chosen].sum()),
            np.where(is_copy, COPY, each * chosen.sum()),
        )
