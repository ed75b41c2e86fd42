"""Records how far a partition's rows are in the online store: in a file, and in the store itself."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from features.declared.feature_set import FeatureSet
from features.online.presence import Presence
from features.online.writer import OnlineWriter
from features.partition import Partition
from leads.clock import Micros
from leads.files import read_json, write_json
from leads.settings import Settings

# The form of online rows: until 1, a list of floats (`features.online.dense`); 2, `features.rows`.
FORM = 2
_log = logging.getLogger(__name__)


class Mark(msgspec.Struct, frozen=True):
    """How far a partition's rows are online.

    Args:
        started, done: offsets of the last online write that was begun, and of the last one that succeeded.
        form: every online row is stored in this form or in a later one.
        started_at: when the event at `started` became visible; 0 if an earlier release wrote the file.
        present: the offset that the online store itself holds (`features.online.presence`), or a later one; 0 if it
            holds none yet.
    """

    # Its name in the files that earlier releases wrote.
    started: int = msgspec.field(name="meant", default=0)
    done: int = 0
    form: int = 1
    started_at: Micros = 0
    present: int = 0


def mark_path(settings: Settings, partition: Partition, features: FeatureSet) -> Path:
    """The partition's file."""
    return features.folder(settings) / f"online-{partition.index}of{partition.count}.json"


def read_mark(path: Path) -> Mark:
    """What the file records; of a partition without one, that nothing was written."""
    if not path.exists():
        return Mark(form=FORM)
    return read_json(path, Mark, remedy="Delete the file: the worker then writes all rows online again.")


class OnlineMark:
    """Keeps a partition's mark."""

    def __init__(self, settings: Settings, partition: Partition, writer: OnlineWriter, features: FeatureSet) -> None:
        self._path = mark_path(settings, partition, features)
        self._presence = Presence(settings, partition, writer, features)
        self.read_again()

    def read_again(self) -> None:
        """Forget what was not recorded."""
        self.value = read_mark(self._path)

    def start(self, offset: int, at: Micros) -> None:
        """Record that rows up to an event are about to be written.

        Args:
            at: when the event became visible.
        """
        self._put(started=offset, started_at=at)

    def finish(self, offset: int, at: Micros) -> None:
        """Record that rows up to an event were written."""
        self._put(done=offset, present=self._presence.put(offset, at))

    def finish_rewriting(self) -> None:
        """Record that every online row has today's form."""
        self._put(form=FORM)

    def lost(self) -> bool:
        """Whether the online store has lost rows since they were written. Then nothing counts as written any more.

        If the store holds later rows, written by another home's worker, none is written until the fold is as far.

        Raises:
            Unavailable: the store doesn't respond.
        """
        if not self.value.present:
            return False
        reached = self._presence.reached()
        if reached >= self.value.present:
            if reached > self.value.started:
                self._put(started=reached, started_at=0)
            return False
        _log.warning(
            "the online store has lost rows: it held those up to event %d, and holds those up to event %d; writing all "
            "of them again",
            self.value.present,
            reached,
        )
        self._put(started=0, started_at=0, done=0, present=0, form=FORM)
        return True

    def close(self) -> None:
        self._presence.close()

    def _put(self, **changed: int) -> None:
        self.value = msgspec.structs.replace(self.value, **changed)
        write_json(self._path, self.value)
