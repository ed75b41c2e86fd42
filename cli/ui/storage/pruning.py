"""`leads prune`: deletes old data, and prints what and how much."""

from __future__ import annotations

from collections.abc import Sequence

from cli.ui.storage.usage import size_text
from cli.ui.terminal import console, escape, note, table
from leads.errors import Unavailable
from leads.policies import Policies
from leads.retention.kinds import PRUNED, kept_for
from leads.retention.policy import duration_text
from leads.retention.removal import Pruned
from leads.settings import Settings
from serving.retention.prune import check_kinds, prune


def prune_and_show(settings: Settings, policies: Policies, kinds: Sequence[str] | None, *, dry_run: bool) -> None:
    """Delete what is older than it is kept.

    Raises:
        InvalidInput: a kind doesn't exist, or is never deleted.
        Conflict: another process is deleting old data in this home.
        Unavailable: some of it could not be deleted.
    """
    chosen = tuple(kinds or PRUNED)
    check_kinds(chosen)
    with console.status("counting old data" if dry_run else "deleting old data"):
        done = prune(settings, chosen, dry_run=dry_run)
    rows = [(one.kind, duration_text(kept_for(policies.retention, one.kind)), _items(one), _size(one)) for one in done]
    rows += [(name, "forever", "-", "-") for name in chosen if kept_for(policies.retention, name) is None]
    verb = "Would be deleted" if dry_run else "Deleted"
    console.print(
        table(f"{verb} from {settings.root}", ("kind", "kept", "items", "bytes"), rows, right=("items", "bytes"))
    )
    note(f"\n{verb}: {size_text(sum(one.size or 0 for one in done))}.")
    if any(one.size is None and one.items for one in done):
        note("The database uses the space of deleted rows again.")
    failed = [one for one in done if one.trouble]
    for one in failed:
        note(f"[yellow]warning:[/yellow] {one.kind}: {escape(one.trouble)}")
    if failed:
        raise Unavailable(
            f"Not all old data could be deleted: {', '.join(one.kind for one in failed)}.",
            remedy="See the warnings above, then run leads prune again.",
        )


def _items(one: Pruned) -> str:
    return f"{one.items:,}"


def _size(one: Pruned) -> str:
    return "-" if one.size is None else size_text(one.size)
