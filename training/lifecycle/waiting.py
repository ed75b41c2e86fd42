"""Decides whether a harm's first champion has to be promoted by hand, whichever command trained it."""

from __future__ import annotations

from collections.abc import Sequence

from leads.db.model_changes import ModelChange
from training.data.dataset import Dataset
from training.data.labelled_rows import FILE
from training.gate.gate import GateReport


def why_by_hand(data: Dataset, changes: Sequence[ModelChange], number: str) -> str | None:
    """Why a version that passes the gate must not become the champion of a harm without one by itself; None if it may.

    Nobody has checked labels from a file before, so a person looks at what was learned from them. And a version that
    was kept waiting for a person must not be overtaken by the next one.

    Args:
        data: what the version was trained on.
        changes: the harm's history.
        number: the version.
    """
    if any(source.startswith(FILE) for source in data.sources):
        return "It was trained on imported labels, and nobody has promoted a version of this harm yet."
    done = [change for change in changes if change.state == "done"]
    retired = {change.version for change in done if change.action == "retired"}
    kept = [change for change in done if change.action == "challenging" and change.version not in {number, *retired}]
    waiting = next((change.version for change in reversed(kept) if _passed(change)), None)
    return f"Version {waiting} passed the gate too, and waits to be promoted by hand." if waiting else None


def _passed(change: ModelChange) -> bool:
    return change.gate is not None and GateReport.from_json(change.gate).passed
