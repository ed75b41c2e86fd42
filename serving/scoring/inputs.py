"""What is known about the subjects of a scoring call: the stored items, overridden by what the caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from features.fold.near_text import buckets
from features.links import Links
from leads.errors import LeadsError, NotFound, Unavailable
from leads.events import ACCOUNT, ItemCreated, Subject
from leads.rules import needs_item
from leads.text import present
from serving.lineup import Lineup
from serving.scoring.text_cache import TextCache, version_key

_UNKNOWN = ("subject_unknown",)
# The database is down, so whether the subject is known can't be decided.
_UNREADABLE = ("items_unavailable",)


class TooMuchText(Exception):
    """There is more text to score than the caller allows. Nothing has been computed yet.

    Args:
        size: how much text there is to score, in bytes × harms.
        stored_bytes: bytes of stored text that scoring reads.
    """

    def __init__(self, size: int, stored_bytes: int) -> None:
        super().__init__(size, stored_bytes)
        self.size, self.stored_bytes = size, stored_bytes


class ScoreRequest(msgspec.Struct, frozen=True):
    """One subject to score. Fields that are None are looked up.

    Args:
        harms: if None, every harm that applies to the subject's type, has a champion and is allowed.
        text, account_id, parent: override what is stored. A subject with a text need not be known.
        allowed: the harms the caller may score; None for all.
    """

    subject: Subject
    harms: tuple[str, ...] | None = None
    text: str | None = None
    account_id: str | None = None
    parent: Subject | None = None
    allowed: frozenset[str] | None = None


class Input(NamedTuple):
    """A request merged with what is stored about its subject.

    Args:
        place: the request's position in the call.
        text: what to score; None if there is none, or nothing of it is visible.
        links: the keys of the rows beside the subject's own; None if only the online store knows them.
        known: whether the subject is a stored item.
        flags: what the caller overrode, or what couldn't be looked up.
    """

    place: int
    request: ScoreRequest
    text: str | None
    links: Links | None
    known: bool
    flags: tuple[str, ...]


def stored_text(requests: Sequence[ScoreRequest], stored: Mapping[Subject, ItemCreated] | None) -> int:
    """How many bytes of stored text the requests read; a request with a text of its own reads none.

    Args:
        stored: items by subject; None if the database is down.
    """
    if not stored:
        return 0
    items = [stored.get(request.subject) for request in requests if request.text is None]
    return sum(_bytes(item.text) for item in items if item is not None)


def text_to_score(
    requests: Sequence[ScoreRequest],
    stored: Mapping[Subject, ItemCreated] | None,
    lineup: Lineup,
    cache: TextCache,
    enough: int,
) -> int:
    """How many bytes of text there are to score, once per harm. Stored texts whose scores are cached are free.

    Args:
        stored: items by subject; None if the database is down.
        enough: if there is less text than this, the cache isn't asked.
    """
    keys = {harm: version_key(version) for harm, version in lineup.champions.items() if version.uses_text}
    items = stored or {}
    # The keys of the versions that score the text, by the harms of a request: most requests of a call have the same.
    by_harms: dict[tuple[str, ...] | None, list[str]] = {None: list(keys.values())}
    reads, total = [], 0
    for request in requests:
        text, harms = _text(request, items.get(request.subject)) or "", request.harms
        versions = by_harms.get(harms)
        if versions is None:
            versions = by_harms[harms] = [key for harm, key in keys.items() if harm in (harms or ())]
        size = _bytes(text) * (len(versions) or 1)
        total += size
        reads.append((size, text, versions, request.text is None))
    if total <= enough:
        return total
    return sum(size for size, text, versions, is_stored in reads if not (is_stored and cache.holds(text, versions)))


def settle(place: int, request: ScoreRequest, stored: Mapping[Subject, ItemCreated] | None) -> Input:
    """Merge a request with its stored item. What the caller gives takes precedence and is flagged.

    Args:
        stored: items by subject; None if the database is down.
    """
    item = stored.get(request.subject) if stored is not None else None
    if item is None:
        flags = _UNKNOWN if stored is not None else _UNREADABLE
        return Input(place, request, present(request.text), _links(request, None), False, flags)
    text = present(_text(request, item))
    links = _links(request, item)
    if request.text is None and request.account_id is None and request.parent is None:
        return Input(place, request, text, links, True, ())
    given = []
    if request.text is not None and request.text != item.text:
        given.append("text_given")
    if _gives_fields(request) and _fields(links) != _fields(_links(ScoreRequest(request.subject), item)):
        given.append("fields_given")
    return Input(place, request, text, links, True, tuple(given))


def input_error(one: Input, has_row: bool, available: bool) -> LeadsError | None:
    """Why the input can't be scored under any harm; None if it can.

    Args:
        has_row: whether the online store holds any row for it.
        available: whether the online store responded. If not, no row is known.
    """
    is_account = not needs_item(one.request.subject)
    if one.known or one.request.text is not None or (has_row and is_account):
        return None
    if one.flags == _UNREADABLE:
        return Unavailable(
            "The database that stores items isn't responding.", remedy="Try again, or send the subject's text."
        )
    if is_account and not available:
        return store_unavailable()
    return NotFound(
        f"{one.request.subject.type_id} {one.request.subject.id!r} is unknown.",
        field="/id",
        remedy="Send it with POST /v1/items first, or include its text.",
    )


def store_unavailable() -> Unavailable:
    """The error of what can't be scored while the online store is down."""
    return Unavailable("The online feature store isn't responding.", remedy="Check that it is running, then try again.")


def _text(request: ScoreRequest, item: ItemCreated | None) -> str | None:
    """The text to score, as it was given or else stored."""
    return item.text if request.text is None and item is not None else request.text


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _gives_fields(request: ScoreRequest) -> bool:
    return request.account_id is not None or request.parent is not None


def _fields(links: Links | None) -> tuple[str | None, str | None]:
    """Account and parent, which a caller gives as fields. The other links are derived from the text."""
    return (links.account_id, links.parent_key) if links else (None, None)


def _links(request: ScoreRequest, item: ItemCreated | None) -> Links | None:
    """The links that are known without the online store; None if none are.

    The event log is ahead of the online store, so an item that was just sent has its links only here.
    """
    if request.subject.type_id == ACCOUNT:
        return None
    account_id = request.account_id or (item.account_id if item else None)
    parent = request.parent or (item.parent.subject if item and item.parent else None)
    # A stored text's buckets are stored with its item, so only a new text is hashed here.
    text = request.text if item is None or request.text != item.text else None
    text_buckets = buckets(text) if text else (None, None)
    if account_id is None and parent is None and text_buckets == (None, None):
        return None
    return Links(account_id, parent.key if parent else None, *text_buckets)
