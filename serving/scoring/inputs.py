"""What is known about the subjects of a scoring request: the log's items, overridden by what the caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from features.fold.near_text import buckets
from features.fold.router import Links
from leads.errors import LeadsError, NotFound, Unavailable
from leads.events import ACCOUNT, ItemCreated, Subject
from leads.rules import needs_item

_UNKNOWN = ("subject_unknown",)
# Whether it is known can't be told either.
_UNREADABLE = ("items_unavailable",)


class ScoreRequest(msgspec.Struct, frozen=True):
    """One subject to score. What is None is looked up.

    Args:
        harms: None: every harm that applies to the type, has a champion and is among `allowed`, if that is given.
        text, account_id, parent: override what is stored; with a text the subject need not be known.
    """

    subject: Subject
    harms: tuple[str, ...] | None = None
    text: str | None = None
    account_id: str | None = None
    parent: Subject | None = None
    allowed: frozenset[str] | None = None


class Input(NamedTuple):
    """A request with its text and links settled. `place` is the request's place in the call."""

    place: int
    request: ScoreRequest
    text: str | None
    links: Links | None
    known: bool
    flags: tuple[str, ...]


def settle(place: int, request: ScoreRequest, stored: Mapping[Subject, ItemCreated] | None) -> Input:
    """Merge a request with what the log holds about its subject; what the caller gives wins and is flagged.

    Args:
        stored: None when the log can't be read.
    """
    item = stored.get(request.subject) if stored is not None else None
    if item is None:
        flags = _UNKNOWN if stored is not None else _UNREADABLE
        return Input(place, request, request.text, _links(request, None), False, flags)
    text = request.text
    links = _links(request, item)
    if text is None and request.account_id is None and request.parent is None:
        return Input(place, request, item.text or None, links, True, ())
    given = []
    if text is None:
        text = item.text or None
    elif text != item.text:
        given.append("text_given")
    if _given(request) and _fields(links) != _fields(_links(ScoreRequest(request.subject), item)):
        given.append("fields_given")
    return Input(place, request, text, links, True, tuple(given))


def refusal(one: Input, has_row: bool, available: bool) -> LeadsError | None:
    """Why the input can't be scored under any harm; None when it can.

    Args:
        available: whether the online store answered; when not, no row is known.
    """
    is_account = not needs_item(one.request.subject)
    if one.known or one.request.text is not None or (has_row and is_account):
        return None
    if one.flags is _UNREADABLE:
        return Unavailable(
            "The database that holds stored texts doesn't answer.",
            remedy="Try again, or give the subject's text.",
        )
    if is_account and not available:
        return Unavailable("The online feature store doesn't answer.", remedy="Check that it runs, then try again.")
    return NotFound(
        f"{one.request.subject.type_id} {one.request.subject.id!r} is unknown.",
        field="/id",
        remedy="Send it with POST /v1/items first, or give its text.",
    )


def subjects(requests: Sequence[ScoreRequest]) -> set[Subject]:
    return {request.subject for request in requests}


def _given(request: ScoreRequest) -> bool:
    return request.account_id is not None or request.parent is not None


def _fields(links: Links | None) -> tuple[str | None, str | None]:
    """Maker and parent: what a caller gives as fields. Buckets come from the text."""
    return (links.account_id, links.parent_key) if links else (None, None)


def _links(request: ScoreRequest, item: ItemCreated | None) -> Links | None:
    """None where only the store can know. The log is ahead of the store: an item just sent has its links there."""
    if request.subject.type_id == ACCOUNT:
        return None
    account_id = request.account_id or (item.account_id if item else None)
    parent = request.parent or (item.parent.subject if item and item.parent else None)
    # A stored text's buckets are stored with its item; only a text that isn't stored is hashed here.
    text = request.text if item is None or request.text != item.text else None
    text_buckets = buckets(text) if text else (None, None)
    if account_id is None and parent is None and text_buckets == (None, None):
        return None
    return Links(account_id, parent.key if parent else None, *text_buckets)
