"""What monitoring compares of items beyond a model's input: language, length, vocabulary, declared fields, meaning.

No text is kept: words are counted by the 512 values of a hash, and a vector's meaning by a few fixed directions.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.content import judged_text
from leads.events import ItemCreated
from leads.language.stated import stated_language, text_language
from leads.platform.declaration import Platform
from leads.text import normal_form, present
from models.text.sentence import CachedEncoder

Doubles = npt.NDArray[np.float64]

# Names of what is described. Inputs have a dot or a colon in their names, and declared fields have neither.
LANGUAGE, VOCABULARY, LENGTH = "language", "vocabulary", "text:length"
DIRECTIONS = tuple(f"text:direction_{i}" for i in range(1, 5))
BINS = 512
# The texts whose vectors are computed, of all that are given: a vector takes up to 20 ms.
_ENCODED = 200
# The words that are read of a text, and the different values that are told apart of a field.
_WORDS, _VALUES = 200, 100
OTHER = "(other)"
_TAKEN = frozenset((LANGUAGE, VOCABULARY, "type", "tier", "score"))


class Description(NamedTuple):
    """What n items hold, aligned with them.

    Args:
        categories: by name, the value of each; None where it has none.
        numbers: by name, (n,) NaN where missing.
        words: by name, the values that each has.
    """

    categories: Mapping[str, Sequence[str | None]]
    numbers: Mapping[str, Doubles]
    words: Mapping[str, Sequence[Collection[str]]]


def describe(
    items: Sequence[ItemCreated | None], platform: Platform, encoder: CachedEncoder | None = None
) -> Description:
    """Describe items.

    Args:
        items: None for a subject without content, which has no values.
        encoder: None: meanings aren't described.
    """
    texts = [None if item is None else present(judged_text(item)) for item in items]
    categories: dict[str, list[str | None]] = {LANGUAGE: _languages(items, texts, platform)}
    for name in declared_categories(platform):
        categories[name] = _few([None if item is None else _value(item, name) for item in items])
    lengths = np.array([np.nan if text is None else float(len(text)) for text in texts])
    numbers = {LENGTH: lengths} | (_directions(texts, encoder) if encoder is not None else {})
    words = [() if text is None else _bins(text) for text in texts]
    return Description(categories, numbers, {VOCABULARY: words})


def declared_categories(platform: Platform) -> tuple[str, ...]:
    """The declared fields of items that have few values: categories and flags, unless they are about a person."""
    found = {
        name: None
        for type_ in platform.types.values()
        for name, field in type_.fields.items()
        if field.kind in ("category", "flag") and not field.personal and name not in _TAKEN
    }
    return tuple(found)


def _languages(
    items: Sequence[ItemCreated | None], texts: Sequence[str | None], platform: Platform
) -> list[str | None]:
    declared = platform.language_fields
    return [
        None if item is None else text_language(text, stated_language(item.subject.type_id, item.fields, declared))
        for item, text in zip(items, texts, strict=True)
    ]


def _value(item: ItemCreated, name: str) -> str | None:
    value = item.fields.get(name)
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _few(values: list[str | None]) -> list[str | None]:
    counts = Counter(value for value in values if value is not None)
    if len(counts) <= _VALUES:
        return values
    kept = {value for value, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_VALUES]}
    return [value if value is None or value in kept else OTHER for value in values]


def _bins(text: str) -> tuple[str, ...]:
    """The bins of a text's different words: a word that a text repeats says nothing more about the vocabulary."""
    words = dict.fromkeys(normal_form(text).split()[:_WORDS])
    return tuple({str(zlib.crc32(word.encode("utf-8", "replace")) % BINS): None for word in words})


def _directions(texts: Sequence[str | None], encoder: CachedEncoder) -> dict[str, Doubles]:
    """How far each text's vector points in each of the directions: -1 to 1."""
    places = [i for i, text in enumerate(texts) if text is not None][:_ENCODED]
    found = np.full((len(texts), len(DIRECTIONS)), np.nan)
    if places:
        vectors = encoder.encode([texts[i] or "" for i in places]).astype(np.float64)
        size = np.linalg.norm(vectors, axis=1, keepdims=True)
        found[places] = vectors / np.where(size > 0, size, 1.0) @ _axes(encoder.width)
    return {name: found[:, j] for j, name in enumerate(DIRECTIONS)}


@lru_cache(maxsize=4)
def _axes(width: int) -> Doubles:
    """(width, directions) unit vectors at right angles, the same on every machine."""
    random = np.random.default_rng(20_240_229).standard_normal((width, len(DIRECTIONS)))
    axes: Doubles = np.linalg.qr(random)[0]
    return axes
