"""Describes the content of subjects for summaries: of a sample, as reading items costs more than counting them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from sqlalchemy.engine import Engine

from leads.db.engine import reading
from leads.db.items import current_items
from leads.events import Subject
from leads.platform.declaration import Platform
from models.text.description import describe
from models.text.sentence import CachedEncoder
from monitoring.summaries.tally import NOTHING, Described

# The subjects of an hour that are described.
SAMPLED = 2_000

T = TypeVar("T")


class Content:
    """Describes subjects by what they hold now: the same subjects always, chosen by their hash.

    Args:
        encoder: None: meanings aren't described.
    """

    def __init__(self, engine: Engine, platform: Platform, encoder: CachedEncoder | None = None) -> None:
        self._engine, self._platform, self._encoder = engine, platform, encoder

    def __call__(self, subjects: Sequence[Subject]) -> Described:
        """What the subjects hold. Those that aren't sampled have no values.

        Raises:
            Unavailable: the database can't be reached.
        """
        places = sampled(subjects)
        if not places:
            return NOTHING
        chosen = [subjects[i] for i in places]
        with reading(self._engine) as connection:
            items = current_items(connection, chosen)
        found = describe([items.get(subject) for subject in chosen], self._platform, self._encoder)
        n = len(subjects)
        numbers = {}
        for name, values in found.numbers.items():
            numbers[name] = np.full(n, np.nan)
            numbers[name][places] = values
        return Described(
            {name: _spread(values, places, n, None) for name, values in found.categories.items()},
            numbers,
            {name: _spread(values, places, n, ()) for name, values in found.words.items()},
        )


def sampled(subjects: Sequence[Subject]) -> list[int]:
    """The places of the subjects that are described: all, or the `SAMPLED` with the lowest hashes."""
    if len(subjects) <= SAMPLED:
        return list(range(len(subjects)))
    hashes = np.array([zlib.crc32(f"{one.type_id}:{one.id}".encode()) for one in subjects])
    return sorted(np.argsort(hashes, kind="stable")[:SAMPLED].tolist())


def _spread(values: Sequence[T], places: Sequence[int], n: int, absent: T) -> list[T]:
    found = [absent] * n
    for i, value in zip(places, values, strict=True):
        found[i] = value
    return found
