"""The history of model versions: who moved which alias to which version, when and why.

An alias lives in MLflow, the row about its move lives here, and no transaction spans both. So the row is first written
as `pending`, and becomes `done` once the alias has moved. If a process died in between, the next change to the harm
settles its pending row: `done` if the alias points where the row says, else `dropped`.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.tables import model_changes

Action = Literal["registered", "promoted", "challenging", "rolled_back", "retired", "canary", "canary_stopped"]
State = Literal["pending", "done", "dropped"]
CHAMPION, CHALLENGER, CANARY = "champion", "challenger", "canary"


class ModelChange(NamedTuple):
    """One change to a harm's versions.

    Args:
        at: µs since epoch.
        action: `registered` and `retired` move no alias, `canary_stopped` removes `alias` from `version`, and the other
            actions point `alias` to `version`.
        replaced: the version that had `alias` before; None if none had.
        actor: the operating system's user, or a name that was given.
        gate: the gate's report as JSON; None if the gate was not run.
        overridden: whether the change was made although the gate failed.
    """

    at: Micros
    harm: str
    version: str
    action: Action
    actor: str
    why: str
    alias: str | None = None
    replaced: str | None = None
    gate: str | None = None
    overridden: bool = False
    state: State = "pending"
    seq: int = 0


def record(connection: Connection, change: ModelChange) -> int:
    """Add a row in the caller's transaction; returns its `seq`."""
    values = change._asdict()
    del values["seq"]
    key = connection.execute(sa.insert(model_changes).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def close(connection: Connection, seq: int, state: State) -> None:
    """Set the final state of a pending row."""
    connection.execute(sa.update(model_changes).where(model_changes.c.seq == seq).values(state=state))


def history(connection: Connection, harm: str) -> list[ModelChange]:
    """All changes to a harm's versions, oldest first."""
    columns = [model_changes.c[name] for name in ModelChange._fields]
    query = sa.select(*columns).where(model_changes.c.harm == harm).order_by(model_changes.c.seq)
    return [ModelChange(*row) for row in connection.execute(query)]


def champions(changes: Sequence[ModelChange], champion: str | None) -> list[str]:
    """The successive champions that can serve again, the current one last.

    A roll-back removes the versions it rolled back from, so that the next roll-back goes further back instead of
    returning to them. Retired versions are removed too.

    Args:
        changes: of one harm, oldest first.
        champion: the version that has the alias now; it may have been moved by hand, without a row in the history.

    >>> changes = [ModelChange(0, "spam", n, "promoted", "me", "", alias="champion", state="done") for n in "123"]
    >>> champions(changes, "3")
    ['1', '2', '3']
    >>> back = ModelChange(0, "spam", "2", "rolled_back", "me", "", alias="champion", state="done")
    >>> champions([*changes, back], "2")
    ['1', '2']
    """
    line: list[str] = []
    for change in changes:
        if change.state != "done":
            continue
        if change.action == "retired":
            line = [version for version in line if version != change.version]
        elif change.action == "rolled_back" and change.version in line:
            while line[-1] != change.version:
                line.pop()
        elif change.alias == CHAMPION:
            # If the alias was moved by hand in between, the replaced version was champion too.
            line += [version for version in (change.replaced, change.version) if version is not None]
    if champion is not None:
        line.append(champion)
    return [version for i, version in enumerate(line) if i == 0 or line[i - 1] != version]


def moved_outside(harm: str, changes: Sequence[ModelChange], champion: str | None) -> str | None:
    """A sentence that says that no recorded change made `champion` the champion; None if one did.

    Args:
        changes: of the harm, oldest first. One that is pending may have happened or not.
        champion: the version that has the alias now; None if none has.

    >>> changes = [ModelChange(0, "spam", n, "promoted", "me", "", alias="champion", state="done") for n in "12"]
    >>> moved_outside("spam", changes, "1")
    'The alias champion of spam was moved to v1 outside leads, which last made v2 champion.'
    >>> moved_outside("spam", changes, "2")
    """
    recorded: str | None = None
    for change in changes:
        before = recorded
        if change.alias == CHAMPION and change.state != "dropped":
            recorded = None if change.action == "retired" else change.version
        if change.state == "pending" and champion in (before, recorded):
            recorded = champion
    if champion == recorded:
        return None
    what = "removed" if champion is None else f"moved to v{champion}"
    by = "has recorded no champion" if recorded is None else f"last made v{recorded} champion"
    return f"The alias champion of {harm} was {what} outside leads, which {by}."


def current_actor() -> str:
    """The operating system's user name, or `user <uid>` if it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"user {os.getuid()}"
