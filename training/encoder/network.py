"""The network that is fine-tuned: MiniLM's six layers (see `models.text.minilm`) and a linear output per harm.

The outputs read the means over the tokens of three layers, as models on the frozen encoder do, and the maxima of the
last one, so that a single word counts in a long text too.

PyTorch is needed for fine-tuning only. Serving runs the exported network with ONNX Runtime.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.text.minilm import HEADS, HIDDEN, LAYERS

Floats = npt.NDArray[np.float32]

DROPOUT = 0.1
# The layers whose means the outputs read, counted from 0.
_READ = (1, 3, 5)
_SIZE = HIDDEN // HEADS
_WIDE, _WORDS, _POSITIONS = 4 * HIDDEN, 30_522, 512
_EPSILON = 1e-12
# Below any value of a layer.
_LOW = -1e4


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.mix_norm = nn.LayerNorm(HIDDEN, eps=_EPSILON)
        self.widen = nn.Linear(HIDDEN, _WIDE)
        self.narrow = nn.Linear(_WIDE, HIDDEN)
        self.narrow_norm = nn.LayerNorm(HIDDEN, eps=_EPSILON)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """(n, length, hidden) to the same, with attention to the tokens where `real` (n, 1, 1, length) is True."""
        n, length, _ = x.shape
        parts = self.attend(x).view(n, length, 3, HEADS, _SIZE).permute(2, 0, 3, 1, 4)
        dropout = DROPOUT if self.training else 0.0
        attended = functional.scaled_dot_product_attention(
            parts[0], parts[1], parts[2], attn_mask=real, dropout_p=dropout
        )
        mixed = self.mix(attended.transpose(1, 2).reshape(n, length, HIDDEN))
        x = self.mix_norm(x + functional.dropout(mixed, DROPOUT, self.training))
        narrow = self.narrow(functional.gelu(self.widen(x)))
        return cast(Tensor, self.narrow_norm(x + functional.dropout(narrow, DROPOUT, self.training)))


class Network(nn.Module):
    """Maps token ids to one number per harm, in log-odds.

    Args:
        outputs: k, the number of harms.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words = nn.Embedding(_WORDS, HIDDEN)
        self.positions = nn.Embedding(_POSITIONS, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=_EPSILON)
        self.layers = nn.ModuleList([_Layer() for _ in range(LAYERS)])
        self.outputs = nn.Linear((len(_READ) + 1) * HIDDEN, outputs)
        nn.init.normal_(self.outputs.weight, std=0.02)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """(n, k) log-odds.

        Args:
            ids: (n, length) tokens, filled up with any.
            lengths: (n,) numbers of tokens.
        """
        length = ids.shape[1]
        real = torch.arange(length, device=ids.device)[None] < lengths[:, None]
        x = self.norm(self.words(ids) + self.positions.weight[:length])
        x = functional.dropout(x, DROPOUT, self.training)
        read = []
        for i, layer in enumerate(self.layers):
            x = layer(x, real[:, None, None, :])
            if i in _READ:
                read.append((x * real[:, :, None]).sum(1) / lengths[:, None])
        read.append(x.masked_fill(~real[:, :, None], _LOW).max(1).values)
        return cast(Tensor, self.outputs(functional.dropout(torch.cat(read, 1), DROPOUT, self.training)))

    def freeze(self, layers: int) -> None:
        """Keep the words' vectors and the first layers as they are."""
        for part in (self.words, self.positions, self.norm, *self.layers[:layers]):
            part.requires_grad_(False)


class OneText(nn.Module):
    """The network for one text, which needs no masks: it takes less than 0.8 of the time."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        for layer in self.network.layers:
            attend = cast(_Layer, layer).attend
            # Attention divides the products of queries and keys by the root of a head's size: here the queries are.
            attend.weight.data[:HIDDEN] *= _SIZE**-0.5
            attend.bias.data[:HIDDEN] *= _SIZE**-0.5

    def forward(self, ids: Tensor) -> Tensor:
        """(k,) log-odds of the text with (length,) tokens."""
        network = self.network
        x = network.norm(network.words(ids) + network.positions.weight[: ids.shape[0]])
        read = []
        for i, each in enumerate(network.layers):
            layer = cast(_Layer, each)
            queries, keys, values = layer.attend(x).view(-1, 3 * HEADS, _SIZE).transpose(0, 1).split(HEADS)
            attended = torch.softmax(queries @ keys.transpose(1, 2), -1) @ values
            x = layer.mix_norm(x + layer.mix(attended.transpose(0, 1).reshape(-1, HIDDEN)))
            x = layer.narrow_norm(x + layer.narrow(functional.gelu(layer.widen(x))))
            if i in _READ:
                read.append(x.mean(0))
        read.append(x.max(0).values)
        return cast(Tensor, network.outputs(torch.cat(read)[None])[0])


def pretrained(outputs: int, weights: Mapping[str, Floats]) -> Network:
    """MiniLM with new outputs.

    Args:
        outputs: k, the number of harms.
        weights: MiniLM's, by their published names.
    """
    network = Network(outputs)

    def get(name: str) -> Tensor:
        return torch.from_numpy(np.array(weights[name]))

    def put(part: nn.Module, name: str) -> None:
        part.load_state_dict({kind: get(f"{name}.{kind}") for kind in ("weight", "bias")})

    network.words.weight.data = get("embeddings.word_embeddings.weight")
    types = get("embeddings.token_type_embeddings.weight")[0]
    network.positions.weight.data = get("embeddings.position_embeddings.weight") + types
    put(network.norm, "embeddings.LayerNorm")
    for i, layer in enumerate(network.layers):
        of = f"encoder.layer.{i}"
        for kind in ("weight", "bias"):
            own = [get(f"{of}.attention.self.{part}.{kind}") for part in ("query", "key", "value")]
            getattr(layer.attend, kind).data = torch.cat(own)
        put(cast(nn.Module, layer.mix), f"{of}.attention.output.dense")
        put(cast(nn.Module, layer.mix_norm), f"{of}.attention.output.LayerNorm")
        put(cast(nn.Module, layer.widen), f"{of}.intermediate.dense")
        put(cast(nn.Module, layer.narrow), f"{of}.output.dense")
        put(cast(nn.Module, layer.narrow_norm), f"{of}.output.LayerNorm")
    return network
