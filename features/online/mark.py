"""The file that records how far a partition's rows are in the online store."""

from __future__ import annotations

from pathlib import Path

import msgspec

from features.partition import Partition
from leads.settings import Settings

# The form of online rows: until 1, a list of floats (`features.online.dense`); 2, `features.rows`.
FORM = 2


class Mark(msgspec.Struct, frozen=True):
    """Offsets: `started` of the last online write that was begun, `done` of the last one that succeeded.

    `form`: every online row is stored in this form or in a later one.
    """

    # Its name in the files that earlier releases wrote.
    started: int = msgspec.field(name="meant", default=0)
    done: int = 0
    form: int = 1


def mark_path(settings: Settings, partition: Partition) -> Path:
    """The partition's file."""
    return settings.features_dir / f"online-{partition.index}of{partition.count}.json"


def read_mark(path: Path) -> Mark:
    """What the file records; of a partition without one, that nothing was written."""
    return msgspec.json.decode(path.read_bytes(), type=Mark) if path.exists() else Mark(form=FORM)
