"""A restored home serves a version that needs a fine-tuned encoder: the registry's artifacts hold the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads.backup.reading import open_backup
from leads.backup.restore import restore
from leads.backup.take import take
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from models.registry.encoders import EncoderRegistry
from models.registry.mlflow_registry import MlflowRegistry
from models.text.encoder_files import ENCODERS
from models.text.sentence import place_of
from models.version import load
from serving.versions.follower import Follower
from tests.support.encoders.registered import register_encoder, register_version

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: make encoder")
pytest.importorskip("tokenizers", reason="the tokenizer is not installed: make encoder")
pytestmark = pytest.mark.slow

TEXTS = ["free click", "a lovely song"]


def scores(settings: Settings, folder: Path) -> list[float]:
    version = load(folder, place_of(settings))
    features = np.full((len(TEXTS), len(version.contract.columns)), np.nan, dtype=np.float32)
    return version.score(features, TEXTS).score.tolist()


def test_a_restored_home_serves_a_version_that_needs_an_encoder(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    encoder = register_encoder(settings, tmp_path / "encoder")
    EncoderRegistry(settings).promote(encoder.version, "first")
    number = register_version(settings, tmp_path / "version", encoder.id)
    registry = MlflowRegistry(settings)
    registry.set_alias("spam", "champion", number)
    before = scores(settings, registry.fetch("spam", number, tmp_path / "fetched"))

    take(settings, tmp_path / "backup")
    # Nothing may be read from the old place.
    settings.root.rename(tmp_path / "gone")
    new = load_settings(home=tmp_path / "restored", corpora="none")
    restore(new, open_backup(tmp_path / "backup"), where="backup")
    # Like published versions, encoders are fetched again.
    assert not (new.root / ENCODERS).exists()
    promoted = EncoderRegistry(new).promoted()
    assert promoted is not None
    assert promoted.id == encoder.id

    state = Follower(new, load_policies(POLICIES_FILE), MlflowRegistry(new)).step()
    assert state.harms["spam"].champion == number
    assert (new.root / ENCODERS / encoder.id).is_dir()
    assert scores(new, new.published_dir / "spam" / number) == before
