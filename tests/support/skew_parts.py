"""Logged predictions and events for tests of the parts of the skew check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlalchemy.engine import Engine

from features.declared.builtin import LAYOUT_OF, ROLES
from features.evaluate.columns import contract_for
from features.fold.fold import ViewBatch
from features.links import Links
from features.rows import pack
from leads import clock
from leads.db import event_log
from leads.errors import NotFound
from leads.events import ItemCreated, Played, RecordedEvent, Subject
from leads.predictions.batch import PredictionBatch, to_table
from monitoring.skew.logged import LoggedPredictions

AT = clock.from_text("2026-05-01T12:00:00Z")
CONTRACT = contract_for(text=True)


class FolderRegistry:
    """A registry whose versions all are one folder; without a folder it has none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.asked: list[tuple[str, str]] = []

    def aliases(self, harm: str) -> dict[str, str]:
        return {}

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        self.asked.append((harm, version))
        if self._folder is None:
            raise NotFound(f"There is no version {version} of {harm}.")
        return self._folder


def prediction(number: int, **given: object) -> PredictionBatch:
    plain = {
        "harm": "spam", "model_version": "1", "contract_hash": "h", "source": "api", "at": AT + number, "scored_at": AT,
        "took_us": 5, "prediction_ids": [f"p{number}"], "subjects": [Subject("comment", "c1")],
        "vectors": np.zeros((1, 3), np.float32), "scores": np.array([0.5]), "tiers": ["none"],
        "row_at": np.zeros((1, len(ROLES)), np.int64), "links": [(None,) * 4], "text_hashes": [0],
    }  # fmt: skip
    return PredictionBatch(**{**plain, **given})  # type: ignore[arg-type]


def table_of(*batches: PredictionBatch) -> pa.Table:
    return to_table(batches)


def logged_of(n: int = 1, **given: object) -> LoggedPredictions:
    made = LoggedPredictions(
        subjects=[Subject("comment", "c1")] * n,
        ids=[f"p{i}" for i in range(n)],
        at=np.full(n, AT),
        row_at=np.zeros((n, len(ROLES)), np.int64),
        links=[Links()] * n,
        vector=np.zeros((n, len(CONTRACT.columns) + 1), np.float32),
        text_hash=[0] * n,
        earlier=np.zeros(n, np.bool_),
    )
    return replace(made, **given)  # type: ignore[arg-type]


def append(engine: Engine, *events: tuple[int, ItemCreated | Played]) -> None:
    recorded = [RecordedEvent(f"e{at}", AT + at, AT + at, body) for at, body in events]
    with engine.begin() as connection:
        event_log.append_recorded(connection, "test", recorded)


def batch(view: str, *rows: tuple[str, int, tuple[str | None, ...]]) -> ViewBatch:
    layout = LAYOUT_OF[view]
    cells = np.zeros((len(rows), layout.width), np.float32)
    return ViewBatch(
        keys=[key for key, _, _ in rows],
        offsets=[1] * len(rows),
        visible_at=[AT + at for _, at, _ in rows],
        rows=pack(layout, cells, [links for _, _, links in rows]),
    )
