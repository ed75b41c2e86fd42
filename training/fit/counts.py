"""The n-gram counts of a data set's texts, computed once for all fits, and the TF-IDF vectors of some of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.text.ngrams import Grams, Hashes, grams
from models.text.sentence import CachedEncoder, OnEncoded
from models.text.stage import count
from training.fit.added import AddedRows, AddedTexts, added_texts

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

MIN_TEXTS = 2


class GramCounts(NamedTuple):
    """1 + ln tf of one family of n-grams as a sparse (texts, grams) matrix, and the hash of each column's n-gram."""

    matrix: Any
    hashes: Hashes


class AddedCounts(NamedTuple):
    """The n-gram counts of added texts, with the columns of the data set's texts, and `AddedTexts.source`."""

    words: Any
    chars: Any
    source: Ints


class TextCounts(NamedTuple):
    """The n-gram counts of all of a data set's texts, computed once for all fits on parts of its rows.

    Args:
        present: (n,) False for rows without usable text.
        vectors: (n, width) vectors by the encoder, as if it had never seen the texts; None without an encoder.
        encoder: computed the vectors, and becomes part of the stage.
        added: of the texts that the n-gram heads are fitted on too; None if there are none.
    """

    words: GramCounts
    chars: GramCounts
    present: Bools
    vectors: Floats | None = None
    encoder: CachedEncoder | None = None
    added: AddedCounts | None = None


class Vectors(NamedTuple):
    """Unit vectors of both families side by side, with what is needed to assign weights back to each family."""

    matrix: Any
    idf: tuple[Doubles, Doubles]
    kept: tuple[Bools, Bools]


def count_texts(
    texts: Sequence[str | None],
    encoder: CachedEncoder | None = None,
    *,
    about_groups: bool = False,
    on_encoded: OnEncoded | None = None,
) -> TextCounts:
    """Count the n-grams of n texts, without those that occur only once, and encode the texts if there is an encoder.

    Args:
        about_groups: whether it makes no difference which group of people a text is about.
        on_encoded: called now and then with (texts encoded, texts to encode).
    """
    present_texts = [text or "" for text in texts]
    found = grams(present_texts)
    present = np.bincount(found.chars.rows, minlength=len(texts)) > 0
    vectors = encoder.encode_unseen(present_texts, on_encoded=on_encoded) if encoder else None
    words, chars = (_counts(family, len(texts), _recurring(family)) for family in found)
    added = _added_counts(added_texts(present_texts), words.hashes, chars.hashes) if about_groups else None
    return TextCounts(words, chars, present, vectors, encoder, added)


def vectors_of(counts: TextCounts, rows: Ints) -> Vectors:
    parts, idfs, keeps = [], [], []
    for family in (counts.words, counts.chars):
        part = family.matrix[rows]
        texts = np.bincount(part.indices, minlength=part.shape[1])
        kept = texts >= MIN_TEXTS
        idf = np.log((1 + len(rows)) / (1 + texts[kept])) + 1
        parts.append(_of_length_one(part, kept, idf))
        idfs.append(idf)
        keeps.append(kept)
    return Vectors(_side_by_side(parts), (idfs[0], idfs[1]), (keeps[0], keeps[1]))


def _of_length_one(part: Any, kept: Bools, idf: Doubles) -> Any:
    import scipy.sparse as sp

    part = part[:, np.flatnonzero(kept).astype(np.int32)] @ sp.diags_array(idf)
    lengths = np.sqrt(part.multiply(part).sum(axis=1))
    return sp.diags_array(1 / np.where(lengths > 0, lengths, 1)) @ part


def _side_by_side(parts: Sequence[Any]) -> Any:
    import scipy.sparse as sp

    return sp.hstack(parts, format="csr")


def _counts(found: Grams, n: int, hashes: Hashes) -> GramCounts:
    import scipy.sparse as sp

    counted = count(found, hashes)
    matrix = sp.csr_array(
        (counted.frequencies, (counted.rows.astype(np.int32), counted.columns.astype(np.int32))), shape=(n, len(hashes))
    )
    return GramCounts(matrix, hashes)


def _added_counts(added: AddedTexts, words: Hashes, chars: Hashes) -> AddedCounts:
    found, n = grams(added.texts), len(added.texts)
    return AddedCounts(_counts(found.words, n, words).matrix, _counts(found.chars, n, chars).matrix, added.source)


def added_rows(added: AddedCounts, rows: Ints, like: Vectors) -> AddedRows:
    def vectors(kept: Ints) -> Any:
        parts = zip((added.words, added.chars), like.kept, like.idf, strict=True)
        return _side_by_side([_of_length_one(family[kept], of, idf) for family, of, idf in parts])

    return AddedRows.of(added.source, rows, vectors)


def _recurring(found: Grams) -> Hashes:
    """Ascending hashes of n-grams that occur more than once. The number of texts they occur in is counted later."""
    hashes, times = np.unique(found.hashes, return_counts=True)
    return hashes[times >= MIN_TEXTS]
