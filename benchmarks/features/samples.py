"""What is folded, written and read: account rows, and events of a few thousand accounts and devices."""

from __future__ import annotations

import numpy as np

from features.declared.builtin import ACCOUNT, BUILTIN
from features.fold.fold import Batch, ViewBatch, empty_batch
from features.rows import pack
from leads import clock
from leads.events import ItemCreated, Played, SignalReceived, SubjectRef

START = clock.from_text("2026-03-01T00:00:00Z")


def packed_batch(n: int, round_: int) -> Batch:
    """`n` account rows; those of a later round are newer."""
    rows = account_rows(n, round_)
    at = [START + round_ * clock.SECOND] * n
    return {**empty_batch(BUILTIN), "account": ViewBatch([f"a{i}" for i in range(n)], list(range(1, n + 1)), at, rows)}


def account_rows(n: int, seed: int) -> list[bytes]:
    """`n` stored account rows. In the simulation, the median one has 66 cells that aren't zero."""
    rng = np.random.default_rng(seed)
    cells = rng.random((n, ACCOUNT.width), np.float32)
    cells[rng.random(cells.shape) > 66 / ACCOUNT.width] = 0.0
    return pack(ACCOUNT, cells, [("a device",)] * n)


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
