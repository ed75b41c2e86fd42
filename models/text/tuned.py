"""A fine-tuned encoder: maps a text to one number per harm, in log-odds, by ONNX Runtime.

All harms share the network, so each learns from the labels of the others. A harm's model decides how far it trusts each
of the outputs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from leads.errors import ConfigurationError, FilesDamaged, ModelRefused
from leads.text import plain_form
from models.text import encoder_files as files
from models.text.encoder_files import About, Learned
from models.text.ngrams import MAX_CHARS
from models.text.spelling import RepairedTokens

Floats = npt.NDArray[np.float32]

# Another processor adds up 8-bit products in another order, or in another width.
TOLERANCE = {"float32": 1e-4, "int8": 2e-2}
# A request with a few new texts keeps to one thread, and leaves the others to other requests.
_TEXTS_PER_THREAD = 50
IDS, OUTPUTS = "ids", "outputs"
_GOLDEN_TEXTS = (
    "I had this on repeat the whole way home, the second verse is wonderful.",
    "Check out my channel and subscribe, free gift cards at www.example.com/win !!!",
    "You are all idiots and nobody wants you here.",
    "women should not be allowed to talk about this",
    "这首歌很好听",
    "ｆｒｅｅ   ＭＯＮＥＹ now",
    "why would they send those people here, go back to where you came from",
    "🔥🔥🔥",
)


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts, and the outputs that the encoder must give for them wherever it is loaded."""

    texts: tuple[str, ...]
    outputs: tuple[tuple[float, ...], ...]


class TunedEncoder:
    """The encoder of a folder. Thread-safe. It takes about 80 MB with int8 weights.

    Raises:
        ConfigurationError: ONNX Runtime or the tokenizer isn't installed.
        FilesDamaged: a file is missing, or isn't the one that was registered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about: About = files.read_about(folder)
        self.version, self.width = self.about.id, len(self.about.harms)
        network = files.read_checked(folder, self.about, files.NETWORK)
        tokenizer = files.read_checked(folder, self.about, files.TOKENIZER)
        if files.encoder_id(network, tokenizer) != self.about.id:
            raise FilesDamaged(f"{files.ABOUT} names another encoder than the folder holds.", field=files.ABOUT)
        self._session = _session(network)
        self._tokens = RepairedTokens(tokenizer, self.about.max_tokens)

    @cached_property
    def learned(self) -> Learned:
        """What training uses for the texts that it was fine-tuned on."""
        return Learned.from_bytes(files.read_checked(self.folder, self.about, files.LEARNED))

    def encode(self, texts: Sequence[str]) -> Floats:
        """(n, k) float32 log-odds of n texts in plain form, one for each of the k harms.

        Each text is encoded alone. With weights of 8 bits, all activations of a run share one scale, so that the
        outputs of a text would depend on the texts beside it. Many texts are shared between threads.
        """
        tokens = self._tokens.of(texts)
        out = np.empty((len(tokens), self.width), dtype=np.float32)

        def encode(places: range) -> None:
            for i in places:
                (out[i],) = self._session.run([OUTPUTS], {IDS: np.array(tokens[i], dtype=np.int64)})

        threads = min(len(os.sched_getaffinity(0)), len(tokens) // _TEXTS_PER_THREAD)
        if threads < 2:
            encode(range(len(tokens)))
            return out
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(encode, [range(first, len(tokens), threads) for first in range(threads)]):
                pass
        return out

    def golden(self) -> Golden:
        """The outputs of the golden texts, now."""
        outputs = self.encode([plain_form(text, MAX_CHARS) for text in _GOLDEN_TEXTS])
        return Golden(_GOLDEN_TEXTS, tuple(map(tuple, outputs.astype(np.float64).tolist())))

    def verify(self) -> None:
        """Check that it reproduces its golden outputs on this machine.

        Raises:
            ModelRefused: it doesn't.
        """
        try:
            golden = msgspec.json.decode(files.read_checked(self.folder, self.about, files.GOLDEN), type=Golden)
        except msgspec.MsgspecError as error:
            raise FilesDamaged(f"{files.GOLDEN} is invalid: {error}.", field=files.GOLDEN) from error
        found = self.encode([plain_form(text, MAX_CHARS) for text in golden.texts])
        tolerance = TOLERANCE[self.about.precision]
        if not np.allclose(found, np.array(golden.outputs), rtol=tolerance, atol=tolerance):
            raise ModelRefused(
                f"The encoder {self.version} doesn't reproduce its golden outputs on this machine.",
                field=files.GOLDEN,
                remedy="Train one whose weights are float32: leads encoder train --precision float32",
            )


def _session(network: bytes) -> Any:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise ConfigurationError(
            "The package `onnxruntime` is not installed, which fine-tuned encoders need.", remedy="Run: make encoder"
        ) from error
    options = ort.SessionOptions()
    # Small matrices gain little from a second thread, and threads that wait for work would take it from requests.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise FilesDamaged(f"{files.NETWORK} is invalid ({type(error).__name__}).", field=files.NETWORK) from error
