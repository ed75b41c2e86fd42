"""What was computed of texts before, so that a known item's text is counted and encoded once per version."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features.catalogue import TEXT
from features.evaluate.plan import text_counts
from leads.text import text_hash

Floats = npt.NDArray[np.float32]
_COUNTS, _HASHES = "counts", "hashes"
_NO_COUNTS = (float("nan"),) * len(TEXT)


class Texts(NamedTuple):
    """n texts of a call, with a digest of each as it stands; None where there is none.

    Whether case or spaces matter is each version's own affair, so the digest knows nothing of normal forms.
    """

    texts: tuple[str | None, ...]
    digests: tuple[bytes | None, ...]

    @staticmethod
    def of(texts: Sequence[str | None]) -> Texts:
        return Texts(tuple(texts), tuple(None if text is None else _digest(text) for text in texts))

    def at(self, places: Sequence[int]) -> Texts:
        """Some of them."""
        return Texts(tuple([self.texts[i] for i in places]), tuple([self.digests[i] for i in places]))


class TextCache:
    """Least recently used out first; thread-safe. Holds digests, never texts."""

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._known: OrderedDict[tuple[str, bytes], Any] = OrderedDict()
        self._lock = threading.Lock()

    def counts(self, texts: Texts) -> Floats:
        """(n, len(TEXT)) the catalogue's counts over each text, NaN without text."""
        found = self._of(_COUNTS, texts, lambda new: list(map(tuple, text_counts(new).tolist())), _NO_COUNTS)
        return np.array(found, np.float32).reshape(len(found), len(TEXT))

    def scores(self, version: str, texts: Texts, compute: Callable[[Sequence[str]], Floats]) -> Floats:
        """(n,) the texts' scores by a version, NaN without text. `compute` is called at most once, for new texts."""
        return np.array(self._of(version, texts, lambda new: compute(new).tolist(), float("nan")), np.float32)

    def hashes(self, texts: Texts) -> list[int]:
        """(n) the texts' `text_hash`, 0 without text."""
        return self._of(_HASHES, texts, lambda new: list(map(text_hash, new)), 0)

    def _of(self, kind: str, texts: Texts, compute: Callable[[Sequence[str]], list[Any]], nothing: Any) -> list[Any]:
        known, new, found = self._known, dict[bytes, str](), []
        with self._lock:
            for text, digest in zip(texts.texts, texts.digests, strict=True):
                if text is None or digest is None:
                    found.append(nothing)
                    continue
                value = known.get((kind, digest))
                if value is None:
                    new[digest] = text
                else:
                    known.move_to_end((kind, digest))
                found.append(value)
        if not new:
            return found
        computed = dict(zip(new, compute(list(new.values())), strict=True))
        with self._lock:
            known.update({(kind, digest): value for digest, value in computed.items()})
            while len(known) > self._capacity:
                known.popitem(last=False)
        pairs = zip(found, texts.digests, strict=True)
        return [computed[digest] if value is None and digest else value for value, digest in pairs]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
