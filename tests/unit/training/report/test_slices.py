"""Slices that fall behind are found, and chance is not taken for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from training.report import slices
from training.report.slices import Slice, behind, dimensions, markdown, roc_auc

pytestmark = pytest.mark.slow


class World(NamedTuple):
    """n scores, labels whose chance is the score, and which of two sources each row is from."""

    scores: npt.NDArray[np.float64]
    labels: npt.NDArray[np.bool_]
    sources: list[str]


def world(n: int, seed: int, *, small: float = 0.15) -> World:
    random = np.random.default_rng(seed)
    scores = random.beta(0.6, 1.8, n)
    sources = ["small" if each else "large" for each in random.random(n) < small]
    return World(scores, random.random(n) < scores, sources)


def measure(
    scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], names: Mapping[str, Sequence[str | None]]
) -> tuple[Slice, ...]:
    """The slices of rows that are all distinct."""
    return slices.measure(scores, labels, np.arange(len(scores), dtype=np.uint64), names)


def spoiled(of: World, seed: int) -> World:
    """The small source's scores are dealt out anew among its rows, so that they say nothing but keep their mean."""
    scores, inside = of.scores.copy(), np.array(of.sources) == "small"
    scores[inside] = np.random.default_rng(seed).permutation(scores[inside])
    return of._replace(scores=scores)


def test_the_auc_and_its_error() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(4)
    labels = random.random(300) < 0.3
    # Rounded, so that there are ties.
    scores = np.round(random.normal(labels * 1.0, 1.0), 1)
    found = roc_auc(scores, labels)
    assert found is not None
    assert found.area == pytest.approx(roc_auc_score(labels, scores))
    # Against its definition, pair by pair.
    wins = (scores[labels][:, None] > scores[~labels]) + 0.5 * (scores[labels][:, None] == scores[~labels])
    by_hand = wins.mean(axis=1).var(ddof=1) / labels.sum() + wins.mean(axis=0).var(ddof=1) / (~labels).sum()
    assert found.error == pytest.approx(np.sqrt(by_hand))


def test_the_error_is_how_far_the_auc_is_off() -> None:
    found = [roc_auc(each.scores, each.labels) for each in (world(200, seed) for seed in range(300))]
    areas, errors = np.array([each for each in found if each is not None]).T
    assert len(areas) == 300
    assert areas.std() == pytest.approx(errors.mean(), rel=0.2)


def test_an_auc_takes_ten_of_each_kind() -> None:
    scores = np.linspace(0, 1, 30)
    assert roc_auc(scores, np.arange(30) >= 20) == (1.0, 0.0)
    assert roc_auc(scores, np.arange(30) >= 21) is None
    assert roc_auc(scores, np.arange(30) >= 9) is None


def test_intervals_of_a_slice_stay_on_the_scale() -> None:
    """One error among 24 rows, and none: by the standard error, bounds would be above 1, or the width would be 0."""
    labels = np.arange(48) % 24 >= 12
    scores = np.r_[np.linspace(0.1, 0.4, 11), 0.65, 0.6, np.linspace(0.7, 0.9, 11), np.linspace(0.01, 0.99, 24)]
    one, other = measure(scores, labels, {"source": ["a"] * 24 + ["b"] * 24})
    for found in (one, other):
        assert found.auc is not None
        assert found.auc.found == pytest.approx(found.roc_auc)
        assert 0 <= found.auc.low < found.auc.found <= found.auc.high <= 1
    assert one.roc_auc is not None
    assert one.roc_auc_se is not None
    assert one.roc_auc + 1.96 * one.roc_auc_se > 1
    assert other.roc_auc == 1.0
    card = markdown((one, other))
    assert "±" not in card
    assert f"| {one.auc.text()} |" in card  # type: ignore[union-attr]


def test_a_slice_is_measured_on_its_own_rows() -> None:
    scores = np.array([0.1, 0.4, 0.6, 0.9, 0.2])
    labels = np.array([False, True, False, True, True])
    one, other = measure(scores, labels, {"source": ["b", "b", "b", "b", "a"], "target group": [None] * 5})
    assert (one.dimension, one.value, one.rows, one.positives) == ("source", "a", 1, 1)
    assert (one.ap, one.roc_auc, one.roc_auc_se, one.behind) == (None, None, None, False)
    assert (other.value, other.rows, other.positives) == ("b", 4, 2)
    # Four rows say nothing about ranking.
    assert other.ap is None
    assert (other.mean_score, other.share.found) == (0.5, 0.5)


def test_rows_without_a_value_are_in_no_slice_and_in_no_rest() -> None:
    of = world(600, 1)
    values = [None if i < 300 else ("a" if i < 450 else "b") for i in range(600)]
    one, other = measure(of.scores, of.labels, {"target group": values})
    assert (one.rows, other.rows) == (150, 150)
    assert one.rest_auc == other.roc_auc
    assert other.rest_auc == one.roc_auc


