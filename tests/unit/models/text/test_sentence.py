"""The cache of sentence vectors, with an encoder that only counts how often it is asked."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from leads.errors import ConfigurationError, ModelRefused
from models.text import sentence
from models.text import stage as text_stage
from models.text.head import SentenceHead, waves
from models.text.ngrams import MAX_CHARS
from models.text.sentence import CachedEncoder, Place, open_encoder
from models.text.stage import TextStage

# The file with the vectors of `Counting`.
FILE = f"counting-1-{sentence._READING}.db"


class Counting:
    """Gives each text its length and its number of words."""

    version, width = "counting-1", 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[len(text), len(text.split())] for text in texts], dtype=np.float32)


def test_a_text_is_encoded_once_however_it_is_written() -> None:
    counting = Counting()
    cached = CachedEncoder(counting)
    one = cached.encode(["Free  MONEY", "hello there"])
    again = cached.encode(["hello  THERE", "free money", "free money\u200b"])
    assert counting.asked == ["free money", "hello there"]
    assert np.array_equal(again, one[[1, 0, 0]])
    assert one.dtype == np.float32


def test_only_the_beginning_of_an_endless_text_is_encoded() -> None:
    counting = Counting()
    CachedEncoder(counting).encode(["ﷺ " * 10_000])
    assert [len(text) for text in counting.asked] == [MAX_CHARS]


def test_no_texts_give_no_vectors() -> None:
    assert CachedEncoder(Counting()).encode([]).shape == (0, 2)


def test_another_process_finds_them_on_disk(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    made = CachedEncoder(first, tmp_path).encode(["one two", "three"])
    found = CachedEncoder(second, tmp_path).encode(["three", "one two"])
    assert second.asked == []
    assert np.array_equal(found, made[::-1])


def test_another_encoders_vectors_are_not_taken(tmp_path: Path) -> None:
    CachedEncoder(Counting(), tmp_path).encode(["one"])
    other = Counting()
    other.version = "counting-2"
    CachedEncoder(other, tmp_path).encode(["one"])
    assert other.asked == ["one"]


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\x00" + b"\x00" * 200])
def test_a_damaged_file_costs_only_time(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage)
    counting = Counting()
    cached = CachedEncoder(counting, tmp_path)
    assert cached.encode(["one two"]).tolist() == [[7, 2]]
    assert cached.encode(["one two"]).tolist() == [[7, 2]]
    assert counting.asked == ["one two"]


def test_a_vector_of_wrong_length_is_made_again(tmp_path: Path) -> None:
    CachedEncoder(Counting(), tmp_path).encode(["one two"])
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE vectors SET vector = x'00'")
    connection.close()
    counting = Counting()
    assert CachedEncoder(counting, tmp_path).encode(["one two"]).tolist() == [[7, 2]]
    assert counting.asked == ["one two"]


def test_memory_and_disk_keep_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "_IN_MEMORY", 3)
    monkeypatch.setattr(sentence, "_ON_DISK", 5)
    counting = Counting()
    cached = CachedEncoder(counting, tmp_path)
    for i in range(20):
        cached.encode([f"text {i}"])
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (5,)
    connection.close()
    counting.asked.clear()
    cached.encode([f"text {i}" for i in range(15, 20)])
    assert counting.asked == []
    cached.encode(["text 0"])
    assert counting.asked == ["text 0"]


def test_threads_share_it(tmp_path: Path) -> None:
    cached = CachedEncoder(Counting(), tmp_path)
    wrong: list[int] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(30):
            lengths = random.integers(1, 60, 5).tolist()
            found = cached.encode(["x y" * n for n in lengths])
            wrong.extend(n for n, vector in zip(lengths, found, strict=True) if vector[0] != 3 * n)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "_AT_ONCE", 2)
    told: list[tuple[int, int]] = []
    CachedEncoder(Counting()).encode(["a", "b b", "c c c"], on_encoded=lambda *what: told.append(what))
    assert told == [(2, 3), (3, 3)]


def test_what_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sentence, "PACKAGE", "no_such_package_here")
    with pytest.raises(ConfigurationError, match="make encoder"):
        open_encoder(Place(None, tmp_path))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LEADS_ENCODER_DIR"):
        open_encoder(Place(tmp_path))


def test_waves_approach_the_gaussian_kernel() -> None:
    """Rahimi and Recht (2007): their inner product is exp(−γ‖x − y‖²) of the standardised vectors."""
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 10)).astype(np.float32)
    centre, scale = np.zeros(10, dtype=np.float32), np.ones(10, dtype=np.float32)
    found = waves(x, centre, scale, 60_000)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2) / 10
    assert np.abs(found @ found.T - np.exp(-0.7 * squared)).max() < 0.02


def staged(tmp_path: Path, stage: TextStage, monkeypatch: pytest.MonkeyPatch) -> TextStage:
    """The stage with a head on the counting encoder's vectors, written and read back."""
    monkeypatch.setattr(text_stage, "open_encoder", lambda _place, _version: CachedEncoder(Counting()))
    weights = np.random.default_rng(1).normal(size=64).astype(np.float32)
    head = SentenceHead("counting-1", np.float32([5, 1]), np.float32([3, 2]), weights)
    whole = TextStage(stage.words, stage.chars, stage.intercept, head, CachedEncoder(Counting()))
    return TextStage.from_bytes(whole.to_bytes())


def test_the_stage_adds_what_the_sentence_says(
    tmp_path: Path, version: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage: TextStage = version.text_stage  # type: ignore[attr-defined]
    both = staged(tmp_path, stage, monkeypatch)
    texts = ["hello there", None, "", "one two three"]
    more = both.log_odds(texts) - stage.log_odds(texts)
    assert np.isnan(more[[1, 2]]).all()
    head = both.sentence
    assert head is not None
    assert np.allclose(more[[0, 3]], head.log_odds(Counting().encode(["hello there", "one two three"])), atol=1e-5)
    assert np.abs(more[[0, 3]]).min() > 1e-3


def test_a_stage_of_another_encoder_is_refused(
    tmp_path: Path, version: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage: TextStage = version.text_stage  # type: ignore[attr-defined]
    raw = staged(tmp_path, stage, monkeypatch).to_bytes()
    other = Counting()
    other.version = "counting-9"
    monkeypatch.setattr(text_stage, "open_encoder", lambda _place, _version: CachedEncoder(other))
    with pytest.raises(ModelRefused, match="counting-1, but counting-9 is installed"):
        TextStage.from_bytes(raw)


def test_a_stage_whose_encoder_is_missing_is_refused(
    tmp_path: Path, version: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage: TextStage = version.text_stage  # type: ignore[attr-defined]
    raw = staged(tmp_path, stage, monkeypatch).to_bytes()

    def missing(_place: Place, _version: str) -> CachedEncoder:
        raise ConfigurationError("The sentence encoder is not installed.", remedy="Run: make encoder")

    monkeypatch.setattr(text_stage, "open_encoder", missing)
    with pytest.raises(ModelRefused, match="make encoder"):
        TextStage.from_bytes(raw)
