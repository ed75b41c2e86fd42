"""What a training depends on, as one hash: equal hashes, equal versions."""

from __future__ import annotations

import hashlib

import msgspec

from leads.policies import HarmPolicy
from models.text.sentence import CachedEncoder
from training.behaviour.suite import Suite
from training.config import RECIPE, SEED, TrainingConfig
from training.data.dataset import Dataset


def fingerprint_of(
    data: Dataset, policy: HarmPolicy, config: TrainingConfig, encoder: CachedEncoder | None, suite: Suite | None
) -> str:
    """Hex SHA-256 of what a version and its reports depend on. If it is equal, training would give an equal version."""
    recipe = {
        "recipe": RECIPE,
        "seed": SEED,
        "config": config.model_dump(mode="json"),
        "encoder": encoder.version if encoder else None,
        "suite": suite.hash if suite else None,
        "policy": policy.model_dump(mode="json"),
        "data": data.hash,
    }
    return hashlib.sha256(msgspec.json.encode(recipe, order="sorted")).hexdigest()
