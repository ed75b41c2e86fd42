"""The encoder itself, where its weights are installed (`make encoder`, which `make test` runs)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from models.text.minilm import MiniLM
from models.text.sentence import MODEL_FOLDER, PACKAGE

REFERENCE = (-0.03447733, 0.03102321, 0.00673495, 0.02610896, -0.03936206, -0.16030242)
FOUND = importlib.util.find_spec(PACKAGE)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FOUND is None, reason="the sentence encoder is not installed: make encoder"),
]


@pytest.fixture(scope="module")
def encoder() -> MiniLM:
    assert FOUND is not None
    assert FOUND.origin is not None
    return MiniLM(Path(FOUND.origin).parent / MODEL_FOLDER)


def test_the_last_layer_is_what_the_reference_gives(encoder: MiniLM) -> None:
    """Components of the mean over tokens by PyTorch 2.13 and transformers, which agreed to 2e-7."""
    vector = encoder.encode(["hello world"])[0, -384:]
    assert np.allclose(vector[:6] / np.linalg.norm(vector), REFERENCE, atol=2e-6)


def test_a_text_has_one_vector_whoever_stands_beside_it(encoder: MiniLM) -> None:
    texts = ["short", "a text of a few more words than the other", "x " * 300, "", "日本語のテキスト"]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert together.shape == (5, 1152)
    assert np.isfinite(together).all()
    assert np.abs(together - alone).max() < 1e-5


def test_near_meanings_are_near(encoder: MiniLM) -> None:
    one, other, far = encoder.encode(["a wonderful song", "this track is great", "the train leaves at nine"])[:, -384:]
    near = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert near > one @ far / np.linalg.norm(one) / np.linalg.norm(far) + 0.2
