"""Keeps two workers from using one partition's state on a shared server, and notices when the server lost data.

The server holds for each partition the owner, a random token that a worker chooses when it starts; the position; the
home that has the segments which belong to the state; and the form of the values. The worker that started last is the
owner. Each read and each commit checks the owner and the position, in the same transaction or after the values. So
neither a worker that has been replaced nor one whose server restored an older state uses values that aren't its own.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from features.layout import FIRST_NUMBER
from features.partition import Partition
from leads.errors import ConfigurationError, Conflict, Unavailable
from leads.files import in_turn, read_json, write_json

_log = logging.getLogger(__name__)
_REBUILD = "leads worker --rebuild --once"


class Held(NamedTuple):
    """What the server holds for a partition."""

    owner: str
    position: int
    home: str
    format: int


def names_of(features: int) -> str:
    """A regular expression of the names that the partitions of a generation of features have on the server."""
    return rf"{_prefix(features)}\d+of\d+"


def _prefix(features: int) -> str:
    return "" if features == FIRST_NUMBER else f"{features}-"


@dataclass
class Fence:
    """A worker's claim to a partition's state.

    Args:
        store: the name of the store, for errors.
        home: see `home_id`.
        owner: see `new_owner`.
        position: the position that the server has to hold.
        features: number of the generation of features whose state it is.
    """

    store: str
    partition: Partition
    home: str
    owner: str
    position: int = 0
    features: int = FIRST_NUMBER

    @property
    def name(self) -> str:
        """The partition's name on the server. Each generation of features has a state of its own."""
        return f"{_prefix(self.features)}{self.partition.index}of{self.partition.count}"

    def check_claim(self, held: Held | None, *, take_over: bool) -> None:
        """Check that this worker may become the owner.

        Args:
            held: None if the server holds nothing for the partition.
            take_over: replace another worker of the same home.

        Raises:
            ConfigurationError: the state belongs to the segments of another home.
            Conflict: another worker is the owner.
        """
        if held is None:
            return
        if held.home != self.home:
            raise ConfigurationError(
                f"The state of partition {self.name} in {self.store} belongs to another home, or to rows that have been"
                " deleted since.",
                field="LEADS_STATE_STORE",
                remedy="Check LEADS_HOME first: the next command deletes this state and the online rows, also those of "
                f"another platform that uses them. If none does, compute the feature rows again: {_REBUILD}",
            )
        if not take_over and held.owner != self.owner:
            raise self._replaced()

    def check(self, held: Held | None) -> None:
        """Check that this worker is still the owner, and that the server holds the position of its last commit.

        Raises:
            Conflict: another worker is the owner.
            Unavailable: the server lost data, or finished a commit that had failed. Open the store again.
        """
        if held is not None and held.owner != self.owner:
            raise self._replaced()
        if held is None or held.position != self.position:
            found = "nothing" if held is None else f"position {held.position}"
            raise Unavailable(
                f"The state of partition {self.name} in {self.store} has changed: expected position {self.position},"
                f" found {found}.",
                field="LEADS_STATE_STORE",
                remedy="The worker folds the events after that position again.",
            )

    def lost(self) -> Unavailable:
        """The error when the server lost a whole view of the state, though it still has the position."""
        return Unavailable(
            f"The state of partition {self.name} in {self.store} has lost values.",
            field="LEADS_STATE_STORE",
            remedy="The worker starts over and folds all events again.",
        )

    def log_loss(self) -> None:
        """Log that a worker that opens the state starts over, because the server lost values."""
        _log.warning("the state of partition %s in %s has lost values; folding all events again", self.name, self.store)

    def contended(self) -> Unavailable:
        """The error when the state keeps changing while this worker tries to become the owner."""
        return Unavailable(
            f"The state of partition {self.name} in {self.store} changed while the worker opened it.",
            field="LEADS_STATE_STORE",
            remedy="Start it again.",
        )

    def _replaced(self) -> Conflict:
        return Conflict(
            f"Another worker has taken over partition {self.name} in {self.store}, or an older copy of the server's"
            " data was restored.",
            field="LEADS_STATE_STORE",
            remedy="Run one worker per partition, and stop the others. If there are no others, start the worker again.",
        )


def new_owner() -> str:
    """A random name for a worker that starts."""
    return secrets.token_hex(16)


def home_id(features_dir: Path) -> str:
    """The random name of a home's feature rows. Deleting the rows (`state-*`) deletes it, so that new ones get another.

    It is stored before its first use, so that a state on a server never outlives it by a power cut.

    Raises:
        ConfigurationError: its file is damaged.
    """
    path = features_dir / "state-home"
    with in_turn(features_dir / "state.lock"):
        if not path.exists():
            write_json(path, secrets.token_hex(16))
        return read_json(path, str, remedy=f"Compute the feature rows again: {_REBUILD}")
