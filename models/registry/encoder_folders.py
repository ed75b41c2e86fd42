"""Deletes fine-tuned encoders from this host's folder that nothing on it needs. They can be fetched again."""

from __future__ import annotations

from leads.clock import SECOND, Micros
from leads.retention.kinds import is_temporary
from leads.retention.removal import Pruned, Remover, newest
from leads.settings import Settings
from models import manifest
from models.registry.encoders import EncoderRegistry, folders_stay
from models.text.encoder_files import ENCODERS
from models.text.stage import encoder_named_in


def prune_encoders(settings: Settings, before: Micros, dry_run: bool) -> Pruned:
    """Delete encoders that no training or command has used since this time.

    The promoted one stays, and those that published versions need: they are read whenever a process starts, also while
    the registry is down.

    Raises:
        Unavailable: the registry can't be reached, so which one is promoted isn't known.
    """
    remover = Remover(dry_run=dry_run)
    folder = settings.root / ENCODERS
    if not folder.is_dir():
        return remover.pruned(ENCODERS)
    # Whoever fetches a version has its encoder used now, before the version is published.
    with folders_stay(settings):
        found = sorted(one for one in folder.iterdir() if one.is_dir() and not is_temporary(one.name))
        old = [one for one in found if 0 < newest([one]) < before / SECOND]
        if old:
            promoted = EncoderRegistry(settings).promoted()
            needed = _needed_by_published(settings) | ({promoted.id} if promoted else set())
            for one in old:
                if one.name not in needed:
                    remover.folder(one)
    return remover.pruned(ENCODERS)


def _needed_by_published(settings: Settings) -> set[str]:
    """The encoders that versions in the folder of published versions need."""
    needed = {encoder_named_in(path.read_bytes()) for path in settings.published_dir.rglob(manifest.TEXT)}
    return {id_ for id_ in needed if id_ is not None}
