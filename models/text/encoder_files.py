"""The folder of a fine-tuned encoder: a network and its tokenizer, and what is known about them.

`encoder.json` describes the folder and lists the hash of every other file. Nothing in the folder is a pickle: the
network is in ONNX's format, numbers are plain NumPy arrays.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from leads.clock import Micros
from leads.errors import FilesDamaged
from models.manifest import read_file, sha256

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]

ABOUT = "encoder.json"
NETWORK, TOKENIZER = "network.onnx", "tokenizer.json"
LEARNED, GOLDEN, METRICS, CARD = "learned.npz", "golden.json", "metrics.json", "card.md"
# What an encoder's name begins with; the hash of its network and tokenizer follows.
PREFIX = "tuned-"
# The folder in a home with the encoders that its versions need, each in a folder with its name.
ENCODERS = "encoders"
Precision = Literal["int8", "float32"]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `encoder.json`.

    Args:
        format: of the folder. A reader refuses formats that it doesn't know.
        id: the encoder's name, which versions of harms keep.
        base: the encoder that it was fine-tuned from.
        harms: the harm of each output, in order.
        precision: of the network's weights.
        max_tokens: longer texts are truncated.
        created_at: µs since epoch.
        data_hash: hex SHA-256 of the texts and labels that it was fine-tuned on.
        files: hex SHA-256 of every other file, by name.
    """

    id: str
    base: str
    harms: tuple[str, ...]
    precision: Precision
    max_tokens: int
    created_at: Micros
    data_hash: str
    files: Mapping[str, str]
    format: Literal[2] = 2


class Learned(NamedTuple):
    """The outputs that training uses for the texts that the encoder was fine-tuned on.

    They come from networks that were fine-tuned without the text, so that a harm's model doesn't trust the encoder more
    than it may on new texts.

    Args:
        hashes: (n,) ascending hashes of the texts, see `leads.text.text_hash`.
        outputs: (n, k) their outputs.
    """

    hashes: Hashes
    outputs: Floats

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, hashes=self.hashes, outputs=self.outputs)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(raw: bytes) -> Learned:
        """Parse what `to_bytes` wrote. Raises FilesDamaged if the bytes hold something else."""
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                return Learned(arrays["hashes"], arrays["outputs"])
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise FilesDamaged(f"{LEARNED} is invalid: {error}.", field=LEARNED) from error


def encoder_id(network: bytes, tokenizer: bytes) -> str:
    """The name of an encoder: equal for equal networks and tokenizers."""
    return PREFIX + sha256(network + tokenizer)[:12]


def read_about(folder: Path) -> About:
    """The folder's description. Raises FilesDamaged if it is missing or in a format that this code doesn't know."""
    try:
        return msgspec.json.decode(read_file(folder, ABOUT), type=About)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FilesDamaged(f"{ABOUT} isn't in format 2: {error}.", field=ABOUT) from error


def read_checked(folder: Path, about: About, name: str) -> bytes:
    """The content of a file. Raises FilesDamaged if it is missing or isn't the one that was registered."""
    raw = read_file(folder, name)
    if sha256(raw) != about.files.get(name):
        raise FilesDamaged(f"{name} differs from the file that was registered.", field=name)
    return raw


def is_whole(folder: Path, id_: str) -> bool:
    """Whether the folder holds this encoder, with every file as it was registered."""
    try:
        about = read_about(folder)
        for name in about.files:
            read_checked(folder, about, name)
    except FilesDamaged:
        return False
    return about.id == id_


def write_files(folder: Path, about: About, files: Mapping[str, bytes]) -> About:
    """Write the files and their description to `folder`, which exists; returns the description with their hashes."""
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    about = msgspec.structs.replace(about, files={**about.files, **{name: sha256(raw) for name, raw in files.items()}})
    (folder / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2))
    return about
