"""Fine-tuned encoders: their folder, their outputs, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from leads.errors import FilesDamaged, ModelRefused
from leads.text import text_hash
from models.text import encoder_files as files
from models.text.encoder_files import Learned
from models.text.head import OutputHead
from models.text.sentence import CachedEncoder, Place, open_encoder
from models.text.tuned import Golden, TunedEncoder
from tests.support.encoders.tiny import HARMS, write_encoder

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: make encoder")
pytest.importorskip("tokenizers", reason="the tokenizer is not installed: make encoder")


def test_texts_of_any_number_and_length_have_their_own_outputs(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "e")
    found = encoder.encode(["a", "bd", "c" * 30, "abc"])
    # Numbers of letters; a text of 30 is truncated to 8 tokens.
    assert found.tolist() == [[1, 1], [3, 2], [3, 8], [2, 3]]
    assert encoder.encode([]).shape == (0, len(HARMS))


def test_many_texts_have_the_outputs_that_each_has_alone(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "e")
    texts = ["abcdef"[: 1 + i % 6] for i in range(307)]
    assert np.array_equal(encoder.encode(texts), np.concatenate([encoder.encode([text]) for text in texts]))


def test_a_folder_is_whole_only_with_every_file_as_it_was_written(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "e")
    assert files.is_whole(tmp_path / "e", encoder.version)
    assert not files.is_whole(tmp_path / "e", "tuned-000000000000")
    for name in (files.NETWORK, files.LEARNED, files.GOLDEN):
        raw = (tmp_path / "e" / name).read_bytes()
        (tmp_path / "e" / name).write_bytes(raw[:-1])
        assert not files.is_whole(tmp_path / "e", encoder.version), name
        (tmp_path / "e" / name).write_bytes(raw)
    (tmp_path / "e" / files.ABOUT).write_text("{}")
    assert not files.is_whole(tmp_path / "e", encoder.version)
    assert not files.is_whole(tmp_path / "nothing", encoder.version)


def test_a_network_that_was_exchanged_is_refused_although_its_hash_is_listed(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "e")
    files.write_files(tmp_path / "e", encoder.about, {files.TOKENIZER: b"{}"})
    with pytest.raises(FilesDamaged, match=r"encoder\.json names another encoder"):
        TunedEncoder(tmp_path / "e")


def test_a_network_that_is_no_network_is_refused(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "e")
    words = (tmp_path / "e" / files.TOKENIZER).read_bytes()
    about = msgspec.structs.replace(encoder.about, id=files.encoder_id(b"no network", words))
    files.write_files(tmp_path / "e", about, {files.NETWORK: b"no network"})
    with pytest.raises(FilesDamaged, match=r"network\.onnx is invalid"):
        TunedEncoder(tmp_path / "e")


def test_golden_outputs_that_do_not_reproduce_are_refused(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "e")
    encoder.verify()
    golden = encoder.golden()
    other = Golden(golden.texts, ((9.0, 9.0), *golden.outputs[1:]))
    files.write_files(tmp_path / "e", encoder.about, {files.GOLDEN: msgspec.json.encode(other)})
    with pytest.raises(ModelRefused, match="doesn't reproduce its golden outputs"):
        TunedEncoder(tmp_path / "e").verify()


def test_models_are_fitted_on_outputs_of_networks_that_had_not_seen_the_text(tmp_path: Path) -> None:
    hashes = np.sort(np.array([text_hash("a"), text_hash("abc")], np.uint64))
    outputs = np.array([[7, 7], [8, 8]], np.float32)
    encoder = CachedEncoder(write_encoder(tmp_path / "e", Learned(hashes, outputs)))
    assert encoder.learns
    by_hash = dict(zip(hashes.tolist(), outputs.tolist(), strict=True))
    found = encoder.encode_unseen(["abc", "b", "A"])
    # Case makes no difference to what counts as the same text.
    assert found.tolist() == [by_hash[text_hash("abc")], [2, 1], by_hash[text_hash("a")]]
    assert encoder.encode(["abc"]).tolist() == [[2, 3]]


def test_learned_outputs_survive_their_file() -> None:
    learned = Learned(np.array([1, 2**64 - 1], np.uint64), np.array([[0.5], [-1]], np.float32))
    read = Learned.from_bytes(learned.to_bytes())
    assert (read.hashes.tolist(), read.outputs.tolist()) == ([1, 2**64 - 1], [[0.5], [-1]])
    with pytest.raises(FilesDamaged, match=r"learned\.npz is invalid"):
        Learned.from_bytes(b"nothing")


def test_a_head_adds_up_weighted_outputs_the_same_in_any_batch() -> None:
    head = OutputHead("tuned-1", np.array([0.5, -2], np.float32))
    rows = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    assert head.log_odds(rows)[7] == head.log_odds(rows[7:8])[0]
    np.testing.assert_allclose(head.log_odds(rows), rows @ head.weights, rtol=1e-5)


def test_an_encoder_that_was_not_fetched_is_named_with_what_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(FilesDamaged, match="tuned-abc is missing"):
        open_encoder(Place(tuned=tmp_path), "tuned-abc")
    encoder = write_encoder(tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / encoder.version)
    assert open_encoder(Place(tuned=tmp_path), encoder.version).version == encoder.version
