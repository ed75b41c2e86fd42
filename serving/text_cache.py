"""Text scores that were computed before, so that a known item's text is encoded once per version."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_Key = tuple[str, str, bytes]


class TextCache:
    """Least recently used out first; thread-safe. Holds hashes, never texts."""

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._known: OrderedDict[_Key, float] = OrderedDict()
        self._lock = threading.Lock()

    def scores(
        self, harm: str, version: str, texts: Sequence[str | None], compute: Callable[[Sequence[str]], Floats]
    ) -> Floats:
        """(n,) the texts' scores, NaN without text. `compute` is called once, for the texts that are new."""
        # Of the text as it stands: whether case or spaces matter is the version's own affair.
        keys = [(harm, version, _digest(text)) if text else None for text in texts]
        out = np.array(self._get(keys), dtype=np.float32)
        new = {key: text for key, text, score in zip(keys, texts, out, strict=True) if key and text and np.isnan(score)}
        if new:
            computed = dict(zip(new, compute(list(new.values())).tolist(), strict=True))
            self._put(computed)
            out = np.array(
                [computed.get(key, old) if key else old for key, old in zip(keys, out, strict=True)], np.float32
            )
        return out

    def _get(self, keys: Sequence[_Key | None]) -> list[float]:
        with self._lock:
            for key in keys:
                if key and key in self._known:
                    self._known.move_to_end(key)
            return [self._known.get(key, np.nan) if key else np.nan for key in keys]

    def _put(self, scores: dict[_Key, float]) -> None:
        with self._lock:
            self._known.update(scores)
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
