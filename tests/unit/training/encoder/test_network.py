"""The network that is fine-tuned: what its outputs read, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make encoder-training")

from training.encoder.config import TuneConfig  # noqa: E402
from training.encoder.examples import Examples  # noqa: E402
from training.encoder.network import Network  # noqa: E402
from training.encoder.tune import fine_tune  # noqa: E402

TOKENS = [[101, 2045, 102], [101, 7, 8, 9, 10, 11, 102], [101, 5, 102]]


@pytest.fixture
def network() -> Network:
    torch.manual_seed(3)
    return Network(2)


def test_padding_makes_no_difference(network: Network) -> None:
    network.eval()
    ids = torch.zeros((len(TOKENS), 9), dtype=torch.int64)
    for i, one in enumerate(TOKENS):
        ids[i, : len(one)] = torch.tensor(one)
    with torch.no_grad():
        together = network(ids, torch.tensor([len(one) for one in TOKENS]))
        alone = torch.cat([network(torch.tensor([one]), torch.tensor([len(one)])) for one in TOKENS])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(alone[0], alone[2], atol=1e-3)


def test_the_words_and_the_first_layers_stay_as_they_are(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.freeze(2)
    labels = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    examples = Examples(
        ("a", "b"),
        np.arange(3, dtype=np.uint64),
        [""] * 3,
        labels,
        np.ones_like(labels),
        np.zeros(3, np.int64),
        np.ones(3, np.bool_),
    )
    fine_tune(network, TOKENS, examples, TuneConfig(batch=2), seed=1)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith(("words", "positions", "norm", "layers.0.", "layers.1."))}
    assert {"outputs.weight", "layers.2.widen.weight", "layers.5.narrow_norm.bias"} <= changed
