"""What a proof says, when a process trusts it, and what happens without one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.engine import Engine

from leads.errors import FilesDamaged, ModelRefused
from leads.settings import Settings
from models import golden, manifest
from models.text.sentence import Place
from models.version import load
from serving.versions import proofs, proving
from serving.versions.follower import Follower
from serving.versions.proofs import PROOF, Proof, made_with, marks, read_proof
from serving.versions.proving import Key, Prover
from serving.versions.published import PublishedVersions
from tests.support.serving.fake_registry import FakeRegistry, tamper
from tests.support.serving.world import POLICIES, all_answer, publish

pytestmark = pytest.mark.slow


@pytest.fixture
def prover(settings: Settings) -> Prover:
    return Prover(settings.published_dir, Place())


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[list[Key]]:
    """What each child was asked to verify. It does so in this process, which is faster."""
    asked: list[list[Key]] = []

    def child(self: Prover, versions: Sequence[Key]) -> tuple[list[bytes], str]:
        asked.append(list(versions))
        outcomes = [proving._outcome(self._published.joinpath(*key), *key, Place()) for key in versions]
        return [msgspec.json.encode(one) for one in outcomes], "ended with code 0"

    monkeypatch.setattr(Prover, "_child", child)
    return asked


def test_the_follower_writes_a_proof_of_what_it_verified(settings: Settings, tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path / "registry")
    registry.register("spam", "1")
    Follower(settings, POLICIES, registry).step()
    folder = settings.published_dir / "spam" / "1"
    proof = read_proof(folder)
    assert proof is not None
    assert (proof.harm, proof.version, proof.contract_hash) == ("spam", "1", load(folder).contract_hash)
    assert proof.manifest == manifest.sha256((folder / "model.json").read_bytes())
    assert (proof.golden_rows, proof.tolerance) == (32, golden.TOLERANCE)
    assert proof.made_with == made_with()
    assert set(made_with()) == {"code", "python", "numpy", "xgboost", "processor"}
    assert dict(proof.files) == marks(folder)
    assert {"booster.ubj", "model.json", "version.txt"} <= proof.files.keys()
    assert proof.files["booster.ubj"].size == (folder / "booster.ubj").stat().st_size


def test_a_process_that_has_a_proof_scores_no_golden_rows(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, children: list[list[Key]]
) -> None:
    publish(settings, "spam")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("golden rows are scored by the follower or by a child")

    monkeypatch.setattr(golden, "check", never)
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    assert all_answer(published)
    assert children == []


@pytest.mark.parametrize("changed", ["code", "numpy", "xgboost", "python", "processor"])
def test_a_proof_of_another_release_or_library_is_made_again(
    settings: Settings, engine: Engine, children: list[list[Key]], changed: str
) -> None:
    folder = publish(settings, "spam")
    proof = read_proof(folder)
    assert proof is not None
    other = msgspec.structs.replace(proof, made_with={**proof.made_with, changed: "another"})
    proofs.write_proof(folder, other)
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    assert all_answer(published)
    assert children == [[("spam", "1")]]
    again = read_proof(folder)
    assert again is not None
    assert again.made_with == made_with()


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", None])
def test_a_proof_that_cannot_be_read_is_made_again(
    settings: Settings, engine: Engine, children: list[list[Key]], raw: bytes | None
) -> None:
    path = publish(settings, "spam") / PROOF
    path.unlink() if raw is None else path.write_bytes(raw)
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    assert all_answer(published)
    assert children == [[("spam", "1")]]


def test_one_child_verifies_all_champions_and_one_the_rest(
    settings: Settings, engine: Engine, children: list[list[Key]]
) -> None:
    for harm, version, role in (
        ("spam", "1", "champion"), ("sexism", "1", "champion"), ("spam", "2", "canary"), ("spam", "3", "challenger"),
    ):  # fmt: skip
        (publish(settings, harm, version, role=role) / PROOF).unlink()
    PublishedVersions(settings, POLICIES, engine).refresh()
    assert [sorted(keys) for keys in children] == [
        [("sexism", "1"), ("spam", "1")], [("spam", "2"), ("spam", "3")],
    ]  # fmt: skip
    other = PublishedVersions(settings, POLICIES, engine)
    other.refresh()
    assert all_answer(other)
    assert len(children) == 2


def test_damage_is_found_without_a_child(settings: Settings, prover: Prover, children: list[list[Key]]) -> None:
    folder = publish(settings, "spam")
    tamper(folder)
    (folder / PROOF).unlink()
    found = prover.proofs([("spam", "1"), ("spam", "2")])
    assert all(isinstance(one, FilesDamaged) for one in found.values())
    assert "booster.ubj" in str(found["spam", "1"])
    assert children == []


def test_a_proof_cannot_be_about_other_files(settings: Settings, engine: Engine) -> None:
    """A version's manifest and its files may be replaced together: the golden rows weren't scored with these."""
    folder = publish(settings, "spam", "1")
    other = publish(settings, "spam", "2", seed=1)
    for name in ("model.json", "booster.ubj", "reference.parquet", "golden.json"):
        (folder / name).write_bytes((other / name).read_bytes())
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    (status,) = published.status()
    assert "model.json" in status.refused_here["1"]
    assert status.damaged


def test_a_real_child_verifies_and_writes_the_proof(settings: Settings, prover: Prover) -> None:
    """A bad version among good ones is refused alone."""
    good, bad = publish(settings, "spam", "1"), publish(settings, "spam", "2")
    raw = msgspec.json.decode((bad / "golden.json").read_bytes(), type=golden.GoldenRows)
    off = msgspec.structs.replace(raw, score=(raw.score[0] + 1e-3, *raw.score[1:])).to_json()
    (bad / "golden.json").write_bytes(off)
    about = manifest.read_manifest(bad)
    files = {**about.files, manifest.GOLDEN: manifest.sha256(off)}
    (bad / "model.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(about, files=files)))
    for folder in (good, bad):
        (folder / PROOF).unlink()
    found = prover.proofs([("spam", "2"), ("spam", "1")])
    refused, proof = found["spam", "2"], found["spam", "1"]
    assert isinstance(refused, ModelRefused)
    assert not isinstance(refused, FilesDamaged)
    assert "golden rows' score doesn't reproduce" in str(refused)
    assert isinstance(proof, Proof)
    assert proof == read_proof(good)
    assert proof.holds("spam", "1")
    assert read_proof(bad) is None


def test_a_child_that_crashes_costs_only_the_version_it_verified(
    settings: Settings, prover: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1", "2", "3"):
        (publish(settings, "spam", version) / PROOF).unlink()
    calls = []

    def child(self: Prover, versions: Sequence[Key]) -> tuple[list[bytes], str]:
        calls.append(list(versions))
        lines = [b"a library says hello"]
        for key in versions:
            if key == ("spam", "2"):
                return lines, "ended with code -11"
            lines.append(msgspec.json.encode(proving._outcome(self._published.joinpath(*key), *key, Place())))
        return lines, "ended with code 0"

    monkeypatch.setattr(Prover, "_child", child)
    found = prover.proofs([("spam", "1"), ("spam", "2"), ("spam", "3")])
    assert [type(found["spam", version]) for version in ("1", "2", "3")] == [Proof, ModelRefused, Proof]
    assert "ended with code -11" in str(found["spam", "2"])
    assert len(calls) == 3


def test_a_folder_that_cannot_be_written_to_is_verified_once_per_process(
    settings: Settings, children: list[list[Key]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (publish(settings, "spam") / PROOF).unlink()

    def full(*_: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(proofs, "write_json", full)
    monkeypatch.setattr(proving, "in_turn", full)
    prover = Prover(settings.published_dir, Place())
    for _ in range(2):
        assert isinstance(prover.proofs([("spam", "1")])["spam", "1"], Proof)
    assert children == [[("spam", "1")]]
    assert "can't write the proof of spam version 1" in caplog.text
