"""Writing the values of own views to the online store."""

from __future__ import annotations

from cli.ui.database import opened
from cli.ui.terminal import next_steps, note, progress
from features.declared.generations import live
from features.registration.materializing import materialize
from leads.errors import NotFound
from leads.files import only_one
from leads.messages.wording import counted
from leads.settings import Settings


def materialize_views(settings: Settings, name: str | None, *, quiet: bool) -> None:
    """Write the newest values of one live view, or of all.

    Raises:
        NotFound: there is no such view.
        Conflict: the command runs already.
    """
    with opened(settings) as engine:
        views = live(engine).views
    chosen = [view for view in views if name is None or view.name == name]
    if not chosen:
        names = ", ".join(view.name for view in views)
        raise NotFound(
            f"No feature view of your own is named {name}." if name else "No feature view of your own is live.",
            field="VIEW" if name else "LEADS_FEATURE_VIEWS",
            remedy=f"Live views: {names}." if views else "Set LEADS_FEATURE_VIEWS, then run: leads features apply",
        )
    lock = only_one(settings.root / "materialize.lock", what="leads features materialize")
    with lock, progress("rows read") as tell:
        rows = materialize(settings, chosen, on_progress=tell)
    views_text = counted(len(chosen), "view", "views")
    note(f"Read {counted(rows, 'row', 'rows')} of {views_text}. The online store has the newest values.")
    if not quiet:
        next_steps(("leads train --all", "train versions with the columns of your views"), settings=settings)
