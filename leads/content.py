"""Content versions: what a subject held when it was shown, scored or judged.

An item's versions are ordered by when they occurred, not by when they arrived: an older edit that arrives late does not
replace a newer one. A version is named by the offset of its event and a hash of what policies judge in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

from leads.clock import Micros
from leads.errors import InvalidInput
from leads.events import ContentRef, ItemCreated
from leads.rules import happened_at
from leads.text import normal_form

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


def judged_text(item: ItemCreated) -> str:
    """Everything that a policy judges in an item, in a fixed order."""
    return item.text


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
