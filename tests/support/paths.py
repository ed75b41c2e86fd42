"""Where the project's files are, and those of tests."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
_MEMORY = Path("/dev/shm")
_ENOUGH = 8 << 30


def memory_for_tests() -> Path | None:
    """The folder of a file system in memory; None if the host has none, or not enough memory to keep tests' files.

    On a disk, each commit to a database waits until it is written.
    """
    if not os.access(_MEMORY, os.W_OK):
        return None
    found = os.statvfs(_MEMORY)
    free = min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available)
    # Tests run programs in their folders.
    return _MEMORY if free >= _ENOUGH and not found.f_flag & os.ST_NOEXEC else None
