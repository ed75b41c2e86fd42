"""What is stored in a home and in the database: how much, how old, how fast it grows, how long it is kept."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from cli.ui.database import opened
from cli.ui.terminal import console, minute, next_steps, note, table
from leads import clock
from leads.clock import Micros
from leads.db.engine import has_tables
from leads.policies import Policies
from leads.retention.kinds import BY_NAME, kept_for
from leads.retention.policy import duration_text
from leads.retention.usage import Usage, usage
from leads.settings import Settings

_COLUMNS = ("kind", "bytes", "files or rows", "oldest (UTC)", "newest (UTC)", "growth per day", "kept")
_RIGHT = ("bytes", "files or rows", "growth per day")


class _Line(NamedTuple):
    """A line of `leads du --json`. Times are RFC 3339; `kept_days` is null for what is kept forever."""

    kind: str
    what: str
    where: str
    bytes: int | None
    items: int
    oldest: str | None
    newest: str | None
    bytes_per_day: float | None
    rows_per_day: float | None
    kept_days: float | None
    why_kept: str | None


def show_usage(settings: Settings, policies: Policies, *, as_json: bool) -> None:
    """Print a line for each kind of data, as a table or as JSON."""
    if has_tables(settings):
        with opened(settings, create=False) as engine:
            found = usage(settings, engine)
    else:
        found = usage(settings, None)
    kept = {one.kind: kept_for(policies.retention, one.kind) for one in found}
    if as_json:
        lines = [_line(one, kept[one.kind])._asdict() for one in found]
        console.print_json(msgspec.json.encode(lines).decode())
        return
    title = f"Stored in {settings.root} and its database"
    console.print(table(title, _COLUMNS, [_row(one, kept[one.kind]) for one in found], right=_RIGHT))
    note(f"\nFiles of this home: {size_text(sum(one.size or 0 for one in found if _is_file(one, settings)))}.")
    next_steps(("leads prune --dry-run", "show what is older than it is kept"))


def size_text(size: float) -> str:
    """
    >>> [size_text(n) for n in (0, 999, 1_500, 23_400_000, 1.2e12)]
    ['0 B', '999 B', '1.5 kB', '23 MB', '1.2 TB']
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:,.1f} TB"


def _is_file(one: Usage, settings: Settings) -> bool:
    kind = BY_NAME[one.kind]
    return kind.where != "database" or (kind.name == "database" and settings.database_url is None)


def _row(one: Usage, kept: Micros | None) -> tuple[str, ...]:
    growth = "-"
    if one.per_day is not None:
        growth = f"{one.per_day:,.0f} rows" if _counts_rows(one) else size_text(one.per_day)
    return (
        one.kind,
        "-" if one.size is None else size_text(one.size),
        f"{one.items:,}",
        "-" if one.oldest is None else minute(one.oldest),
        "-" if one.newest is None else minute(one.newest),
        growth,
        duration_text(kept) if not BY_NAME[one.kind].stays else "forever",
    )


def _line(one: Usage, kept: Micros | None) -> _Line:
    kind = BY_NAME[one.kind]
    in_rows = _counts_rows(one)
    return _Line(
        kind=one.kind,
        what=kind.what,
        where=kind.where,
        bytes=one.size,
        items=one.items,
        oldest=None if one.oldest is None else clock.to_text(one.oldest),
        newest=None if one.newest is None else clock.to_text(one.newest),
        bytes_per_day=None if in_rows else one.per_day,
        rows_per_day=one.per_day if in_rows else None,
        kept_days=None if kept is None else kept / clock.DAY,
        why_kept=kind.stays or None,
    )


def _counts_rows(one: Usage) -> bool:
    return BY_NAME[one.kind].where == "database" and one.kind != "database"
