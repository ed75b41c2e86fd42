"""What is known about the subjects of a scoring call: the stored items, overridden by what the caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from features.fold.near_text import buckets
from features.links import Links
from leads.content import joined, judged_text
from leads.errors import LeadsError, NotFound, Unavailable
from leads.events import ACCOUNT, JUDGED_BEFORE, FieldValue, ItemCreated, Subject
from leads.language.stated import NO_FIELDS, LanguageFields, stated_language
from leads.rules import needs_item
from leads.text import present
from serving.scoring.texts.cache import digest

_UNKNOWN = ("subject_unknown",)
# The database is down, so whether the subject is known can't be decided.
_UNREADABLE = ("items_unavailable",)


class ScoreRequest(msgspec.Struct, frozen=True):
    """One subject to score. Fields that are None are looked up.

    Args:
        harms: if None, every harm that applies to the subject's type, has a champion and is allowed; those whose
            champion doesn't serve at present have an error.
        text, account_id, parent: override what is stored. A subject with a text need not be known.
        allowed: the harms the caller may score; None for all.
        fields: values that override those of the stored item's fields.
        judged: the judged texts among the fields of the subject's type, in order.
    """

    subject: Subject
    harms: tuple[str, ...] | None = None
    text: str | None = None
    account_id: str | None = None
    parent: Subject | None = None
    allowed: frozenset[str] | None = None
    fields: dict[str, FieldValue] = {}
    judged: tuple[str, ...] = JUDGED_BEFORE


class Stored(NamedTuple):
    """What scoring uses of a stored item.

    Args:
        text: None if nothing of the item's text is visible; `digest` is its `text_cache.digest`.
        size: bytes of the item's text.
        links: the keys of the rows beside its own, which the event log knows; None if there are none.
        language: the one that the item states; None if it states none.
    """

    item: ItemCreated
    text: str | None
    digest: bytes | None
    size: int
    links: Links | None
    language: str | None


class Input(NamedTuple):
    """A request merged with what is stored about its subject.

    Args:
        place: the request's position in the call.
        text: what to score; None if there is none, or nothing of it is visible. `digest` is its `text_cache.digest`.
        links: the keys of the rows beside the subject's own; None if only the online store knows them.
        known: whether the subject is a stored item.
        flags: what the caller overrode, or what couldn't be looked up.
        language: the one that the subject states; None if it states none.
    """

    place: int
    request: ScoreRequest
    text: str | None
    digest: bytes | None
    links: Links | None
    known: bool
    flags: tuple[str, ...]
    language: str | None = None


def stored_of(item: ItemCreated, languages: LanguageFields = NO_FIELDS) -> Stored:
    """What scoring uses of an item.

    Args:
        languages: the fields that state the language, by type.
    """
    judged = judged_text(item)
    text = present(judged)
    parent_key = item.parent.subject.key if item.parent else None
    links = Links(item.account_id, parent_key) if item.account_id or parent_key else None
    is_account = item.subject.type_id == ACCOUNT
    return Stored(
        item,
        text,
        digest(text) if text else None,
        bytes_of(judged),
        None if is_account else links,
        stated_language(item.subject.type_id, item.fields, languages),
    )


def with_text(request: ScoreRequest, stored: Mapping[Subject, Stored] | None) -> ScoreRequest:
    """The request with the judged text that its fields and those of the stored item give together.

    Args:
        stored: items by subject; None if the database is down.
    """
    if not any(name in request.fields for name in request.judged):
        return request
    one = stored.get(request.subject) if stored is not None else None
    values = one.item.values | request.fields if one is not None else request.fields
    return msgspec.structs.replace(request, text=joined(request.judged, values))


def stored_text(requests: Sequence[ScoreRequest], stored: Mapping[Subject, Stored] | None) -> int:
    """How many bytes of stored text the requests read; a request with a text of its own reads none.

    Args:
        stored: items by subject; None if the database is down.
    """
    if not stored:
        return 0
    found = [stored.get(request.subject) for request in requests if request.text is None]
    return sum([one.size for one in found if one is not None])


def settle(
    place: int,
    request: ScoreRequest,
    stored: Mapping[Subject, Stored] | None,
    languages: LanguageFields = NO_FIELDS,
) -> Input:
    """Merge a request with its stored item. What the caller gives takes precedence and is flagged.

    Args:
        stored: items by subject; None if the database is down.
        languages: the fields that state the language, by type.
    """
    one = stored.get(request.subject) if stored is not None else None
    language = one.language if one is not None else None
    if request.fields:
        language = stated_language(request.subject.type_id, request.fields, languages) or language
    is_given = request.text is not None or request.account_id is not None or request.parent is not None
    if one is not None and not is_given:
        return Input(place, request, one.text, one.digest, one.links, True, (), language)
    text = present(judged_text(one.item) if one is not None and request.text is None else request.text)
    links = _links(request, one)
    if one is None:
        flags = list(_UNREADABLE if stored is None else _UNKNOWN)
    else:
        flags = []
        if request.text is not None and request.text != judged_text(one.item):
            flags.append("text_given")
        gives_fields = request.account_id is not None or request.parent is not None
        if gives_fields and _fields(links) != _fields(one.links):
            flags.append("fields_given")
    name = digest(text) if text else None
    return Input(place, request, text, name, links, one is not None, tuple(flags), language)


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


def bytes_of(text: str) -> int:
    """The size of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _fields(links: Links | None) -> tuple[str | None, str | None]:
    """Account and parent, which a caller gives as fields. The other links are derived from the text."""
    return (links.account_id, links.parent_key) if links else (None, None)


def _links(request: ScoreRequest, stored: Stored | None) -> Links | None:
    """The links that are known without the online store; None if none are.

    The event log is ahead of the online store, so an item that was just sent has its links only here.
    """
    if request.subject.type_id == ACCOUNT:
        return None
    account_id, parent_key = _fields(stored.links if stored else None)
    # A stored text's buckets are stored with its item, so only a new text is hashed here.
    text = request.text if stored is None or request.text != judged_text(stored.item) else None
    links = Links(
        request.account_id or account_id,
        request.parent.key if request.parent else parent_key,
        *(buckets(text) if text else (None, None)),
    )
    return None if links == Links() else links
