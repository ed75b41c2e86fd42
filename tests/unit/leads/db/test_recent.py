"""What was used last stays in memory, and no more than twice the limit."""

from __future__ import annotations

from leads.db.content.recent import Recent


def test_only_what_was_used_last_is_kept() -> None:
    kept: Recent[int, str] = Recent(limit=3)
    for i in range(20):
        kept.put(i, str(i))
        assert kept.get(0) == "0", "what is used again stays"
    found = [i for i in range(20) if kept.get(i)]
    assert found[-1] == 19
    assert len(found) <= 6


def test_heavy_values_leave_sooner() -> None:
    kept: Recent[int, str] = Recent(limit=100, weigh=len)
    for i in range(20):
        kept.put(i, "x" * 30)
    assert sum(kept.get(i) is not None for i in range(20)) <= 8
    kept.put(99, "x" * 1_000)
    assert kept.get(99) == "x" * 1_000
    assert kept.get(100) is None
