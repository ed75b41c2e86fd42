"""The files in which the API processes of an instance keep their metrics, those of dead processes included.

A process writes one file per kind of metric, named after its pid. Rolling restarts replace processes for as long as an
instance runs, so the totals of dead processes are added up in one file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leads.files import in_turn

# No process has this pid. What is named after it counts as alive, so it stays.
_DEAD = "0"


@contextmanager
def settled(folder: Path) -> Iterator[None]:
    """Settle the metrics of dead processes. While the context is open, no other process does."""
    with in_turn(folder / ".lock"):
        dead = [path for path in folder.glob("*.db") if not _is_running(path.stem.rpartition("_")[2])]
        for path in dead:
            if path.name.startswith("gauge_live"):
                path.unlink(missing_ok=True)
        for kind in ("counter", "histogram"):
            ended = [path for path in dead if path.name.startswith(f"{kind}_")]
            if ended:
                _add_up(ended, folder / f"{kind}_{_DEAD}.db")
        yield


def _add_up(files: list[Path], total: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    values: dict[str, float] = {}
    for path in (*files, total):
        if path.exists():
            for key, value, _, _ in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call]
                values[key] = values.get(key, 0.0) + value
    # Not `.db`, so that nobody reads it before it is complete.
    draft = total.with_suffix(".new")
    draft.unlink(missing_ok=True)
    written = MmapedDict(str(draft))  # type: ignore[no-untyped-call]
    for key, value in values.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    for path in files:
        path.unlink()
    draft.replace(total)


def _is_running(pid: str) -> bool:
    if not pid.isdecimal() or pid == _DEAD:
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
