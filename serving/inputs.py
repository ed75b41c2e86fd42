"""What is known about the subjects of a scoring request: the log's items, overridden by what the caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from features.near_text import buckets
from features.routes import Links
from leads.errors import LeadsError, NotFound
from leads.records import ACCOUNT, ItemCreated, Subject


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


def settle(place: int, request: ScoreRequest, stored: Mapping[Subject, ItemCreated]) -> Input:
    """Merge a request with what the log holds about its subject; what the caller gives wins and is flagged."""
    item = stored.get(request.subject)
    flags = [] if item else ["subject_unknown"]
    text = request.text
    if item:
        if text is None:
            text = item.text or None
        elif text != item.text:
            flags.append("text_given")
    links = _links(request, item)
    if item and _given(request) and _fields(links) != _fields(_links(ScoreRequest(request.subject), item)):
        flags.append("fields_given")
    return Input(place, request, text, links, item is not None, tuple(flags))


def refusal(one: Input, has_row: bool) -> LeadsError | None:
    """Why the input can't be scored under any harm; None when it can."""
    # An account may be known by what it does alone; an item's text comes with the item.
    if one.known or one.request.text is not None or (has_row and one.request.subject.type_id == ACCOUNT):
        return None
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
