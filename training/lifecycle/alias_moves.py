"""Moves an alias in MLflow and keeps a row about it, so that neither is ever without the other for long.

The row is written first, as pending. A process that dies in between leaves it so, and the next change to that harm
settles it by looking at the registry: what the row says either happened, and is finished, or it did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from sqlalchemy.engine import Engine

from leads import clock
from leads.db import model_changes
from leads.db.model_changes import CANARY, CHALLENGER, CHAMPION, ModelChange
from leads.db.tables import reading
from leads.files import in_turn, only_one
from leads.settings import Settings
from models.registry.versions import RETIRED, VersionRegistry

_WHAT = "changing which versions answer"


@dataclass(frozen=True)
class Moves:
    """Changes to the versions of all harms, one at a time on this home."""

    settings: Settings
    registry: VersionRegistry
    engine: Engine

    @contextmanager
    def alone(self, harm: str, *, wait: bool = False) -> Iterator[None]:
        """No other process changes versions meanwhile; what an earlier one left pending is settled first.

        Raises:
            Conflict: another process does, and `wait` is not asked for.
        """
        path = self.settings.root / "models.lock"
        lock: AbstractContextManager[None] = in_turn(path) if wait else only_one(path, what=_WHAT)
        with lock:
            for change in self.history(harm):
                if change.state == "pending":
                    self._settle(change)
            yield

    def history(self, harm: str) -> list[ModelChange]:
        """All changes to a harm's versions, the oldest first."""
        with reading(self.engine) as connection:
            return model_changes.history(connection, harm)

    def note(self, change: ModelChange) -> None:
        """Keep what moves nothing."""
        with self.engine.begin() as connection:
            model_changes.record(connection, change._replace(state="done"))

    def carry_out(self, change: ModelChange) -> None:
        """Write the row, then move or drop its alias, or for `retired` set the tag, and do what that brings with it."""
        bearer = self.registry.aliases(change.harm).get(change.alias or "")
        change = change._replace(replaced=bearer if bearer != change.version else None)
        with self.engine.begin() as connection:
            seq = model_changes.record(connection, change)
        if change.action == "retired":
            said = f"{clock.to_text(change.at)} by {change.actor}: {change.why}"
            self.registry.tag(change.harm, change.version, RETIRED, said)
        elif change.action == "canary_stopped":
            self.registry.drop_alias(change.harm, CANARY)
        else:
            assert change.alias is not None
            self.registry.set_alias(change.harm, change.alias, change.version)
        self._follow_up(change)
        self._close(seq, happened=True)

    def _settle(self, change: ModelChange) -> None:
        if change.action == "retired":
            happened = RETIRED in self.registry.version(change.harm, change.version).tags
        else:
            bears = self.registry.aliases(change.harm).get(change.alias or "") == change.version
            happened = bears != (change.action == "canary_stopped")
        if happened:
            self._follow_up(change)
        self._close(change.seq, happened=happened)

    def _follow_up(self, change: ModelChange) -> None:
        """The aliases that fall with a change; may be done twice."""
        for alias, bearer in self.registry.aliases(change.harm).items():
            retired = change.action == "retired" and bearer == change.version
            answers = change.action != "retired" and change.alias == CHAMPION
            # What was compared with the old champion says nothing about the new one.
            outdated = answers and alias == CHALLENGER
            # Who answers everything needs no share.
            on_trial = answers and alias == CANARY and bearer == change.version
            if retired or outdated or on_trial:
                self.registry.drop_alias(change.harm, alias)

    def _close(self, seq: int, *, happened: bool) -> None:
        with self.engine.begin() as connection:
            model_changes.close(connection, seq, "done" if happened else "dropped")
