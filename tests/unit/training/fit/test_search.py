from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from features.declared.builtin import ROLES
from features.evaluate.columns import contract_for, evaluate
from features.layout import missing
from training.config import TrainingConfig
from training.fit.counts import count_texts
from training.fit.search import Tuned, search

pytestmark = pytest.mark.slow

CONTRACT = contract_for(text=True)
OVERFITTED = {"plain_c": 10_000.0, "nb_c": 10_000.0}


@dataclass(frozen=True)
class Data:
    """What a search asks of a data set."""

    texts: Sequence[str | None]
    labels: np.ndarray
    features: np.ndarray
    held_out: np.ndarray
    clusters: np.ndarray
    weights: np.ndarray
    contract: Any = CONTRACT


@pytest.fixture(scope="module")
def data(made: Any) -> Data:
    n = len(made.texts)
    features = evaluate(CONTRACT, missing(ROLES, n), np.zeros(n, dtype=np.int64), made.texts).matrix
    return Data(made.texts, made.labels, features, np.arange(n) >= 500, made.groups, np.ones(n))


def searched(data: Data, **config: Any) -> tuple[Tuned, list[tuple[str, int, int]]]:
    told: list[tuple[str, int, int]] = []
    config = {"tuning": {"trials": 8}} | config
    counts = count_texts(data.texts)
    begin = TrainingConfig.model_validate(config)
    found = search(data, counts, begin, threads=1, seed=3, on_trial=lambda *what: told.append(what))  # type: ignore[arg-type]
    return found, told


def test_a_bad_configuration_is_bettered_and_told_trial_by_trial(data: Data) -> None:
    """Begins with heads that learn their rows by heart."""
    found, told = searched(data, text=OVERFITTED, tuning={"trials": 12})
    assert found.better
    assert found.after < found.before - found.error
    assert found.config.text.plain_c < 1_000
    assert [done for stage, done, _ in told if stage == "text heads"] == list(range(1, 13))
    assert {stage for stage, _, _ in told} == {"text heads", "trees"}
    assert (found.trials, found.in_time) == (24, True)


def test_equal_seeds_find_the_same(data: Data) -> None:
    one, other = searched(data)[0], searched(data)[0]
    assert (one.config, one.after, one.pruned) == (other.config, other.after, other.pruned)


def test_labels_by_coin_leave_the_configuration_as_it_was(data: Data) -> None:
    coins = np.random.default_rng(1).random(len(data.labels)) < 0.4
    blind = Data(data.texts, coins, data.features, data.held_out, data.clusters, data.weights)
    begin = {"text": {"plain_c": 0.01, "nb_c": 0.01}}
    found, _ = searched(blind, **begin)
    assert not found.better
    assert found.config == TrainingConfig.model_validate({"tuning": {"trials": 8}} | begin)


def test_the_end_of_time_ends_the_search_and_says_so(data: Data) -> None:
    found, told = searched(data, tuning={"trials": 500, "minutes": 0.0001})
    assert not found.in_time
    assert len(told) == 2


def test_held_out_rows_are_never_looked_at(data: Data) -> None:
    twisted = Data(
        data.texts,
        np.where(data.held_out, ~data.labels, data.labels),
        data.features,
        data.held_out,
        data.clusters,
        data.weights,
    )
    assert searched(data)[0].after == searched(twisted)[0].after


def test_the_initial_configuration_alone_is_no_gain(data: Data) -> None:
    """Trees improve the text stage, but that isn't what a search found."""
    found, _ = searched(data, tuning={"trials": 1})
    assert (found.trials, found.better, found.error) == (2, False, 0.0)
    assert found.before == found.after


def test_the_initial_model_is_measured_whole(data: Data) -> None:
    """A search that finds other heads starts from the same figure as one that tries only the initial ones."""
    alone = searched(data, text=OVERFITTED, tuning={"trials": 1})[0]
    found = searched(data, text=OVERFITTED, tuning={"trials": 6})[0]
    assert found.better
    assert found.before == pytest.approx(alone.before, abs=1e-6)


def test_rows_without_text_are_searched_too(data: Data) -> None:
    texts: list[str | None] = [None if i % 5 == 0 else text for i, text in enumerate(data.texts)]
    found, _ = searched(replace(data, texts=texts), text=OVERFITTED)
    assert found.better
    assert found.after < found.before
