"""Fine-tunes a network on examples, with checkpoints: a run that is killed goes on where it ended, to equal weights.

The recipe: binary cross-entropy over the harms that a text is labelled for, AdamW, a linear warm-up and decay, batches
of texts of similar length. Matrices are multiplied in bfloat16 where the processor can, which takes little more than
half the time; weights and everything else keep 32 bits. What is random in a step depends on the seed and the step
alone, so a step after a restart is the step that it would have been.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from leads.files import write_atomic
from models.text.batches import batch_of, batches
from training.encoder.config import TuneConfig
from training.encoder.examples import Examples
from training.encoder.network import Network

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Tokens = Sequence[Sequence[int]]
# Called with the number of steps done, the number of steps, and the mean loss since the last call.
OnSteps = Callable[[int, int, float], None]

# Batches whose texts are sorted by length together: shuffled enough, with little padding.
_SORTED_TOGETHER = 50
_REPORTED_EVERY = 10
_STEP, _OF = "step", "of"
_CLIP = 1.0
# Of a checkpoint's file, in bytes.
_LONGEST_HEADER = 10_000_000


class Stopped(Exception):
    """The run was asked to stop. The next one goes on from its last checkpoint."""


class Checkpoints(NamedTuple):
    """Where a run keeps its state, and how often.

    Args:
        file: holds the newest checkpoint.
        of: names what is fine-tuned. A checkpoint of anything else is ignored.
        every_s: seconds between two checkpoints.
    """

    file: Path
    of: str
    every_s: float = 60.0


def fine_tune(
    network: Network,
    tokens: Tokens,
    examples: Examples,
    config: TuneConfig,
    *,
    seed: int,
    checkpoints: Checkpoints | None = None,
    on_steps: OnSteps = lambda done, steps, loss: None,
) -> None:
    """Fine-tune the network in place.

    Args:
        network: on the device where it is to run.
        tokens: of the n examples.
        checkpoints: None: the run can't be continued.
        on_steps: called every few steps. It may raise, for example Stopped; the state is saved before.
    """
    plan = _plan([len(one) for one in tokens], config, seed)
    optimizer = _optimizer(network, config)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, len(plan), config))
    labels, weights = _targets(examples)
    begun = _continue(network, optimizer, checkpoints)
    for _ in range(begun):
        # PyTorch warns about a scheduler that runs before its optimizer.
        optimizer._opt_called = True
        rate.step()
    device = next(network.parameters()).device
    network.train()
    saved_at, sum_, since = time.monotonic(), 0.0, 0
    for step in range(begun, len(plan)):
        batch = batch_of(tokens, plan[step])
        torch.manual_seed(_seed_of(seed, step))
        with torch.autocast(device.type, torch.bfloat16, enabled=_multiplies_bfloat16(device)):
            found = network(torch.from_numpy(batch.ids).to(device), torch.from_numpy(batch.lengths).to(device))
        loss = _loss(found.float(), labels[plan[step]].to(device), weights[plan[step]].to(device))
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        rate.step()
        sum_, since = sum_ + loss.item(), since + 1
        if since < _REPORTED_EVERY and step + 1 < len(plan):
            continue
        if checkpoints is not None and time.monotonic() - saved_at >= checkpoints.every_s:
            _save(network, optimizer, checkpoints, step + 1)
            saved_at = time.monotonic()
        try:
            on_steps(step + 1, len(plan), sum_ / since)
        except BaseException:
            if checkpoints is not None:
                _save(network, optimizer, checkpoints, step + 1)
            raise
        sum_, since = 0.0, 0


def outputs_of(network: Network, tokens: Tokens) -> Floats:
    """(n, k) the network's outputs for n texts."""
    device = next(network.parameters()).device
    network.eval()
    out = np.empty((len(tokens), network.outputs.out_features), np.float32)
    with torch.no_grad():
        for batch in batches(tokens):
            found = network(torch.from_numpy(batch.ids).to(device), torch.from_numpy(batch.lengths).to(device))
            out[batch.places] = found.cpu().numpy()
    return out


def steps_of(n: int, config: TuneConfig) -> int:
    """The number of steps that n examples take."""
    return config.epochs * -(-n // config.batch)


def _plan(lengths: Sequence[int], config: TuneConfig, seed: int) -> list[Ints]:
    """The examples of each step."""
    random = np.random.default_rng(seed)
    sizes, plan = np.array(lengths), list[Ints]()
    for _ in range(config.epochs):
        order = random.permutation(len(lengths))
        found: list[Ints] = []
        for start in range(0, len(order), config.batch * _SORTED_TOGETHER):
            part = order[start : start + config.batch * _SORTED_TOGETHER]
            part = part[np.argsort(sizes[part], kind="stable")]
            found += [part[i : i + config.batch] for i in range(0, len(part), config.batch)]
        plan += [found[i] for i in random.permutation(len(found)).tolist()]
    return plan


def _optimizer(network: Network, config: TuneConfig) -> torch.optim.AdamW:
    own = {id(one) for one in network.outputs.parameters()}
    shared = [one for one in network.parameters() if id(one) not in own and one.requires_grad]
    groups = [
        {"params": shared, "lr": config.rate},
        {"params": list(network.outputs.parameters()), "lr": config.output_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _rate(step: int, steps: int, config: TuneConfig) -> float:
    """The share of the learning rate at a step: it rises linearly, then falls linearly to nothing."""
    warm_up = max(1, round(config.warm_up * steps))
    return (step + 1) / warm_up if step < warm_up else max(0.0, (steps - step) / max(1, steps - warm_up))


def _targets(examples: Examples) -> tuple[Tensor, Tensor]:
    """(n, k) labels, and their weights, which are 0 where a text isn't labelled."""
    labels = np.nan_to_num(examples.labels)
    return torch.from_numpy(labels), torch.from_numpy(examples.weights)


def _loss(found: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    each = functional.binary_cross_entropy_with_logits(found, labels, reduction="none")
    return (each * weights).sum() / weights.sum().clamp(min=1e-6)


def _seed_of(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _save(network: Network, optimizer: torch.optim.Optimizer, checkpoints: Checkpoints, step: int) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    about = {_STEP: str(step), _OF: checkpoints.of}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomic(checkpoints.file, lambda draft: save_file(whole, draft, metadata=about))


def _continue(network: Network, optimizer: torch.optim.Optimizer, checkpoints: Checkpoints | None) -> int:
    """Load the newest checkpoint, if there is one; returns the number of steps that are done."""
    if checkpoints is None or (about := _about(checkpoints.file)).get(_OF) != checkpoints.of:
        return 0
    tensors = load_file(checkpoints.file)
    network.load_state_dict({n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(about[_STEP])


def _about(file: Path) -> dict[str, str]:
    """What a checkpoint says about itself; nothing if there is none, or it is damaged."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            found: dict[str, str] = json.loads(opened.read(min(size, _LONGEST_HEADER))).get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return found
