"""What an encoder learns from: each text once, with the labels of all harms, and nothing that is held out."""

from __future__ import annotations

import numpy as np
import pytest

from leads.text import text_hash
from training.data.labelled_rows import LabelledRow
from training.encoder.augment import WEIGHT, augmented
from training.encoder.examples import Examples, HarmRows, examples_of

NOTHING = np.empty(0, np.uint64)


def rows(*given: tuple[str | None, bool], weight: float = 1.0) -> HarmRows:
    made = [
        LabelledRow(text, violating, "file:x", None, text_hash(text or f"none {i}"), weight)
        for i, (text, violating) in enumerate(given)
    ]
    return HarmRows(made, np.array([row.group for row in made], np.uint64))


def by_text(examples: Examples) -> dict[str, list[float]]:
    return dict(zip(examples.texts, examples.labels.tolist(), strict=True))


def test_a_text_has_the_labels_of_every_harm_that_it_is_labelled_for() -> None:
    found = examples_of({"spam": rows(("buy", True), ("hello", False)), "hate": rows(("hello", True))}, NOTHING, seed=1)
    assert found.harms == ("spam", "hate")
    assert found.hashes.tolist() == sorted(found.hashes.tolist())
    labels = by_text(found)
    assert labels["hello"] == [0.0, 1.0]
    assert labels["buy"][0] == 1.0
    assert np.isnan(labels["buy"][1])
    assert found.weights[found.texts.index("buy")].tolist() == [1.0, 0.0]
    assert found.own.all()


def test_labels_that_disagree_are_averaged_by_weight() -> None:
    one, other = rows(("x y", True), weight=3.0), rows(("X  y", False))
    both = HarmRows([*one.rows, *other.rows], np.concatenate((one.clusters, other.clusters)))
    found = examples_of({"spam": both}, NOTHING, seed=1)
    assert found.labels.tolist() == [[0.75]]
    assert found.weights.tolist() == [[2.0]]


def test_texts_that_are_held_out_for_any_harm_are_not_learned_for_another() -> None:
    left_out = np.array([text_hash("hello")], np.uint64)
    found = examples_of({"spam": rows(("buy", True), ("hello", False), (None, True))}, left_out, seed=1)
    assert found.texts == ["buy"]


def test_rows_of_one_cluster_are_in_one_half_and_both_halves_have_texts() -> None:
    many = [(f"text {i}", i % 3 == 0) for i in range(300)]
    made = rows(*many)
    clusters = np.array([i // 10 for i in range(300)], np.uint64)
    found = examples_of({"spam": HarmRows(made.rows, clusters)}, NOTHING, seed=1)
    half_of = dict(zip(found.texts, found.halves.tolist(), strict=True))
    for start in range(0, 300, 10):
        assert len({half_of[f"text {i}"] for i in range(start, start + 10)}) == 1
    assert 90 < sum(half_of.values()) < 210


def test_the_hash_depends_on_texts_labels_and_weights() -> None:
    plain = examples_of({"spam": rows(("buy", True))}, NOTHING, seed=1)
    assert plain.hash == examples_of({"spam": rows(("buy", True))}, NOTHING, seed=1).hash
    others = [rows(("buy", False)), rows(("sell", True)), rows(("buy", True), weight=0.3)]
    assert plain.hash not in {examples_of({"spam": one}, NOTHING, seed=1).hash for one in others}


def grouped() -> Examples:
    texts = [(f"the women in row {i} are loud", i % 2 == 0) for i in range(40)]
    return examples_of({"spam": rows(("buy now please", True)), "hate": rows(*texts)}, NOTHING, seed=1)


def test_groups_are_exchanged_only_for_harms_that_are_about_any_group() -> None:
    plain = grouped()
    found = augmented(plain, {"hate"}, seed=1)
    added = found.only(~found.own)
    exchanged = [i for i, text in enumerate(added.texts) if "in row" in text and "women" not in text]
    assert exchanged
    for i in exchanged:
        assert np.isnan(added.labels[i, 0])
        assert added.labels[i, 1] in (0.0, 1.0)
        assert added.weights[i].tolist() == [0.0, WEIGHT]
    # Each keeps its label: the row's number is even where it violates.
    for i in exchanged:
        number = int(added.texts[i].split("in row ")[1].split()[0])
        assert added.labels[i, 1] == float(number % 2 == 0)


def test_contempt_is_learned_next_to_its_denial() -> None:
    found = augmented(grouped(), {"hate"}, seed=1)
    labels = by_text(found)
    assert labels["muslims are vermin"][1] == 1.0
    assert np.isnan(labels["muslims are vermin"][0])
    assert labels["nobody should say that muslims are vermin"] == [0.0, 0.0]
    # Nor is it harmless because it is said about it.
    assert labels["nobody can deny that muslims are vermin"][1] == 1.0
    assert labels["muslims have the same rights as everybody"] == [0.0, 0.0]


def test_without_such_harms_only_misspelt_copies_and_names_are_added() -> None:
    texts = [(f"something wonderful, this is number {i}", True) for i in range(400)]
    plain = examples_of({"spam": rows(*texts)}, NOTHING, seed=1)
    found = augmented(plain, (), seed=1)
    added = by_text(found.only(~found.own))
    copies = [label for text, (label,) in added.items() if "number" in text]
    names = [label for text, (label,) in added.items() if "number" not in text]
    assert 20 < len(copies) < 70
    assert set(copies) == {1.0}
    # Digits for letters, as far as they aren't undone anyway.
    assert any("7h15" in text for text in added)
    # One for twenty examples, each with another name.
    assert names == [0.0] * 20
    assert augmented(plain, (), seed=1).texts == found.texts


def test_added_texts_never_replace_labelled_ones() -> None:
    plain = examples_of({"hate": rows(("women are vermin", False), ("hello", True))}, NOTHING, seed=1)
    found = augmented(plain, {"hate"}, seed=1)
    assert by_text(found)["women are vermin"] == [0.0]
    assert len(set(found.hashes.tolist())) == len(found.hashes)


@pytest.mark.parametrize("harms", [(), ("hate",)])
def test_no_sentence_of_a_behaviour_suite_is_added(harms: tuple[str, ...]) -> None:
    from training.behaviour.suite import SUITES, load

    found = set(augmented(grouped(), harms, seed=1).hashes.tolist())
    for path in SUITES.glob("*.yaml"):
        suite = load(path.stem)
        assert suite is not None
        assert not found & {text_hash(text) for text in suite.texts}
