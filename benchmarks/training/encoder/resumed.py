"""Fine-tuning in a process that is killed: whether what goes on ends with the weights of a run that wasn't."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import REPOSITORY, Measure, at_most, say
from leads.errors import Unavailable
from models.text.minilm import read_safetensors
from models.text.sentence import installed
from training.config import SEED
from training.encoder.config import TuneConfig
from training.encoder.examples import Examples
from training.encoder.making import Start

_TEXTS, _KILLS, _LIMIT_S = 960, 3, 900.0
_CONFIG = TuneConfig(epochs=2, batch=16)


def killed(texts: Sequence[str]) -> list[Measure]:
    """Kill it three times with SIGKILL, each time after it has written another checkpoint."""
    say("fine-tuning that is killed three times")
    some = list(texts)[:: max(1, len(texts) // _TEXTS)][:_TEXTS]
    with tempfile.TemporaryDirectory() as folder:
        whole, resumed = Path(folder, "whole"), Path(folder, "resumed")
        for one in (whole, resumed):
            one.mkdir()
            (one / "texts.txt").write_text("\0".join(some), encoding="utf-8")
        _ended(_start(whole))
        kills = 0
        for _ in range(_KILLS):
            child = _start(resumed)
            kills += _kill_after_checkpoint(child, resumed)
        _ended(_start(resumed))
        found, expected = (read_safetensors((one / "weights.safetensors").read_bytes()) for one in (resumed, whole))
        different = sum(not np.array_equal(found[name], expected[name]) for name in expected)
    return [
        Measure("fine-tuning: times killed in the middle", kills, "times", f"≥ {_KILLS}", kills >= _KILLS),
        at_most(f"killed {_KILLS} times: weights that differ, of {len(expected)} tensors", different, "tensors", 0),
    ]


def _start(folder: Path) -> subprocess.Popen[bytes]:
    run = f"from pathlib import Path; from {__name__} import fine_tuned; fine_tuned(Path({str(folder)!r}))"
    return subprocess.Popen([sys.executable, "-c", run], cwd=REPOSITORY)


def _ended(child: subprocess.Popen[bytes]) -> None:
    if child.wait(_LIMIT_S):
        raise Unavailable("Fine-tuning in a process of its own failed.")


def _kill_after_checkpoint(child: subprocess.Popen[bytes], folder: Path) -> bool:
    """Kill it once it has written two more checkpoints; returns whether it was still running."""
    file, deadline = folder / "checkpoint.safetensors", time.monotonic() + _LIMIT_S
    for _ in range(2):
        seen = _written(file)
        while _written(file) == seen and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    running = child.poll() is None
    child.kill()
    child.wait()
    return running


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def fine_tuned(folder: Path) -> None:
    """Fine-tune the whole network on the folder's texts, with a checkpoint as often as it says how far it is."""
    import torch
    from safetensors.torch import save_file

    from training.encoder.network import pretrained
    from training.encoder.tune import Checkpoints, fine_tune

    texts = (folder / "texts.txt").read_text(encoding="utf-8").split("\0")
    start = Start.read(installed())
    random = np.random.default_rng(SEED)
    n = len(texts)
    labels = random.integers(0, 2, (n, 2)).astype(np.float32)
    examples = Examples(
        ("a", "b"),
        np.arange(n, dtype=np.uint64),
        texts,
        labels,
        np.ones_like(labels),
        np.zeros(n, np.int64),
        np.ones(n, np.bool_),
    )
    torch.manual_seed(SEED)
    network = pretrained(2, start.weights)
    checkpoints = Checkpoints(folder / "checkpoint.safetensors", "killed", every_s=0)
    fine_tune(network, start.tokens(texts, _CONFIG.max_tokens), examples, _CONFIG, seed=SEED, checkpoints=checkpoints)
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()}, folder / "weights.safetensors"
    )
