"""Content versions: what a subject held when it was shown, scored or judged.

An item's versions are ordered by when they occurred, not by when they arrived: an older edit that arrives late does not
replace a newer one. A version is named by the offset of its event and a hash of what policies judge in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from leads.clock import Micros
from leads.errors import InvalidInput
from leads.events import JUDGED_BEFORE, ContentRef, FieldValue, ItemCreated
from leads.rules import happened_at
from leads.text import normal_form

# What is put between two judged texts.
SEPARATOR = "\n\n"

_TOKEN = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})")


class Content(NamedTuple):
    """One version of a subject's content, when it occurred and when it became visible."""

    offset: int
    at: Micros
    visible_at: Micros
    item: ItemCreated

    @staticmethod
    def of(offset: int, occurred_at: Micros, visible_at: Micros, item: ItemCreated) -> Content:
        return Content(offset, happened_at(occurred_at, visible_at), visible_at, item)

    @property
    def ref(self) -> ContentRef:
        """The version's name in decisions and reviews."""
        return ContentRef(self.offset, content_hash(self.item))


def newest(versions: Iterable[Content], *, visible_by: Micros | None = None) -> Content | None:
    """The version that holds: the one that occurred last, of several at once the later one in the log.

    Args:
        visible_by: leave out versions that became visible later.
    """
    known = [one for one in versions if visible_by is None or one.visible_at <= visible_by]
    return max(known, key=lambda one: (one.at, one.offset), default=None)


class Judged(Protocol):
    """As much of an `ItemCreated` as its judged text takes."""

    @property
    def text(self) -> str: ...
    @property
    def fields(self) -> dict[str, FieldValue]: ...
    @property
    def judged(self) -> tuple[str, ...]: ...


class Span(NamedTuple):
    """Where a field's text is in the judged text: from `start` up to `end`, in characters."""

    field: str
    start: int
    end: int


def judged_text(item: Judged) -> str:
    """Everything that policies judge in an item: its judged texts in their order, each a paragraph of its own."""
    if item.judged == JUDGED_BEFORE:
        return item.text
    return joined(item.judged, {"text": item.text, **item.fields})


def joined(judged: Iterable[str], values: Mapping[str, FieldValue]) -> str:
    """The judged text of an item with these values."""
    return SEPARATOR.join([text for _, text in _texts(judged, values)])


def judged_spans(item: Judged) -> list[Span]:
    """Where each field's text is in `judged_text`."""
    found, start = [], 0
    for field, text in _texts(item.judged, {"text": item.text, **item.fields}):
        found.append(Span(field, start, start + len(text)))
        start += len(text) + len(SEPARATOR)
    return found


def _texts(judged: Iterable[str], values: Mapping[str, FieldValue]) -> list[tuple[str, str]]:
    return [(name, text) for name in judged if isinstance(text := values.get(name), str) and text]


def content_hash(item: ItemCreated | None) -> str:
    """128 bits over the judged fields, in hex; without an item, the hash of empty content."""
    text = "" if item is None else judged_text(item)
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def ref_of(content: Content | None) -> ContentRef:
    """The content's name; a subject without content, such as an account known by its plays, has an empty version."""
    return ContentRef(0, content_hash(None)) if content is None else content.ref


def same_to_a_reader(one: ItemCreated | None, other: ItemCreated | None) -> bool:
    """Whether two versions differ at most in case, width, spaces and invisible characters of what is judged."""
    texts = ["" if item is None else judged_text(item) for item in (one, other)]
    return normal_form(texts[0]) == normal_form(texts[1])


def to_token(ref: ContentRef) -> str:
    """The version as text, for the API.

    >>> to_token(ContentRef(7, "00" * 16))
    '7-00000000000000000000000000000000'
    """
    return f"{ref.offset}-{ref.hash}"


def of_token(token: str, *, field: str) -> ContentRef:
    """Parse `to_token`. Raises InvalidInput when it is something else."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvalidInput(
            "Not a content version.",
            field=field,
            remedy="Send the `contentVersion` that came with the lead, unchanged.",
        )
    return ContentRef(int(found[1]), found[2])
