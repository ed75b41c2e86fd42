"""Options that several commands share."""

from __future__ import annotations

import pytest

from cli.options import instant
from leads.errors import InvalidInput


def test_a_time_is_read_with_its_offset_or_refused_with_an_example() -> None:
    assert instant(None, "--until") is None
    assert instant("1970-01-01T01:00:01+01:00", "--until") == 1_000_000
    with pytest.raises(InvalidInput, match=r"--since: 'yesterday' is not a timestamp\. Use RFC 3339"):
        instant("yesterday", "--since")
    with pytest.raises(InvalidInput):
        instant("2026-01-31T12:00:00", "--since")
