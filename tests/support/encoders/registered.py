"""Tiny encoders in MLflow, and versions of spam that need one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.settings import Settings
from models.registry.encoders import NEEDED, EncoderRegistry, RegisteredEncoder
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import RunRecord
from models.text.head import OutputHead
from models.text.sentence import open_encoder, place_of
from models.text.stage import TextStage
from models.write import write_version
from tests.support.encoders.tiny import HARMS, write_encoder
from tests.support.serving.world import make_parts


def register_encoder(settings: Settings, folder: Path, also: str = "", *, at: Micros | None = None) -> RegisteredEncoder:
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
    parts, place = make_parts("spam"), place_of(settings)
    assert parts.text_stage is not None
    stage, head = parts.text_stage, OutputHead(encoder, np.array([0.1] * len(HARMS), np.float32))
    stage = TextStage(stage.words, stage.chars, stage.intercept, head, open_encoder(place, encoder))
    version = write_version(folder, replace(parts, text_stage=stage), place=place)
    return MlflowRegistry(settings).register("spam", version, RunRecord(fingerprint=folder.name, tags={NEEDED: encoder}))
