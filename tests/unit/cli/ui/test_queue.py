"""`leads queue` at the widths of usual terminals, with leads that have waited for years and one that was edited."""

from __future__ import annotations

import pytest

from cli.ui.queue import show_queue
from cli.ui.terminal import console
from leads import clock
from leads.db.engine import migrate, open_engine
from leads.settings import Settings
from serving.queue.leads_table import Lead
from serving.scoring.reasons.explanation import Reason
from tests.support.serving.queue_world import POLICIES, QueueWorld

REASONS = (
    Reason("text", "the wording is similar to violating texts", 1.0),
    Reason("near", "12 near copies in 24 hours", 0.5),
)


@pytest.fixture
def old_leads(settings: Settings) -> list[Lead]:
    migrate(settings)
    engine = open_engine(settings)
    world = QueueWorld(engine, POLICIES.queue)
    world.reasons = REASONS
    for i, days in enumerate((4_000, 1_023, 667, 300, 43, 1)):
        world.now = clock.now() - days * clock.DAY - clock.HOUR
        world.write(f"comment-{i}", "free coins")
        world.wait()
        world.offer(f"comment-{i}", 0.9 - i / 100)
    world.wait()
    world.write("comment-5", "what a lovely song")
    leads = world.page().leads
    engine.dispose()
    return leads


@pytest.mark.parametrize("width", [80, 120, 160])
def test_old_leads_are_readable(
    settings: Settings, old_leads: list[Lead], capsys: pytest.CaptureFixture[str], width: int
) -> None:
    console.width = width
    try:
        show_queue(settings, POLICIES, harm=None, state="open", limit=20)
    finally:
        console.width = 120
    out = capsys.readouterr().out
    table = out[: out.index("Next:")]
    assert max(map(len, table.splitlines())) <= width
    for waited in ("4,000 d", "1,023 d", "667 d", "43 d", "24 h"):
        assert waited in table
    assert "e300" in table
    assert table.count("edited") == 1
    assert [lead.priority for lead in old_leads] == sorted({lead.priority for lead in old_leads}, reverse=True)
