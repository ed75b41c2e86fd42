"""Where the log goes, and which requests it has lines for."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from leads.db.engine import unchecked_engine
from leads.settings import load_settings
from serving.observe import logs


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A stream for the log; everything is afterwards as it was."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(logs, "_sampler", logs._sampler)
    root, own = logging.getLogger(), logging.getLogger("serving")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def logged(out: io.StringIO, rate: float, *requests: tuple[int, float]) -> list[dict[str, object]]:
    logs.set_up(load_settings(access_log_rate=rate), stream=out)
    for status, ms in requests:
        logs.access({"status": status, "duration_ms": ms}, level=logging.ERROR if status >= 500 else logging.INFO)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_few_successful_requests_are_logged_and_the_others_counted(out: io.StringIO) -> None:
    found = logged(out, 2, *[(200, 1.0)] * 50)
    assert 2 <= len(found) < 10
    assert "skipped" not in found[0]


def test_failed_and_slow_requests_are_always_logged(out: io.StringIO) -> None:
    found = logged(out, 0, (200, 1.0), (404, 1.0), (503, 1.0), (200, 1_500.0), (301, 2.0), (499, 1.0))
    assert [(line["status"], line["duration_ms"]) for line in found] == [
        (404, 1.0), (503, 1.0), (200, 1_500.0), (499, 1.0),
    ]  # fmt: skip


def test_what_the_pool_of_connections_does_is_not_logged(out: io.StringIO) -> None:
    logs.set_up(load_settings(log_level="info"), stream=out)
    engine = unchecked_engine(load_settings(database_url="sqlite://"))
    with engine.connect():
        pass
    engine.dispose()
    assert out.getvalue() == ""
