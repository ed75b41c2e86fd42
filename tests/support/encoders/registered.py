"""Tiny encoders in MLflow, and versions of spam that need one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.settings import Settings
from models.registry.encoders import NEEDED, EncoderRegistry, RegisteredEncoder
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import RunRecord
from models.text.encoder_files import ENCODERS
from models.text.head import OutputHead
from models.text.sentence import open_encoder, place_of
from models.text.stage import TextStage
from models.version import load
from models.write import Parts, write_version
from serving.versions.proofs import write_proof
from serving.versions.verification import verify
from tests.support.encoders.tiny import HARMS, write_encoder
from tests.support.serving.world import make_parts, point_to


def register_encoder(
    settings: Settings, folder: Path, also: str = "", *, at: Micros | None = None
) -> RegisteredEncoder:
    """Register a tiny encoder.

    Args:
        folder: a new one, to write it to.
        also: as `write_encoder`.
        at: when its training began; default: now.
    """
    registry = EncoderRegistry(settings)
    write_encoder(folder, also=also)
    run_id = registry.begin_run(f"fingerprint {also}", at=clock.now() if at is None else at, tags={})
    number = registry.register(folder, RunRecord(fingerprint=f"fingerprint {also}"), run_id)
    registry.end_run(run_id, "FINISHED")
    return registry.named(number)


def register_version(settings: Settings, folder: Path, encoder: str) -> str:
    """Register a version of spam that needs an encoder; returns its number.

    Args:
        folder: a new one, to write it to.
        encoder: the name of a registered encoder.
    """
    EncoderRegistry(settings).ensure(encoder)
    version = write_version(folder, encoding_parts(settings, "spam", encoder), place=place_of(settings))
    return MlflowRegistry(settings).register(
        "spam", version, RunRecord(fingerprint=folder.name, tags={NEEDED: encoder})
    )


def publish_encoding(settings: Settings, harm: str) -> None:
    """Publish version 1 of a harm, which needs a tiny encoder, as champion; and put the encoder on this host."""
    draft = settings.root / ENCODERS / "draft"
    if not draft.parent.exists():
        encoder = write_encoder(draft)
        draft.rename(draft.with_name(encoder.version))
    (name,) = (path.name for path in draft.parent.iterdir())
    folder, place = settings.published_dir / harm / "1", place_of(settings)
    write_version(folder, encoding_parts(settings, harm, name), place=place)
    (folder / "version.txt").write_text("1", encoding="utf-8")
    write_proof(folder, verify(partial(load, place=place), folder, harm, "1")[1])
    point_to(settings, harm, "1", "champion")


def encoding_parts(settings: Settings, harm: str, encoder: str) -> Parts:
    """A version of a harm whose text stage reads the outputs of an encoder that is on this host."""
    parts = make_parts(harm)
    assert parts.text_stage is not None
    stage, head = parts.text_stage, OutputHead(encoder, np.array([0.1] * len(HARMS), np.float32))
    stage = TextStage(stage.words, stage.chars, stage.intercept, head, open_encoder(place_of(settings), encoder))
    return replace(parts, text_stage=stage)
