"""How a process that can't load a published version because of its files tells the follower.

It leaves a file `.<version>.damaged` beside the version's folder. The follower then checks the folder, fetches the
version again if the folder is damaged, and deletes the file.
"""

from __future__ import annotations

import logging
from pathlib import Path

from leads.files import write_atomic

_log = logging.getLogger(__name__)


def report(folder: Path, why: str) -> None:
    """Report a version's folder as damaged."""
    try:
        write_atomic(_path(folder), lambda draft: draft.write_text(why, encoding="utf-8"))
    except OSError as error:
        # The follower notices by itself, but later.
        _log.warning("can't report %s as damaged: %s", folder, error)


def reported(folder: Path) -> str | None:
    """Why a process reported the folder as damaged; None if none did."""
    try:
        return _path(folder).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def withdraw(folder: Path) -> None:
    """Delete the report about a folder, if there is one."""
    try:
        _path(folder).unlink(missing_ok=True)
    except OSError as error:
        _log.warning("can't delete the report about %s: %s", folder, error)


def _path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.damaged")
