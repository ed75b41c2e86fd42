"""What subjects linked to when they were read last, so that the rows can be fetched before the links are known again.

It only saves round trips and never changes a result: the links that count are read with the rows every time.
"""

from __future__ import annotations

from typing import NamedTuple

from features.links import Links
from features.rows import LinkValues
from leads.db.content.recent import Recent

# A generation of these takes about 5 MB.
_LIMIT = 10_000


class Last(NamedTuple):
    """A subject's links, and the key of each role that is followed from the rows that they lead to."""

    links: Links = Links()
    followed: LinkValues = ()


def last_links() -> Recent[str, Last]:
    """A memory for the subjects that were read last, by key."""
    return Recent(_LIMIT)
