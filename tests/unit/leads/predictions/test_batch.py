"""Batches of predictions as columns."""

from __future__ import annotations

import numpy as np
import pytest

from leads.predictions.batch import SCHEMA, to_table
from tests.support.prediction_world import AT, batch


def test_rows_are_stored_as_given() -> None:
    made = batch(7, 8, scores=np.array([0.1 + 0.2, 1e-300]), text_hashes=[0, 2**64 - 1], links=[(None, "ü"), ()])
    table = to_table([made])
    assert table.schema.equals(SCHEMA)
    table.validate(full=True)
    second = table.to_pylist()[1]
    assert np.isnan(second["vector"][1])
    assert second | {"vector": None} == {
        "prediction_id": "p8",
        "type_id": "comment",
        "subject_id": "c8",
        "harm": "spam",
        "at": AT,
        "scored_at": AT,
        "took_us": 1_234,
        "model_version": "1",
        "role": "champion",
        "contract_hash": "c0ffee",
        "vector": None,
        "score": 1e-300,
        "tier": "review",
        "row_at": [AT - 1, 0],
        "links": [],
        "text_hash": 2**64 - 1,
        "source": "api",
        "row_roles": "item,account",
    }
    assert table["links"].to_pylist()[0] == [None, "ü"]
    np.testing.assert_array_equal(np.float32(table["vector"].to_pylist()[0]), made.vectors[0])


def test_batches_of_different_versions_and_widths_can_be_joined() -> None:
    wider = batch(3, 4, model_version="2", vectors=np.arange(10, dtype=np.float32).reshape(2, 5), role="challenger")
    table = to_table([batch(1, 2), wider, batch(5, row_at=np.zeros((1, 0), np.int64))])
    assert table["prediction_id"].to_pylist() == ["p1", "p2", "p3", "p4", "p5"]
    assert [len(vector) for vector in table["vector"].to_pylist()] == [3, 3, 5, 5, 3]
    assert table["vector"].to_pylist()[3] == [5, 6, 7, 8, 9]
    assert table["model_version"].to_pylist() == ["1", "1", "2", "2", "1"]
    assert table["role"].to_pylist() == ["champion", "champion", "challenger", "challenger", "champion"]
    assert table["row_at"].to_pylist()[-1] == []


def test_a_view_of_a_larger_matrix_stores_only_its_rows() -> None:
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert to_table([batch(1, 2, vectors=whole[1::2, ::2])])["vector"].to_pylist() == [[6, 8, 10], [18, 20, 22]]


@pytest.mark.parametrize(
    "given",
    [
        {"subjects": []},
        {"scores": np.zeros(3)},
        {"vectors": np.zeros((1, 3), np.float32)},
        {"vectors": np.zeros(2, np.float32)},
        {"row_at": np.zeros((3, 2), np.int64)},
        {"links": [()]},
    ],
)
def test_columns_of_different_lengths_are_rejected_at_construction(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="batch of 2"):
        batch(1, 2, **given)


@pytest.mark.parametrize("given", [{"text_hashes": [-1]}, {"prediction_ids": ["\ud800"]}, {"tiers": [5]}])
def test_values_that_dont_fit_the_schema_are_rejected(given: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        to_table([batch(1, **given)])


def test_an_empty_batch_has_no_rows() -> None:
    assert len(batch()) == 0
    assert to_table([batch()]).equals(SCHEMA.empty_table())
    assert to_table([batch(), batch(1)])["prediction_id"].to_pylist() == ["p1"]
