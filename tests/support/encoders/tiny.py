"""An encoder whose outputs are the mean of a text's token numbers and how many tokens it has. It needs no training.

`tiny.onnx` computes both: Cast, ReduceMean, Shape and Concat.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from models.text import encoder_files as files
from models.text.encoder_files import About, Learned
from models.text.tuned import TunedEncoder

NETWORK = Path(__file__).with_name("tiny.onnx")
HARMS = ("spam", "sexism")


def tokenizer(also: str = "") -> bytes:
    """A tokenizer with a number per letter, and for the word `also`, which no text contains."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    letters = {chr(ord("a") + i): i + 1 for i in range(26)}
    more = {f"[{also}]": 27} if also else {}
    made = Tokenizer(WordLevel({"[unknown]": 0, **letters, **more}, unk_token="[unknown]"))
    made.pre_tokenizer = Split(Regex("."), "isolated")
    return made.to_str().encode()


def write_encoder(folder: Path, learned: Learned | None = None, *, also: str = "") -> TunedEncoder:
    """Write the encoder to a folder, and open it.

    Args:
        learned: default: it learned from no text.
        also: makes it another encoder, with another name and the same outputs.
    """
    folder.mkdir(parents=True)
    network, words = NETWORK.read_bytes(), tokenizer(also)
    nothing = Learned(np.empty(0, np.uint64), np.empty((0, len(HARMS)), np.float32))
    about = About(files.encoder_id(network, words), "tiny", HARMS, "float32", 8, 1, "0" * 64, {})
    content = {
        files.NETWORK: network,
        files.TOKENIZER: words,
        files.LEARNED: (nothing if learned is None else learned).to_bytes(),
    }
    about = files.write_files(folder, about, content)
    files.write_files(folder, about, {files.GOLDEN: msgspec.json.encode(TunedEncoder(folder).golden())})
    return TunedEncoder(folder)