def test_a_slice_that_ranks_worse_is_found() -> None:
    found = []
    for seed in range(20):
        of = spoiled(world(1_500, seed), seed)
        found.append([one.value for one in behind(measure(of.scores, of.labels, {"source": of.sources}))])
    assert sum(values == ["small"] for values in found) >= 18


def test_a_slice_whose_scores_claim_too_little_is_found() -> None:
    of = world(1_500, 2)
    inside = np.array(of.sources) == "small"
    found = measure(np.where(inside, of.scores / 4, of.scores), of.labels, {"source": of.sources})
    (one,) = behind(found)
    assert one.value == "small"
    assert "mean score" in one.why
    assert "ROC AUC" not in one.why


@pytest.mark.parametrize(("n", "small"), [(1_500, 0.15), (300, 0.2), (300, 0.9), (150, 0.5)])
def test_chance_is_not_taken_for_it(n: int, small: float) -> None:
    """Also where the slice has few rows, or all rows outside it are few."""
    alarms = 0
    for seed in range(50):
        of = world(n, seed, small=small)
        alarms += bool(behind(measure(of.scores, of.labels, {"source": of.sources})))
    assert alarms <= 5


def test_few_rows_elsewhere_do_not_make_a_slice_look_behind() -> None:
    """The 24 other rows are ranked well by chance: one is out of place; the slice's are ranked a little worse."""
    few, most = np.r_[np.linspace(0.3, 0.5, 11), 0.81, 0.6, np.linspace(0.7, 0.9, 11)], np.linspace(0.01, 0.99, 400)
    few_labels = np.arange(24) >= 12
    most_labels = np.random.default_rng(5).random(400) < most
    values = ["few"] * 24 + ["most"] * 400
    one, other = measure(np.r_[few, most], np.r_[few_labels, most_labels], {"source": values})
    assert other.roc_auc is not None
    assert other.roc_auc_se is not None
    assert one.roc_auc is not None
    # Taken as exact, the few rows' AUC would be far above.
    assert other.roc_auc + 1.96 * other.roc_auc_se < one.roc_auc - 0.05
    assert "ROC AUC" not in other.why


@pytest.mark.parametrize(("n", "says_so"), [(9, False), (10, True)])
def test_calibration_is_judged_from_ten_rows_on(n: int, says_so: bool) -> None:
    (one,) = measure(np.full(n, 0.02), np.full(n, True), {"source": ["a"] * n})
    assert one.behind is says_so


def test_many_small_slices_of_a_rare_harm_raise_no_alarm() -> None:
    alarms = 0
    for seed in range(50):
        random = np.random.default_rng(seed)
        scores = random.beta(0.3, 12, 260)
        values = [str(i % 20) for i in range(260)]
        alarms += bool(behind(measure(scores, random.random(260) < scores, {"source": values})))
    assert alarms <= 5


def test_what_rows_are_sliced_by() -> None:
    texts = [None, " \u2067 ", "a" * 50, "a" * 51, "a" * 200, "a" * 201]
    found = dimensions(
        ["comment"] * 6, ["platform"] * 6, texts, [None, None, *["en"] * 3, "und"], ["women", *[None] * 5]
    )
    assert found == {
        "type": ["comment"] * 6,
        "source": ["platform"] * 6,
        "text length": ["none", "none", "up to 50", "51 to 200", "51 to 200", "over 200"],
        "language": [None, None, "en", "en", "en", "und"],
        "target group": ["women", *[None] * 5],
    }


def test_the_card_names_those_far_behind_first() -> None:
    of = spoiled(world(1_500, 3), 3)
    card = markdown(measure(of.scores, of.labels, {"source": of.sources}))
    sentence, empty, head, _, *lines = card.splitlines()
    assert sentence.startswith("Far behind the rest: source small (ROC AUC 0.")
    assert empty == ""
    assert [line.split("|")[1].strip() for line in lines] == ["source: large", "source: small"]
    assert {line.count("|") for line in (head, *lines)} == {9}


def test_a_card_without_any_says_so() -> None:
    scores, labels = np.array([0.1, 0.2]), np.array([False, False])
    card = markdown(measure(scores, labels, {"source": ["a|b", "a|b"]}))
    assert card.startswith("No slice is far behind the rest. ")
    assert "| source: a\\|b | 2 | 2 | 0 | – | – | 0.150 | 0.000 (0.000 to 0.658) |" in card


def test_copies_of_a_few_texts_are_no_slice_to_judge() -> None:
    """Two hundred rows of eight texts: as rows they would be far behind, as observations they say nothing."""
    of = world(1_500, 2)
    groups = np.arange(1_500, dtype=np.uint64)
    groups[:200] = groups[:200] % 8
    scores, labels = of.scores.copy(), of.labels.copy()
    scores[:200], labels[:200] = 0.02, True
    names = {"source": ["copied"] * 200 + ["other"] * 1_300}
    assert [one.value for one in behind(measure(scores, labels, names))] == ["copied"]
    copied, _ = slices.measure(scores, labels, groups, names)
    assert (copied.rows, copied.distinct, copied.ap, copied.behind) == (200, 8, None, False)
