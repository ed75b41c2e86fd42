"""Where the contracts of logged predictions come from, and which can't be used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.contract import Column, FeatureContract
from leads.settings import Settings
from models.manifest import CONTRACT as CONTRACT_FILE
from models.manifest import MANIFEST, Manifest
from monitoring.skew.contracts import Contracts
from tests.support.skew_parts import AT, CONTRACT, FolderRegistry, prediction, table_of


def version_folder(folder: Path, contract: FeatureContract, inputs: int) -> Path:
    folder.mkdir(parents=True)
    names = tuple(str(i) for i in range(inputs))
    about = Manifest("spam", contract.hash, True, names, "text", 0.0, AT, {})
    (folder / MANIFEST).write_bytes(msgspec.json.encode(about))
    (folder / CONTRACT_FILE).write_bytes(contract.to_json())
    return folder


def test_a_contract_comes_from_the_published_folder_or_else_the_registry(settings: Settings, tmp_path: Path) -> None:
    width = len(CONTRACT.columns) + 1
    table = table_of(prediction(0, contract_hash=CONTRACT.hash, vectors=np.zeros((1, width), np.float32)))
    registry = FolderRegistry(version_folder(tmp_path / "fetched", CONTRACT, width))
    contracts = Contracts(settings, registry)
    assert contracts.of("spam", "1", table) == CONTRACT
    assert contracts.of("spam", "1", table) == CONTRACT
    assert registry.asked == [("spam", "1")]
    version_folder(settings.published_dir / "spam" / "2", CONTRACT, width)
    assert contracts.of("spam", "2", table) == CONTRACT
    assert registry.asked == [("spam", "1")]


def encoded_by(encoder: str, *columns: str) -> FeatureContract:
    return FeatureContract("leads_v1", tuple(map(Column, columns)), encoder)


@pytest.mark.parametrize(
    ("contract", "width", "hash", "why"),
    [
        (CONTRACT, 72, "other", "made under contract other"),
        (encoded_by("counts-0", "item.age_h"), 2, None, "encoder counts-0"),
        (encoded_by(CONTRACT.encoder_version, "item.gone"), 2, None, "needs the feature item.gone"),
        (CONTRACT, 5, None, "inputs and links"),
    ],
)
def test_a_contract_that_does_not_fit_the_predictions_is_refused(
    settings: Settings, tmp_path: Path, contract: FeatureContract, width: int, hash: str | None, why: str
) -> None:
    folder = version_folder(tmp_path / "version", contract, len(contract.columns) + 1)
    row = prediction(0, contract_hash=hash or contract.hash, vectors=np.zeros((1, width), np.float32))
    found = Contracts(settings, FolderRegistry(folder)).of("spam", "1", table_of(row))
    assert isinstance(found, str)
    assert why in found


def test_a_damaged_version_is_named(settings: Settings, tmp_path: Path) -> None:
    tmp_path.joinpath("empty").mkdir()
    found = Contracts(settings, FolderRegistry(tmp_path / "empty")).of("spam", "1", table_of(prediction(0)))
    assert isinstance(found, str)
    assert "contract.json" in found
