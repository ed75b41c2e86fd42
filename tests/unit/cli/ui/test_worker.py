"""What `leads worker --once` says about an empty event log."""

from __future__ import annotations

import pytest

from cli.ui.worker import process_once
from leads.db.engine import migrate
from leads.settings import Settings
from serving.worker.run import chosen_partitions


@pytest.mark.slow
def test_an_empty_log_needs_events_and_not_a_model(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(settings)
    process_once(settings, chosen_partitions(settings, None), quiet=False)
    out = capsys.readouterr().out
    assert "The event log is empty." in out
    assert "leads ingest FILE" in out
    assert "leads simulate" in out
    assert "train --all" not in out
