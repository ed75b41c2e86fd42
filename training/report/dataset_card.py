"""The data card: what a version was made from, in numbers, for its model card and as an MLflow dataset."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from leads import clock
from leads.clock import Micros
from training.data.dataset import Dataset
from training.data.labelled_rows import PLATFORM

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

SOURCE_TYPE = "lead-serving"
# MLflow keeps no longer digest.
_DIGEST = 36


class SourceCard(msgspec.Struct, frozen=True):
    """One source's rows; `weight` is the sum of how much their labels count in fitting."""

    source: str
    rows: int
    violating: int
    weight: float


class DatasetCard(msgspec.Struct, frozen=True):
    """A data set in numbers: no text, no path, no id.

    Args:
        prevalence: share of violating rows; 0 without rows.
        first_decision, last_decision: when the decisions among the labels became visible, µs; None without any.
        removed: copies of texts that were left out.
        disputed: labels about which humans passed both verdicts, or copies of a text bore both in equal number.
        held_out: rows that only measure.
        makers: known makers, so far as sources name them.
        dataset_hash: of everything that is learned from, hex.
        never_scored: labels left out because the worker could not have scored their subject before the verdict.
    """

    harm: str
    rows: int
    violating: int
    prevalence: float
    sources: tuple[SourceCard, ...]
    first_decision: Micros | None
    last_decision: Micros | None
    removed: int
    disputed: int
    held_out: int
    held_out_violating: int
    makers: int
    contract_hash: str
    columns: tuple[str, ...]
    dataset_hash: str
    never_scored: int = 0


def card_of(data: Dataset) -> DatasetCard:
    """Count a harm's data set."""
    labels, weights = data.labels, data.weights
    source_of = np.array([row.source for row in data.rows], dtype=np.str_)
    decided = [row.order for row in data.rows if row.source == PLATFORM and row.order is not None]
    sources = []
    for name in data.sources:
        inside = source_of == name
        counted = SourceCard(name, int(inside.sum()), int(labels[inside].sum()), float(weights[inside].sum()))
        sources.append(counted)
    return DatasetCard(
        harm=data.harm,
        rows=len(data.rows),
        violating=int(labels.sum()),
        prevalence=float(labels.mean()) if len(labels) else 0.0,
        sources=tuple(sources),
        first_decision=min(decided, default=None),
        last_decision=max(decided, default=None),
        removed=data.removed,
        disputed=data.disputed,
        held_out=int(data.held_out.sum()),
        held_out_violating=int(labels[data.held_out].sum()),
        makers=len({row.maker for row in data.rows if row.maker is not None}),
        contract_hash=data.contract.hash,
        columns=data.contract.names,
        dataset_hash=data.hash,
        never_scored=data.never_scored,
    )


def markdown(card: DatasetCard) -> str:
    """A section for the model card."""
    sources = "\n".join(
        f"| {one.source} | {one.rows:,} | {one.violating:,} | {one.violating / one.rows:.1%} | {one.weight:,.1f} |"
        for one in card.sources
    )
    facts = "\n".join(f"| {name} | {value} |" for name, value in _facts(card))
    return f"""## Learned from

{card.violating:,} of {card.rows:,} rows violate ({card.prevalence:.1%}). Of each source the latest fifth only measures,
or a random fifth where it has no time; equal texts are never on both sides.

| source | rows | violating | share | weight in fitting |
|---|--:|--:|--:|--:|
{sources}

| | |
|---|---|
{facts}
"""


def to_mlflow(card: DatasetCard) -> DatasetInput:
    """The card as what `MlflowClient.log_inputs(run_id, datasets=[…])` takes; a run then shows and finds it."""
    with warnings.catch_warnings():
        # MLflow and what it imports warn about each other; nobody here can act on it.
        warnings.simplefilter("ignore")
        from mlflow.entities import Dataset as Entity
        from mlflow.entities import DatasetInput, InputTag

    source = {"harm": card.harm, "sources": [one.source for one in card.sources], "hash": card.dataset_hash}
    # As MLflow writes a data frame's schema.
    columns = [{"type": "float", "name": name, "required": False} for name in card.columns]
    schema = {"mlflow_colspec": [*columns, {"type": "boolean", "name": "violating", "required": True}]}
    profile = msgspec.structs.asdict(card)
    for known in ("harm", "columns", "contract_hash", "dataset_hash"):
        del profile[known]
    profile["contract"] = card.contract_hash
    entity = Entity(
        name=f"leads-{card.harm}",
        digest=card.dataset_hash[:_DIGEST],
        source_type=SOURCE_TYPE,
        source=_json(source),
        schema=_json(schema),
        profile=_json(profile),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training")])


def _facts(card: DatasetCard) -> list[tuple[str, str]]:
    decided = "none among the labels"
    if card.first_decision is not None and card.last_decision is not None:
        decided = f"{_day(card.first_decision)} to {_day(card.last_decision)} (UTC)"
    return [
        ("decisions made", decided),
        ("held out", f"{card.held_out:,} rows, {card.held_out_violating:,} of them violating"),
        ("copies of texts left out", f"{card.removed:,}"),
        ("disputed labels", f"{card.disputed:,}"),
        ("labels of subjects never scored, left out", f"{card.never_scored:,}"),
        ("known makers", f"{card.makers:,}"),
        ("contract", f"`{card.contract_hash}`, {len(card.columns)} columns"),
        ("data set", f"`{card.dataset_hash[:12]}`"),
    ]


def _day(at: Micros) -> str:
    return clock.to_text(at)[:10]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
