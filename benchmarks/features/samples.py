"""What is folded, written and read: account rows, and events of a few thousand accounts and devices."""

from __future__ import annotations

import numpy as np

from features.fold.fold import Batch, empty_batch
from features.layout import ACCOUNT
from leads import clock
from leads.events import ItemCreated, Played, SignalReceived, SubjectRef

START = clock.from_text("2026-03-01T00:00:00Z")


def packed_batch(n: int, round_: int) -> Batch:
    """`n` account rows; those of a later round are newer."""
    batch = empty_batch()
    raw = np.random.default_rng(round_).random(ACCOUNT.width).astype("<f4").tobytes()
    for i in range(n):
        batch["account"].add(f"a{i}", i + 1, START + round_ * clock.SECOND, raw, (None,))
    return batch


def bodies(n: int) -> list[Played | ItemCreated | SignalReceived]:
    """Bodies of events: plays from devices, comments by accounts, and reports about the comments."""
    rng = np.random.default_rng(3)
    made: list[Played | ItemCreated | SignalReceived] = []
    draws = zip(rng.random(n), rng.integers(3_000, size=n), rng.integers(500, size=n), strict=True)
    for i, (kind, who, what) in enumerate(draws):
        track = SubjectRef("track", f"t{what}")
        if kind < 0.1:
            text = f"I have been listening to number {what} all day, what a song"
            made.append(ItemCreated(SubjectRef("comment", f"c{i}"), account_id=f"a{who}", parent=track, text=text))
        elif kind < 0.15:
            comment = SubjectRef("comment", f"c{i - what % (i + 1)}")
            made.append(SignalReceived(comment, "user_report", "app", reporter_id=f"a{who % 100}"))
        else:
            made.append(Played(track, f"a{who}", 33.0, f"d{who % 2_500}"))
    return made
