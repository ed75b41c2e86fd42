"""What is left to do after platform.yaml has changed: apply its features, and restart the service."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from features.declared.changes import changes
from features.declared.generations import declared_features, live_generation
from leads.db.engine import reading
from leads.errors import ConfigurationError
from leads.messages.wording import counted
from leads.platform.declaration import load_platform
from leads.settings import Settings
from serving.versions.file_watch import changed_files

Steps = tuple[tuple[str, str], ...]


def apply_steps(settings: Settings, engine: Engine) -> Steps:
    """The step that brings features online that platform.yaml declares and that aren't live; nothing if all are.

    Of your own views, it is only known whether there are any: their definitions take seconds to import.
    """
    with reading(engine) as connection:
        live = live_generation(connection)
    declared = declared_features(load_platform(settings.platform))
    found = changes(live, declared.model_copy(update={"views": live.declared.views}))
    count = len(found.new) + len(found.changed) + len(found.removed)
    if count:
        what = f"bring {counted(count, 'changed feature')} of platform.yaml online"
        return (("leads features apply", what),)
    if settings.feature_views is not None and not live.declared.views:
        return (("leads features apply", "bring your own feature views online"),)
    return ()


def restart_steps(settings: Settings) -> Steps:
    """The step that lets the running service read changed files; nothing if it has read them, or doesn't run."""
    try:
        changed = changed_files(settings)
    except ConfigurationError:
        # The files were read a moment ago.
        return ()
    if not changed:
        return ()
    names = " and ".join(path.name for path in changed)
    return (("leads restart", f"let the running service read {names} again"),)
