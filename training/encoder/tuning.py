"""Fine-tunes the networks of one encoder, each at most once: what is done is kept on disk until all of it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from leads.files import write_atomic
from models.registry.versions import Curve
from training.config import SEED
from training.encoder.config import TuneConfig
from training.encoder.examples import Examples
from training.encoder.export import to_onnx
from training.encoder.losses import Losses
from training.encoder.network import Network, pretrained
from training.encoder.tune import Checkpoints, Tokens, fine_tune, outputs_of

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tuning:
    """One encoder's fine-tuning.

    Args:
        folder: keeps what is done.
        start: weights to start from, by their published names.
        tokens: of the examples.
        fingerprint: of the encoder: what another one left in the folder isn't used.
        tell: called now and then with how far it is.
    """

    folder: Path
    start: Mapping[str, Floats]
    examples: Examples
    tokens: Tokens
    config: TuneConfig
    fingerprint: str
    tell: Callable[[str], None]

    def network(self, name: str, chosen: Bools) -> Network:
        """A network that is fine-tuned on the examples where `chosen` (n,) is True."""
        file = self.folder / f"{name}.done.safetensors"
        torch.manual_seed(SEED)
        network = pretrained(len(self.examples.harms), self.start)
        network.freeze(self.config.frozen_layers)
        network.to(_device())
        if file.is_file():
            network.load_state_dict(load_file(file))
            return network
        checkpoint = self.folder / f"{name}.safetensors"
        resumed = checkpoint.is_file()
        places = np.flatnonzero(chosen)
        fine_tune(
            network,
            [self.tokens[i] for i in places.tolist()],
            self.examples.only(chosen),
            self.config,
            seed=SEED,
            checkpoints=Checkpoints(checkpoint, f"{self.fingerprint} {name}"),
            on_steps=_Progress(self.tell, self._losses(name), resumed=resumed),
        )
        done = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        write_atomic(file, lambda draft: save_file(done, draft))
        checkpoint.unlink(missing_ok=True)
        return network

    def outputs(self, name: str, chosen: Bools, others: Bools) -> Floats:
        """The outputs for the examples in `others`, by a network that is fine-tuned on those in `chosen`."""
        file = self.folder / f"{name}.outputs.npy"
        if file.is_file():
            found: Floats = np.load(file, allow_pickle=False)
            return found
        network = self.network(name, chosen)
        self.tell(f"encoding the other half, {int(others.sum()):,} texts")
        found = outputs_of(network, [self.tokens[i] for i in np.flatnonzero(others).tolist()])

        def write(draft: Path) -> None:
            with draft.open("wb") as opened:
                np.save(opened, found, allow_pickle=False)

        write_atomic(file, write)
        return found

    def exported(self, name: str, chosen: Bools, held_out: Tokens) -> tuple[bytes, Floats]:
        """A network fine-tuned on the examples in `chosen`, in ONNX's format and in the configuration's precision; and
        its (m, k) outputs for held-out texts with weights of 32 bits."""
        network = self.network(name, chosen)
        full = outputs_of(network, held_out)
        return to_onnx(network, self.config.precision), full

    def losses(self, name: str) -> Curve:
        """The losses of a network's fine-tuning."""
        return self._losses(name).curve

    def _losses(self, name: str) -> Losses:
        return Losses(self.folder / f"{name}.losses.json")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Progress:
    """Says how far a fine-tuning is, and how long the rest of it will take; keeps the losses."""

    def __init__(self, tell: Callable[[str], None], losses: Losses, *, resumed: bool) -> None:
        self._tell, self._losses = tell, losses
        self._resumed = ", going on from an earlier run" if resumed else ""
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int, steps: int, loss: float) -> None:
        self._losses.add(done, loss)
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
        began, at = self._first
        left = "" if done == began else f", {_minutes((steps - done) * (now - at) / (done - began))} left"
        self._tell(f"step {done:,} of {steps:,}, loss {loss:.3f}{left}{self._resumed}")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
