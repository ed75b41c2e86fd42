"""How long the demo waits for the worker: as long as it gets further."""

from __future__ import annotations

import re

import pytest
from sqlalchemy.engine import Engine

from cli import demo_waits
from cli.demo_waits import wait_until_scored
from leads.errors import Unavailable
from leads.settings import Settings


def test_a_slow_worker_is_waited_for_and_one_that_stands_still_is_not(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every step takes nearly as long as the demo's patience, so together they take far longer."""
    now, scored = 0.0, 0

    def works(seconds: float) -> None:
        nonlocal now, scored
        now, scored = now + 50.0, min(scored + 1, stops_at)

    monkeypatch.setattr(demo_waits, "_scored", lambda *_: (40, scored))
    stops_at = 40
    wait_until_scored(settings, timer=lambda: now, sleep=works)
    assert "All 40 events are processed and scored after 2000 s." in capsys.readouterr().out
    now, scored, stops_at = 0.0, 0, 30
    message = "The worker has scored 30 of 40 events, and made no progress for 120 s."
    with pytest.raises(Unavailable, match=re.escape(message)) as caught:
        wait_until_scored(settings, timer=lambda: now, sleep=works)
    assert "run the same command again: it goes on where it stopped" in (caught.value.remedy or "")
    assert now == 1_650
