from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.evaluate.columns import contract_for
from leads.settings import Settings, load_settings
from models.registry.mlflow_registry import MlflowRegistry
from training.data.dataset import Dataset
from training.data.labelled_rows import PLATFORM, LabelledRow
from training.report.dataset_card import card_of, limits, markdown, to_mlflow

DAY = 86_400_000_000
BARE = contract_for(text=False)
SECRET = "nobody may read this"
HASH = "0123456789abcdef" * 4


def rows() -> list[LabelledRow]:
    decided = [
        LabelledRow(SECRET, i < 2, PLATFORM, (20_000 + i) * DAY, i, 0.3 if i else 1.0, maker=i % 2) for i in range(4)
    ]
    corpus = [LabelledRow(f"{SECRET} {i}", i < 1, "corpus:edos", i, 10 + i) for i in range(4)]
    return [*decided, *corpus, LabelledRow(SECRET + "!", True, "file:mine", None, 99, 2.5)]


def dataset(of: Sequence[LabelledRow]) -> Dataset:
    features = np.zeros((len(of), len(BARE.columns)), dtype=np.float32)
    late = np.arange(len(of)) % 4 == 3
    return Dataset("spam", BARE, tuple(of), features, late, 20_003 * DAY, removed=7, disputed=2, hash=HASH)


def test_the_card_counts_by_source() -> None:
    card = card_of(dataset(rows()))
    assert (card.harm, card.rows, card.violating, card.held_out, card.held_out_violating) == ("spam", 9, 4, 2, 0)
    assert card.prevalence == pytest.approx(4 / 9)
    assert [(one.source, one.rows, one.violating) for one in card.sources] == [
        ("corpus:edos", 4, 1),
        ("file:mine", 1, 1),
        ("platform", 4, 2),
    ]
    assert [one.weight for one in card.sources] == pytest.approx([4.0, 2.5, 1.9])
    assert (card.first_decision, card.last_decision) == (20_000 * DAY, 20_003 * DAY)
    assert (card.removed, card.disputed, card.makers) == (7, 2, 2)
    assert (card.contract_hash, card.dataset_hash) == (BARE.hash, HASH)


def test_without_decisions_there_is_no_time() -> None:
    card = card_of(dataset([row for row in rows() if row.source != PLATFORM]))
    assert (card.first_decision, card.last_decision) == (None, None)
    assert "| decisions | none |" in markdown(card)


def test_limits_follow_from_where_the_labels_come_from() -> None:
    every = card_of(dataset(rows()))
    of_files = msgspec.structs.replace(every, sources=tuple(one for one in every.sources if one.source == "file:mine"))
    assert "reported first" in limits(every)
    assert "No label is a decision on a subject of this platform" in limits(of_files)
    for card, expected in ((every, True), (of_files, False)):
        assert ("Public corpora" in limits(card)) == expected
        assert "`language_unseen`" in limits(card)


def test_the_section_holds_every_number_and_no_text() -> None:
    section = markdown(card_of(dataset(rows())))
    assert section.startswith("## Data\n")
    for line in (
        "4 of 9 labelled rows are violating (44.4%)",
        "| platform | 4 | 2 | 50.0% | 1.9 |",
        "| decisions | 2024-10-04 to 2024-10-07 (UTC) |",
        "| held out | 2 rows, 0 of them violating |",
        "| copies of texts dropped | 7 |",
        "| disputed labels | 2 |",
    ):
        assert line in section
    assert SECRET not in section


def test_a_card_is_read_back_as_it_was_written() -> None:
    card = card_of(dataset(rows()))
    assert msgspec.json.decode(msgspec.json.encode(card), type=type(card)) == card


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), corpora=Path())
    MlflowRegistry(settings).prepare()
    return settings


@pytest.mark.slow
def test_a_run_shows_what_it_learned_from(registry: Settings) -> None:
    card = card_of(dataset(rows()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=registry.mlflow)
        experiment = client.create_experiment("made")
        run_id = client.create_run(experiment).info.run_id
        client.log_inputs(run_id, datasets=[to_mlflow(card)])
        (shown,) = client.get_run(run_id).inputs.dataset_inputs
        found = client.search_runs([experiment], f"dataset.digest = '{HASH[:36]}' AND dataset.context = 'training'")
    entity = shown.dataset
    assert (entity.name, entity.digest, entity.source_type) == ("leads-spam", HASH[:36], "lead-serving")
    assert {tag.key: tag.value for tag in shown.tags} == {"mlflow.data.context": "training"}
    names = [column["name"] for column in json.loads(entity.schema)["mlflow_colspec"]]
    assert names == [*BARE.names, "violating"]
    profile = json.loads(entity.profile)
    assert (profile["rows"], profile["violating"], profile["held_out"]) == (9, 4, 2)
    assert profile["sources"][1] == {"source": "file:mine", "rows": 1, "violating": 1, "weight": 2.5}
    source = json.loads(entity.source)
    assert source["hash"] == HASH
    assert source["sources"] == ["corpus:edos", "file:mine", "platform"]
    said = entity.source + entity.schema + entity.profile
    assert SECRET not in said
    assert str(registry.root) not in said
    assert [run.info.run_id for run in found] == [run_id]
