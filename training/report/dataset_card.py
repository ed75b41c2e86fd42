"""The data card: the data set of a version in numbers, for its model card and as an MLflow dataset."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from leads import clock
from leads.clock import Micros
from models import languages
from training.data.dataset import Dataset
from training.data.labelled_rows import CORPUS, PLATFORM

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

# The card's file in a version's folder. Versions made by earlier releases may lack it.
FILE = "dataset.json"
SOURCE_TYPE = "lead-serving"
# The longest digest that MLflow accepts.
_DIGEST = 36


class SourceCard(msgspec.Struct, frozen=True):
    """The rows of one source. `weight` is the sum of their labels' weights in fitting."""

    source: str
    rows: int
    violating: int
    weight: float


class DeclaredFeature(msgspec.Struct, frozen=True):
    """A feature of the contract that platform.yaml declares. `definition` is a hash of its declaration."""

    name: str
    unit: str
    meaning: str
    definition: str


class DatasetCard(msgspec.Struct, frozen=True):
    """A data set in numbers, without texts, paths or ids.

    Args:
        prevalence: share of violating rows; 0 without rows.
        first_decision, last_decision: when the first and last decision among the labels became visible, µs; None
            without decisions.
        removed: copies of texts that were dropped.
        disputed: labels on which human reviewers disagreed, or whose copies had both labels equally often.
        held_out: number of held-out rows.
        makers: number of distinct makers, as far as sources name them.
        dataset_hash: hex hash of the data set.
        never_scored: number of labels dropped because the worker can't have scored the subject before the verdict.
        declared: the features of the contract that aren't built in.
        languages: number of distinct texts by language among the rows that aren't held out.
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
    declared: tuple[DeclaredFeature, ...] = ()
    languages: dict[str, int] = {}


def card_of(data: Dataset) -> DatasetCard:
    """The card of a data set."""
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
        declared=_declared(data),
        languages=data.languages,
    )


def read(folder: Path) -> DatasetCard | None:
    """The card in a version's folder; None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=DatasetCard)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def decided(card: DatasetCard) -> str:
    """When the decisions among the labels became visible."""
    if card.first_decision is None or card.last_decision is None:
        return "none"
    return f"{_day(card.first_decision)} to {_day(card.last_decision)} (UTC)"


def limits(card: DatasetCard | None) -> str:
    """What the labels can't say, by where they come from, in a paragraph. None: where they come from isn't known."""
    said, sources = [], {one.source for one in card.sources} if card else set()
    if PLATFORM in sources:
        said.append(
            "Most decided subjects were reported first, or ranked high: quality on all others is only known from "
            "decisions on randomly drawn subjects."
        )
    elif sources:
        said.append("No label is a decision on a subject of this platform, so quality on these isn't known yet.")
    if any(source.startswith(CORPUS) for source in sources):
        said.append("Public corpora come from other platforms and years.")
    said.append(
        "Texts in languages that the labels don't cover are scored by their other features alone, and the score has "
        "the flag `language_unseen`."
    )
    return " ".join(said)


def _declared(data: Dataset) -> tuple[DeclaredFeature, ...]:
    found = (data.feature_set.by_name[column.name] for column in data.contract.columns if column.definition)
    return tuple(DeclaredFeature(one.name, one.unit, one.meaning, one.definition) for one in found)


def markdown(card: DatasetCard) -> str:
    """The model card's section on data."""
    sources = "\n".join(
        f"| {one.source} | {one.rows:,} | {one.violating:,} | {one.violating / one.rows:.1%} | {one.weight:,.1f} |"
        for one in card.sources
    )
    facts = "\n".join(f"| {name} | {value} |" for name, value in _facts(card))
    return f"""## Data

{card.violating:,} of {card.rows:,} labelled rows are violating ({card.prevalence:.1%}). The latest fifth of each source
is held out for evaluation, or a random fifth if the source has no times. Equal texts are always on the same side.

| source | rows | violating | share violating | weight in fitting |
|---|--:|--:|--:|--:|
{sources}

| fact | value |
|---|---|
{facts}
{_declared_section(card)}"""


def _declared_section(card: DatasetCard) -> str:
    if not card.declared:
        return ""
    lines = "\n".join(f"| `{one.name}` | {one.unit} | {one.meaning} |" for one in card.declared)
    return f"""
### Features that platform.yaml declares

The other features are the same on every platform.

| feature | unit | meaning |
|---|---|---|
{lines}
"""


def to_mlflow(card: DatasetCard) -> DatasetInput:
    """The card as an MLflow dataset, for `MlflowClient.log_inputs(run_id, datasets=[…])`."""
    with warnings.catch_warnings():
        # MLflow and its dependencies warn about each other; users can't act on that.
        warnings.simplefilter("ignore")
        from mlflow.entities import Dataset as Entity
        from mlflow.entities import DatasetInput, InputTag

    source = {"harm": card.harm, "sources": [one.source for one in card.sources], "hash": card.dataset_hash}
    # In MLflow's format for the schema of a data frame.
    columns = [{"type": "float", "name": name, "required": False} for name in card.columns]
    schema = {"mlflow_colspec": [*columns, {"type": "boolean", "name": "violating", "required": True}]}
    profile = msgspec.structs.asdict(card)
    for known in ("harm", "columns", "contract_hash", "dataset_hash", "declared"):
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
    return [
        ("decisions", decided(card)),
        ("held out", f"{card.held_out:,} rows, {card.held_out_violating:,} of them violating"),
        ("copies of texts dropped", f"{card.removed:,}"),
        ("disputed labels", f"{card.disputed:,}"),
        ("labels dropped, subject never scored", f"{card.never_scored:,}"),
        ("languages, by distinct texts", languages.summary(card.languages)),
        ("makers", f"{card.makers:,}"),
        ("feature contract", f"`{card.contract_hash}`, {len(card.columns)} features"),
        ("data set hash", f"`{card.dataset_hash[:12]}`"),
    ]


def _day(at: Micros) -> str:
    return clock.to_text(at)[:10]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
