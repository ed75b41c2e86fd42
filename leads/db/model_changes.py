"""The kept history of model versions: who moved which alias to which version, when and why.

An alias moves in MLflow, the row about it lies here, and no transaction spans both. So a row is written first as
`pending`; once the alias has moved it becomes `done`. A row that a dying process left pending is settled by the next
change to that harm: `done` when the alias stands where the row says, else `dropped`.
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
        action: `registered` and `retired` move no alias themselves, `canary_stopped` takes `alias` from `version`, the
            others let `alias` name it.
        replaced: the version that bore `alias` before, None where none did.
        actor: a name of the operating system, or who was given by name.
        gate: the gate's report as JSON, None where it wasn't asked.
        overridden: the gate said no, and the actor did it nevertheless.
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
    """Say of a pending row what became of it."""
    connection.execute(sa.update(model_changes).where(model_changes.c.seq == seq).values(state=state))


def history(connection: Connection, harm: str) -> list[ModelChange]:
    """All changes to a harm's versions, the oldest first."""
    columns = [model_changes.c[name] for name in ModelChange._fields]
    query = sa.select(*columns).where(model_changes.c.harm == harm).order_by(model_changes.c.seq)
    return [ModelChange(*row) for row in connection.execute(query)]


def champions(changes: Sequence[ModelChange], champion: str | None) -> list[str]:
    """The versions that answered one after the other and may answer again, the present one last.

    A roll-back takes away what it left behind, so that the next one goes further back instead of to and fro; so does
    retiring.

    Args:
        changes: of one harm, the oldest first.
        champion: who bears the alias now, whatever the history says: it may have been moved by hand.

    >>> made = [ModelChange(0, "spam", n, "promoted", "me", "", alias="champion", state="done") for n in "123"]
    >>> champions(made, "3")
    ['1', '2', '3']
    >>> back = ModelChange(0, "spam", "2", "rolled_back", "me", "", alias="champion", state="done")
    >>> champions([*made, back], "2")
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
            # Moved by hand in between: who was replaced then comes before who replaced it.
            line += [version for version in (change.replaced, change.version) if version is not None]
    if champion is not None:
        line.append(champion)
    return [version for i, version in enumerate(line) if i == 0 or line[i - 1] != version]


def current_actor() -> str:
    """The operating system's user, or its number where that has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"user {os.getuid()}"
