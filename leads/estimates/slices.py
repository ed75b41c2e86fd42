"""The names of slices: `name=value`, several joined with `;`, in the order of their names; empty for everything."""

from __future__ import annotations


def slice_of(**parts: str) -> str:
    """The name of a slice.

    >>> slice_of(source="mobile", kind="play")
    'kind=play;source=mobile'
    """
    return ";".join(f"{name}={parts[name]}" for name in sorted(parts))


def slice_parts(slice_: str) -> dict[str, str]:
    """The parts of a slice's name.

    >>> slice_parts("against=reference;column=account.plays_24h")
    {'against': 'reference', 'column': 'account.plays_24h'}
    """
    return dict(part.split("=", 1) for part in slice_.split(";") if "=" in part)
