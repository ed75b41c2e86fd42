"""Texts that n-gram heads are also fitted on: copies with other groups, and friendly sentences."""

from __future__ import annotations

import numpy as np
import pytest

from leads.text import text_hash
from training.behaviour.suite import SUITES, load
from training.fit.added import COPY, FRIENDLY, FRIENDLY_BESIDE_ENCODER, AddedRows, added_texts
from training.fit.counts import count_texts
from training.fit.groups import exchanged, friendly, names
from training.fit.text import fit_text


def test_a_copy_names_other_groups_and_nothing_else_changes() -> None:
    text = "i like how the women and the irish singer sound"
    copy = exchanged(text)
    assert copy is not None
    assert copy != text
    assert copy.startswith("i like how the ")
    assert copy.endswith(" singer sound")
    assert "women" not in copy
    assert "irish" not in copy
    assert exchanged(text) == copy
    assert exchanged("i like how this sounds, womenfolk") is None


@pytest.mark.parametrize(
    "text", ["a black coat on a white van", "half a century old", "poor bill", "we took a blind guess"]
)
def test_words_that_are_not_about_people_are_not_exchanged(text: str) -> None:
    assert exchanged(text) is None
    changed = exchanged(f"{text}, said the old lady")
    assert changed is not None
    assert changed.startswith(f"{text}, said the ")
    assert "old lady" not in changed


def test_friendly_sentences_differ_and_none_is_of_a_suite() -> None:
    found = list(friendly())
    assert len(set(found)) == len(found)
    hashes = {text_hash(text) for text in found}
    for path in SUITES.glob("*.yaml"):
        suite = load(path.stem)
        assert suite is not None
        assert not hashes & {text_hash(text) for text in suite.texts}


def test_each_text_that_names_a_group_has_a_copy() -> None:
    added = added_texts(["nothing here", "the GAY drummer", ""])
    assert added.source[0] == 1
    assert (added.source[1:] == -1).all()
    assert added.texts[0] == exchanged("the gay drummer")
    assert added.texts[1:] == [*friendly(), *(list(names()) * 5)]


def test_copies_go_with_their_rows_and_weigh_half_of_them() -> None:
    source = np.array([7, 3, 9, -1, -1])
    rows = AddedRows.of(source, np.array([9, 2, 7]), lambda kept: kept * 10)
    # Row 3 isn't fitted on, so its copy isn't either.
    assert rows.matrix.tolist() == [0, 20, 30, 40]
    assert rows.source.tolist() == [2, 0, -1, -1]
    labels, weights = np.array([True, False, True]), np.array([1.0, 1.0, 0.4])
    more = rows.beside(np.array([False, True, True]), labels, weights, tuned=False)
    assert more.matrix.tolist() == [0, 30, 40]
    assert more.labels.tolist() == [True, False, False]
    assert more.weights.tolist() == pytest.approx([COPY * 0.4, FRIENDLY * 1.4 / 2, FRIENDLY * 1.4 / 2])
    # A label's own row counts 1 in the ratios, whatever its weight.
    assert more.counted.tolist() == pytest.approx([COPY, FRIENDLY, FRIENDLY])
    more = rows.beside(np.array([False, True, True]), labels, weights, tuned=True)
    assert more.counted.tolist() == pytest.approx([COPY, FRIENDLY_BESIDE_ENCODER, FRIENDLY_BESIDE_ENCODER])


def test_a_group_that_is_often_attacked_makes_friendly_texts_less_suspicious() -> None:
    random = np.random.default_rng(1)
    words = ["sound", "song", "train", "river", "stone", "lamp", "paper", "cloud", "window", "garden"]
    violating = random.random(600) < 0.4
    names = np.where(random.random(600) < np.where(violating, 0.6, 0.1), "jews", "poles")
    insults = np.where(random.random(600) < np.where(violating, 0.7, 0.05), "vermin", "")
    parts = zip(names.tolist(), insults.tolist(), strict=True)
    texts = [f"{name} {insult} {' '.join(random.choice(words, 5))} {i}" for i, (name, insult) in enumerate(parts)]
    rows = np.arange(600)

    def gap(about_groups: bool) -> float:
        stage = fit_text(count_texts(texts, about_groups=about_groups), rows, violating, rows % 5, seed=1).stage
        attacked, other = stage.log_odds(["jews sang a song by the river", "poles sang a song by the river"])
        return float(attacked - other)

    assert gap(about_groups=True) < 0.9 * gap(about_groups=False)
