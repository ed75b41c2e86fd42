"""Fine-tuning: a run that is killed and goes on ends with the weights of a run that wasn't."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make encoder-training")

from torch import Tensor, nn  # noqa: E402

from training.encoder.config import TuneConfig  # noqa: E402
from training.encoder.examples import Examples  # noqa: E402
from training.encoder.tune import Checkpoints, Stopped, fine_tune, outputs_of, steps_of  # noqa: E402

TEXTS, HARMS = 96, 2
CONFIG = TuneConfig(epochs=3, batch=8, rate=1e-2)


class Tiny(nn.Module):
    """Stands for the network: the mean of the tokens' vectors, with dropout, so that chance matters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(50, 8)
        self.outputs = nn.Linear(8, HARMS)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(ids.shape[1])[None] < lengths[:, None]
        mean = (self.words(ids) * real[:, :, None]).sum(1) / lengths[:, None]
        return self.outputs(nn.functional.dropout(mean, 0.3, self.training))


def made() -> tuple[list[list[int]], Examples]:
    """Texts that violate the first harm if they contain the token 1; the second harm has few labels."""
    random = np.random.default_rng(3)
    tokens = [random.integers(1, 50, int(random.integers(2, 9))).tolist() for _ in range(TEXTS)]
    labels = np.full((TEXTS, HARMS), np.nan, np.float32)
    labels[:, 0] = [float(1 in one or 2 in one or 3 in one) for one in tokens]
    labels[:5, 1] = 1.0
    weights = np.isfinite(labels).astype(np.float32)
    hashes = np.arange(TEXTS, dtype=np.uint64)
    halves, own = np.zeros(TEXTS, np.int64), np.ones(TEXTS, np.bool_)
    return tokens, Examples(("a", "b"), hashes, [""] * TEXTS, labels, weights, halves, own)


def weights_of(network: nn.Module) -> dict[str, Any]:
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def run(checkpoints: Checkpoints | None = None, stop_at: int | None = None) -> tuple[nn.Module, list[float]]:
    network, losses = Tiny(), list[float]()

    def on_steps(done: int, steps: int, loss: float) -> None:
        losses.append(loss)
        if stop_at is not None and done >= stop_at:
            raise Stopped

    with suppress(Stopped):
        fine_tune(network, *made(), CONFIG, seed=5, checkpoints=checkpoints, on_steps=on_steps)  # type: ignore[arg-type]
    return network, losses


def test_it_learns_what_the_labels_say() -> None:
    network, losses = run()
    assert losses[-1] < losses[0]
    tokens, examples = made()
    found = outputs_of(network, tokens)  # type: ignore[arg-type]
    violating = examples.labels[:, 0] > 0.5
    assert found[violating, 0].mean() > found[~violating, 0].mean()


def test_killed_at_three_moments_it_ends_with_equal_weights(tmp_path: Path) -> None:
    whole, _ = run()
    checkpoints = Checkpoints(tmp_path / "c.safetensors", "this run", every_s=0)
    steps = steps_of(TEXTS, CONFIG)
    for share in (0.25, 0.5, 0.75):
        run(checkpoints, stop_at=round(share * steps))
    continued, _ = run(checkpoints)
    for name, expected in weights_of(whole).items():
        assert np.array_equal(weights_of(continued)[name], expected), name


def test_what_another_run_left_or_what_is_damaged_is_not_continued(tmp_path: Path) -> None:
    whole, _ = run()
    file = tmp_path / "c.safetensors"
    run(Checkpoints(file, "another run", every_s=0), stop_at=20)
    for spoil in (lambda: None, lambda: file.write_bytes(b"\xff" * 40), lambda: file.write_bytes(b"")):
        spoil()
        continued, _ = run(Checkpoints(file, "this run"))
        for name, expected in weights_of(whole).items():
            assert np.array_equal(weights_of(continued)[name], expected), name


def test_labels_that_are_missing_or_weigh_nothing_do_not_count() -> None:
    tokens, examples = made()
    other = examples._replace(labels=np.where(np.isnan(examples.labels), 7, examples.labels).astype(np.float32))
    networks = []
    for one in (examples, other):
        network = Tiny()
        fine_tune(network, tokens, one, CONFIG, seed=5)  # type: ignore[arg-type]
        networks.append(weights_of(network))
    assert all(np.array_equal(networks[0][name], networks[1][name]) for name in networks[0])


def test_the_exported_network_gives_the_outputs_that_training_had(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: make encoder")
    pytest.importorskip("onnx", reason="onnx is not installed: make encoder-training")
    import onnxruntime as ort

    from models.text.tuned import IDS, OUTPUTS
    from training.encoder.export import to_onnx
    from training.encoder.network import Network

    torch.manual_seed(3)
    network = Network(2)
    tokens = [[101, 2023, 102], [101, *range(1_000, 1_090), 102], [101, 102], [7]]
    session = ort.InferenceSession(to_onnx(network, "float32"), providers=["CPUExecutionProvider"])
    expected = outputs_of(network, tokens)
    for ids, outputs in zip(tokens, expected, strict=True):
        (found,) = session.run([OUTPUTS], {IDS: np.array(ids, np.int64)})
        np.testing.assert_allclose(found, outputs, atol=1e-5)
    # Exporting leaves the network as it is.
    np.testing.assert_allclose(outputs_of(network, tokens), expected, atol=1e-6)
