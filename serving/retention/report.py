"""`retention.json` in the home: what the service deleted the last time, and what was stored afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from leads.clock import Micros
from leads.errors import ConfigurationError
from leads.files import read_json

FILE = "retention.json"


class Report(msgspec.Struct, frozen=True):
    """The last time that old data were deleted in a home.

    Args:
        at: when, µs; 0 if never.
        deleted: by kind, the bytes that were deleted; kinds whose bytes aren't known aren't there.
        stored: by kind, the bytes of all files of the home afterwards.
        failed: the kinds that could not be deleted.
    """

    at: Micros = 0
    deleted: Mapping[str, int] = {}
    stored: Mapping[str, int] = {}
    failed: tuple[str, ...] = ()


def read_report(home: Path) -> Report:
    """The last report; an empty one if there is none that can be read."""
    path = home / FILE
    if not path.exists():
        return Report()
    try:
        return read_json(path, Report, remedy="Delete it.")
    except ConfigurationError:
        return Report()
