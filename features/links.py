"""Which other entities a subject's features are read from."""

from __future__ import annotations

from typing import NamedTuple

from leads.events import ACCOUNT, Subject


class Links(NamedTuple):
    """An item's creator, its parent, and the two buckets of its text."""

    account_id: str | None = None
    parent_key: str | None = None
    bucket_0: str | None = None
    bucket_1: str | None = None

    @property
    def buckets(self) -> tuple[str, ...]:
        return tuple(key for key in (self.bucket_0, self.bucket_1) if key is not None)


def links_in_row(stored: tuple[str | None, ...]) -> Links:
    """The links in an item's row, which may have links to other keys after them."""
    return Links(*stored[: len(Links._fields)])


def links_of(subject: Subject, stored: Links | None) -> Links:
    """The links of a subject, given the stored ones. An account counts as its own creator."""
    if subject.type_id == ACCOUNT:
        return Links(subject.id)
    return stored or Links()
