"""Numbers with their units, for messages."""

from __future__ import annotations


def counted(n: float, singular: str, plural: str | None = None) -> str:
    """
    >>> counted(1, "event"), counted(2000, "event"), counted(0, "entry", "entries"), counted(2.5, "day")
    ('1 event', '2,000 events', '0 entries', '2.5 days')
    """
    return f"{n:,g} {singular}" if n == 1 else f"{n:,.10g} {plural or singular + 's'}"
