"""How much text a scoring call may score, and how much there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leads.events import Subject
from leads.policies import Policies
from serving.lineup import Lineup
from serving.scoring.inputs import ScoreRequest, Stored, bytes_of
from serving.scoring.texts.cache import TextCache, version_key


class TextSize(NamedTuple):
    """How much text there is to score, in bytes × harms, and how much of it by a version that encodes texts."""

    text: int = 0
    encoded: int = 0


class TooMuchText(Exception):
    """There is more text to score than the caller allows. Nothing has been computed yet.

    Args:
        size: how much text there is to score.
        stored_bytes: bytes of stored text that scoring reads.
    """

    def __init__(self, size: TextSize, stored_bytes: int) -> None:
        super().__init__(size, stored_bytes)
        self.size, self.stored_bytes = size, stored_bytes


class WouldWait(Exception):
    """The database must be asked for something, and the caller can't wait. Nothing has been computed yet."""


class Limits(NamedTuple):
    """What a scoring call may do.

    Args:
        text: how much new text it may score, in bytes × harms; None for any amount.
        encoded: how much of it by versions that encode texts.
        waits: whether it may wait for the database longer than an event loop can.
    """

    text: int | None = None
    encoded: int | None = None
    waits: bool = True

    def exclude(self, size: TextSize) -> bool:
        """Whether there is more text than this."""
        return any(
            most is not None and there > most for there, most in zip(size, (self.text, self.encoded), strict=True)
        )


NO_LIMITS = Limits()


def text_to_score(
    requests: Sequence[ScoreRequest],
    stored: Mapping[Subject, Stored] | None,
    policies: Policies,
    lineup: Lineup,
    cache: TextCache,
    limits: Limits,
) -> TextSize:
    """How much text there is to score. Stored texts whose scores are cached are free.

    Args:
        stored: items by subject; None if the database is down.
        limits: if there is less text than this, the cache isn't asked.
    """
    items = stored or {}
    # Most requests of a call are of the same kind.
    by_kind: dict[tuple[str, tuple[str, ...] | None, frozenset[str] | None], _Readers] = {}
    reads, total, encoded = [], 0, 0
    for request in requests:
        one, kind = items.get(request.subject), (request.subject.type_id, request.harms, request.allowed)
        readers = by_kind.get(kind)
        if readers is None:
            readers = by_kind[kind] = _readers(request, policies, lineup)
        size = bytes_of(request.text) if request.text is not None else one.size if one is not None else 0
        total += size * (len(readers.versions) or 1)
        encoded += size * readers.encoding
        reads.append((size, one.digest if one is not None and request.text is None else None, readers))
    if not limits.exclude(TextSize(total, encoded)):
        return TextSize(total, encoded)
    new = [(size, readers) for size, name, readers in reads if not (name and cache.holds(name, readers.versions))]
    return TextSize(
        sum(size * (len(readers.versions) or 1) for size, readers in new),
        sum(size * readers.encoding for size, readers in new),
    )


class _Readers(NamedTuple):
    """The keys of the champions that score the text of a request, and for how many of its harms it is encoded."""

    versions: list[str]
    encoding: int


def _readers(request: ScoreRequest, policies: Policies, lineup: Lineup) -> _Readers:
    harms = policies.harms_for(request.subject.type_id) if request.harms is None else dict.fromkeys(request.harms)
    champions = {
        harm: lineup.champions[harm]
        for harm in harms
        if harm in lineup.champions and (request.allowed is None or harm in request.allowed)
    }
    encoding = sum(
        version.encodes or (harm in lineup.canaries and lineup.canaries[harm].version.encodes)
        for harm, version in champions.items()
    )
    return _Readers([version_key(version) for version in champions.values() if version.uses_text], encoding)
