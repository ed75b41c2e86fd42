"""Caches what is computed from texts, so that a known text is counted and encoded once per version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features.evaluate.plan import text_counts
from features.text_features import TEXT
from leads.db import deadline
from leads.db.content.recent import Recent
from leads.language.detection import UNKNOWN, language_of
from leads.text import text_hash
from models.version import ModelVersion

Floats = npt.NDArray[np.float32]
_COUNTS, _HASHES, _LANGUAGES = "counts", "hashes", "languages"
# How much is computed before the deadline is checked again: at most 0.3 s of work, or some seconds with an encoder.
_SLICE_TEXTS, _SLICE_CHARS = 128, 256_000
_NO_COUNTS = np.full(len(TEXT), np.nan, np.float32).tobytes()


class TextColumn(NamedTuple):
    """n texts and their digests; None where a subject has no text.

    Digests are of the exact text. Whether case and spaces matter is up to each version.
    """

    values: tuple[str | None, ...]
    digests: tuple[bytes | None, ...]

    @staticmethod
    def of(texts: Sequence[str | None]) -> TextColumn:
        return TextColumn(tuple(texts), tuple([None if text is None else digest(text) for text in texts]))

    def pick(self, places: Sequence[int]) -> TextColumn:
        """The texts at these positions."""
        return TextColumn(tuple([self.values[i] for i in places]), tuple([self.digests[i] for i in places]))


class TextCache:
    """Thread-safe. Holds digests, never texts.

    New texts are computed in slices. If the request's deadline passes in between, every method raises
    `leads.db.deadline.OutOfTime`; what was computed by then stays cached.

    Args:
        capacity: how many values to keep at most, those used last.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._known: Recent[tuple[str, bytes | None], Any] = Recent(capacity // 2)

    def counts(self, texts: TextColumn) -> Floats:
        """(n, len(TEXT)) the catalogue's counts over each text; NaN without a text."""
        found = self._of(_COUNTS, texts, lambda new: [row.tobytes() for row in text_counts(new)], _NO_COUNTS)
        return np.frombuffer(b"".join(found), np.float32).reshape(len(found), len(TEXT))

    def scores(self, version: str, texts: TextColumn, compute: Callable[[Sequence[str]], Floats]) -> Floats:
        """(n,) the texts' scores by a version; NaN without a text.

        Args:
            version: its `version_key`.
            compute: scores texts; called with the texts that aren't cached, some at a time.
        """
        return np.array(self._of(version, texts, lambda new: compute(new).tolist(), float("nan")), np.float32)

    def holds(self, name: bytes, versions: Sequence[str]) -> bool:
        """Whether the hash of the text with this `digest`, and its scores by all of these versions, are cached."""
        return None not in self._known.get_many([(kind, name) for kind in (_HASHES, *versions)])

    def hashes(self, texts: TextColumn) -> list[int]:
        """(n,) `leads.text.text_hash` of each text; 0 without a text."""
        return self._of(_HASHES, texts, lambda new: list(map(text_hash, new)), 0)

    def languages(self, texts: TextColumn) -> list[str]:
        """(n,) `language_of` each text; `und` without a text."""
        return self._of(_LANGUAGES, texts, lambda new: list(map(language_of, new)), UNKNOWN)

    def _of(
        self, kind: str, texts: TextColumn, compute: Callable[[Sequence[str]], list[Any]], nothing: Any
    ) -> list[Any]:
        found = self._known.get_many([(kind, name) for name in texts.digests])
        if None not in found:
            return found
        columns = zip(texts.values, texts.digests, found, strict=True)
        new = {name: text for text, name, value in columns if value is None and name and text is not None}
        computed: dict[bytes, Any] = {}
        for part in _slices(new):
            deadline.check()
            values = dict(zip(part, compute(list(part.values())), strict=True))
            computed |= values
            for name, value in values.items():
                self._known.put((kind, name), value)
        pairs = zip(found, texts.digests, strict=True)
        return [(computed[name] if name else nothing) if value is None else value for value, name in pairs]


def version_key(version: ModelVersion) -> str:
    """The version's name among those of all harms."""
    return f"{version.harm}:{version.version}"


def _slices(texts: dict[bytes, str]) -> Iterator[dict[bytes, str]]:
    """The texts by digest, in slices of limited size; a text that is longer than the limit is a slice of its own."""
    part: dict[bytes, str] = {}
    size = 0
    for name, text in texts.items():
        if part and (len(part) == _SLICE_TEXTS or size + len(text) > _SLICE_CHARS):
            yield part
            part, size = {}, 0
        part[name] = text
        size += len(text)
    if part:
        yield part


def digest(text: str) -> bytes:
    """Names a text, exactly as it is."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
