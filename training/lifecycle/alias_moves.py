"""Changes aliases in the registry and records each change in the database, so that the two agree even after a crash.

The record is written first, as pending. If the process dies before the change is complete, the next change to the harm
looks at the registry: either the change happened and its record is completed, or the record is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from sqlalchemy.engine import Engine

from leads import clock
from leads.db import model_changes
from leads.db.engine import reading
from leads.db.model_changes import CANARY, CHALLENGER, CHAMPION, ModelChange
from leads.files import in_turn, only_one
from leads.settings import Settings
from models.registry.versions import ALIASES_LOCK, RETIRED, VersionRegistry
from training.lifecycle import pages

_WHAT = "changing which versions serve"


@dataclass(frozen=True)
class AliasMoves:
    """Changes to versions of all harms, one at a time per `LEADS_HOME`."""

    settings: Settings
    registry: VersionRegistry
    engine: Engine

    @contextmanager
    def exclusively(self, harm: str, *, wait: bool = False) -> Iterator[None]:
        """Keep other processes from changing versions, and settle a change to `harm` that was left pending.

        Args:
            wait: wait for the other process instead of failing.

        Raises:
            Conflict: another process is changing versions, and `wait` is False.
        """
        path = self.settings.root / ALIASES_LOCK
        lock: AbstractContextManager[None] = in_turn(path) if wait else only_one(path, what=_WHAT)
        with lock:
            for change in self.history(harm):
                if change.state == "pending":
                    self._settle(change)
            yield

    def history(self, harm: str) -> list[ModelChange]:
        """All changes to a harm's versions, oldest first."""
        with reading(self.engine) as connection:
            return model_changes.history(connection, harm)

    def record(self, change: ModelChange) -> None:
        """Record an event that changes nothing in the registry."""
        with self.engine.begin() as connection:
            model_changes.record(connection, change._replace(state="done"))

    def carry_out(self, change: ModelChange) -> None:
        """Record a change, then make it: move or drop its alias, or set the tag of a retired version."""
        holder = self.registry.aliases(change.harm).get(change.alias or "")
        change = change._replace(replaced=holder if holder != change.version else None)
        with self.engine.begin() as connection:
            seq = model_changes.record(connection, change)
        if change.action == "retired":
            text = f"{clock.to_text(change.at)} by {change.actor}: {change.why}"
            self.registry.tag(change.harm, change.version, RETIRED, text)
        elif change.action == "canary_stopped":
            self.registry.drop_alias(change.harm, CANARY)
        else:
            assert change.alias is not None
            self.registry.set_alias(change.harm, change.alias, change.version)
        self._drop_outdated_aliases(change)
        self._close(seq, happened=True)
        pages.show_aliases(self.registry, change.harm, self.history(change.harm))

    def _settle(self, change: ModelChange) -> None:
        if change.action == "retired":
            happened = RETIRED in self.registry.version(change.harm, change.version).tags
        else:
            has_alias = self.registry.aliases(change.harm).get(change.alias or "") == change.version
            happened = has_alias != (change.action == "canary_stopped")
        if happened:
            self._drop_outdated_aliases(change)
        self._close(change.seq, happened=happened)
        pages.show_aliases(self.registry, change.harm, self.history(change.harm))

    def _drop_outdated_aliases(self, change: ModelChange) -> None:
        """Drop the aliases that a change makes invalid. May safely be repeated."""
        for alias, holder in self.registry.aliases(change.harm).items():
            retired = change.action == "retired" and holder == change.version
            new_champion = change.action != "retired" and change.alias == CHAMPION
            # A challenger was compared with the old champion; that says nothing about the new one.
            outdated = new_champion and alias == CHALLENGER
            # A champion serves all subjects, so it needs no canary's share.
            was_canary = new_champion and alias == CANARY and holder == change.version
            if retired or outdated or was_canary:
                self.registry.drop_alias(change.harm, alias)

    def _close(self, seq: int, *, happened: bool) -> None:
        with self.engine.begin() as connection:
            model_changes.close(connection, seq, "done" if happened else "dropped")
